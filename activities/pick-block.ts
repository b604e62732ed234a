/**
 * Which block to ask for next, and whom. As a rule a receiver waits for its place in the spread, in the order of the
 * blocks; whatever others have is for when that goes wrong. Pure.
 */
import { NEAR, stripesFor, wayUp } from './spread.js';

export interface SourceView {
  name: string;
  /** Has everything from the start. */
  seed: boolean;
  /** Answers, or is still expected to. */
  there: boolean;
  /** May be asked for one more block now. */
  free: boolean;
  has(block: number): boolean;
  /** How many that are. */
  count: number;
  /** What it is fetching itself. */
  fetching: ReadonlySet<number>;
}

export interface PickState {
  /** Of all blocks, which are neither here nor on their way. */
  wanted: Iterable<number>;
  blocks: number;
  /** How many of all are here. */
  here: number;
  /** Those that have not been left. */
  sources: SourceView[];
  /** Names of all nodes that fetch it, the same list on each. */
  receivers: string[];
  self: string;
  /** Whether no block has come for a while, and whether none is on its way either. */
  starved: boolean;
  impatient: boolean;
  /** None for so long that no promise of another counts. */
  overdue: boolean;
  random(): number;
}

export interface Pick {
  block: number;
  from: string;
}

/** So many blocks behind another, and somebody above is slow: each step takes about two, in each stripe. */
const LATE_BY = 24;

export function pickBlock(state: PickState): Pick | undefined {
  const { receivers, self, blocks } = state;
  const stripes = stripesFor(blocks, receivers.length);
  const peers = new Map(state.sources.filter(({ seed }) => !seed).map((source) => [source.name, source]));
  const ways = Array.from({ length: stripes }, (_, stripe) =>
    wayUp(stripes, stripe, receivers.indexOf(self), receivers.length)
      .map((at) => peers.get(receivers[at]!))
      .filter((source): source is SourceView => source?.there === true),
  );
  return fromAbove(state, ways) ?? fromAnybody(state, ways);
}

type Way = SourceView[];

/** From the nearest that keeps up; a block that has no way but from its origin is asked for there. */
function fromAbove({ wanted, sources, here, random }: PickState, ways: Way[]): Pick | undefined {
  const seed = oneOf(
    sources.filter((source) => source.seed && source.free),
    random,
  );
  // One that began late, or began anew, is no way to anything that this node lacks before it has caught up.
  const nearest = ways.map((way) => way.find(({ count }) => here - count < LATE_BY) ?? way[0] ?? seed);
  for (const block of wanted) {
    const above = nearest[block % nearest.length];
    if (above?.free && above.has(block)) return { block, from: above.name };
  }
  return undefined;
}

function fromAnybody(state: PickState, ways: Way[]): Pick | undefined {
  const { blocks, sources, receivers, self, starved, impatient, overdue, random } = state;
  const others = sources.filter(({ seed, there }) => !seed && there);
  const seeds = sources.filter(({ seed }) => seed);
  // Those at the other end of a long chain are far ahead by rights.
  const isLate = ways.some((way) => way.slice(0, NEAR).some(({ count }) => count - state.here >= LATE_BY));
  const isOpen = seeds.length === 0 || isLate;
  if (!isOpen && !impatient && !overdue) return undefined;

  const wanted = [...state.wanted];
  // Somebody above is at work on it, or can pass it on.
  const comes = ways.map((way, stripe) =>
    wanted.some(
      (block) => block % ways.length === stripe && way.some(({ has, fetching }) => has(block) || fetching.has(block)),
    ),
  );
  const start = Math.floor((receivers.indexOf(self) * blocks) / receivers.length);
  const freeSeed = oneOf(
    seeds.filter(({ free }) => free),
    random,
  );

  let best: (Pick & { rank: number[] }) | undefined;
  for (const block of wanted) {
    const isStuck = overdue || (isLate && starved) || (impatient && !comes[block % ways.length]);
    if (!isOpen && !isStuck) continue;
    const holders = others.filter(({ has }) => has(block));
    const holder = oneOf(
      holders.filter(({ free }) => free),
      random,
    );
    const from = holder ?? (isStuck ? freeSeed : undefined);
    if (!from) continue;
    // The rarest of what is there; of what only the origin has, each begins somewhere else.
    const rank = holder ? [0, holders.length, random()] : [1, (block - start + blocks) % blocks];
    if (!best || isBefore(rank, best.rank)) best = { block, from: from.name, rank };
  }
  return best && { block: best.block, from: best.from };
}

const oneOf = <T>(list: T[], random: () => number): T | undefined => list[Math.floor(random() * list.length)];

function isBefore(a: number[], b: number[]): boolean {
  const at = a.findIndex((value, index) => value !== b[index]);
  return at >= 0 && a[at]! < b[at]!;
}
