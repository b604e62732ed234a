/**
 * Which block to ask for next, and whom: with several receivers, each block leaves its origin about once. Every
 * receiver takes its own share from there, and the rest from the others as they get it. Pure.
 */
export interface SourceView {
  name: string;
  /** Has everything from the start. */
  seed: boolean;
  /** May be asked for one more block now. */
  free: boolean;
  has(block: number): boolean;
  /** What it is fetching itself. */
  fetching: ReadonlySet<number>;
}

export interface PickState {
  /** Of all blocks, which are neither here nor on their way. */
  wanted: Iterable<number>;
  blocks: number;
  sources: SourceView[];
  /** This node's place among the receivers that are known to live, itself included, and their number. */
  place: number;
  receivers: number;
  /** Whether this node has had nothing to do for a while: then it takes what is not its share. */
  impatient: boolean;
  random(): number;
}

export interface Pick {
  block: number;
  from: string;
}

export function pickBlock(state: PickState): Pick | undefined {
  const { wanted, blocks, sources, place, receivers, impatient, random } = state;
  const seeds = sources.filter(({ seed }) => seed);
  const others = sources.filter(({ seed }) => !seed);
  const start = Math.floor((place * blocks) / receivers);
  const anyFree = (list: SourceView[]) => {
    const free = list.filter((source) => source.free);
    return free[Math.floor(random() * free.length)]?.name;
  };

  let best: (Pick & { rank: number[] }) | undefined;
  for (const block of wanted) {
    const holders = others.filter((source) => source.has(block));
    const holder = anyFree(holders);
    const seed = holder === undefined ? anyFree(seeds) : undefined;
    const isMine = block % receivers === place;
    const onItsWay = others.some(({ fetching }) => fetching.has(block));
    // Own share first: until somebody takes it from the origin nobody else can have it. Then the rarest.
    const tier = holder !== undefined ? 1 : isMine && !onItsWay && !holders.length ? 0 : impatient && !onItsWay ? 2 : 3;
    const from = holder ?? seed;
    if (from === undefined || tier === 3) continue;
    const rank = [tier, holders.length, tier === 1 ? random() : (block - start + blocks) % blocks];
    if (!best || isBefore(rank, best.rank)) best = { block, from, rank };
  }
  return best && { block: best.block, from: best.from };
}

function isBefore(a: number[], b: number[]): boolean {
  const at = a.findIndex((value, index) => value !== b[index]);
  return at >= 0 && a[at]! < b[at]!;
}
