/** Rounds of many receivers that pick by the rules and nothing else: in each, whatever was asked for arrives. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pickBlock, type SourceView } from '../../activities/pick-block.js';
import { nearOnes, stepsTo, stripesFor } from '../../activities/spread.js';

interface Receiver {
  /** The round in which it begins, and that after which it answers no more. */
  begins: number;
  dies: number;
  /** What it sends is never right. */
  lies: boolean;
  /** Blocks that an earlier attempt left. */
  left: number[];
  /** Places of those that it is not told of, and of those it is told of and does not reach. */
  unknown: number[];
  cut: number[];
}

interface Crowd {
  blocks: number;
  seeds: number;
  receivers: Receiver[];
}

const AT_ONCE = 6;
const OF_ONE = 2;
/** In rounds: without a block, for each step of its way at the most; without any; before one that has not begun counts for nobody. */
const [STARVED, OVERDUE, EXPECTED] = [3, 12, 4];

const good: Receiver = { begins: 0, dies: Infinity, lies: false, left: [], unknown: [], cut: [] };

/** What origins sent, and the round in which each receiver had it all; absent for one that died or never will. */
function spread({ blocks, seeds, receivers }: Crowd, random: () => number, rounds: number) {
  const names = receivers.map((_, place) => `n${String(place).padStart(2, '0')}`);
  const nodes = receivers.map((receiver, place) => {
    const known = names.filter((_, other) => other === place || !receiver.unknown.includes(other));
    const at = [stripesFor(blocks, known.length), known.indexOf(names[place]!), known.length] as const;
    const near = nearOnes(...at);
    return {
      ...{ ...receiver, place, known, here: new Set(receiver.left), fetching: new Set<number>() },
      ...{
        near: known.flatMap((name, index) => (near.has(index) ? [names.indexOf(name)] : [])),
        liars: new Set<number>(),
      },
      steps: Math.max(1, stepsTo(...at)),
      ...{ cameAt: receiver.begins, doneAt: undefined as number | undefined },
    };
  });
  const answers = (node: (typeof nodes)[number], round: number) => round >= node.begins && round <= node.dies;
  const all = Array.from({ length: blocks }, (_, block) => block);
  let sent = 0;
  for (let round = 0; round < rounds; round++) {
    const seen = nodes.map(({ here, fetching }) => ({ here: new Set(here), fetching: new Set(fetching) }));
    for (const node of nodes) {
      if (!answers(node, round) || node.here.size === blocks) continue;
      const others = node.near.filter((other) => !node.liars.has(other));
      const isReached = (other: number) => !node.cut.includes(other) && answers(nodes[other]!, round);
      const isExpected = round - node.begins < EXPECTED;
      const asked: { block: number; from: string }[] = [];
      const wanted = new Set(all.filter((block) => !node.here.has(block)));
      const sources = [
        ...Array.from({ length: seeds }, (_, index): SourceView => ({
          ...{ name: `seed${index}`, seed: true, there: true, free: true, has: () => true, count: blocks },
          fetching: new Set(),
        })),
        ...others.map((other): SourceView => {
          const has = isReached(other) ? seen[other]!.here : new Set<number>();
          return {
            ...{ name: names[other]!, seed: false, free: true, count: has.size, has: (block) => has.has(block) },
            there: isReached(other) || (round < nodes[other]!.begins && isExpected),
            fetching: isReached(other) ? seen[other]!.fetching : new Set(),
          };
        }),
      ];
      const waited = round - node.cameAt;
      while (asked.length < AT_ONCE) {
        const pick = pickBlock({
          ...{ wanted, blocks, here: node.here.size, sources, receivers: node.known, self: names[node.place]!, random },
          ...{ starved: waited > STARVED, overdue: waited > OVERDUE },
          impatient: asked.length === 0 && waited > STARVED * node.steps,
        });
        if (!pick) break;
        asked.push(pick);
        wanted.delete(pick.block);
        const source = sources.find(({ name }) => name === pick.from)!;
        source.free = asked.filter(({ from }) => from === pick.from).length < OF_ONE;
      }
      node.fetching = new Set(asked.map(({ block }) => block));
      for (const { block, from } of asked) {
        const peer = nodes[names.indexOf(from)];
        if (peer?.lies) node.liars.add(peer.place);
        else {
          node.here.add(block);
          node.cameAt = round;
        }
        if (!peer) sent++;
      }
      if (node.here.size === blocks) node.doneAt = round;
    }
  }
  return { copies: sent / blocks, doneAt: nodes.map(({ doneAt }) => doneAt) };
}

const crowdOf = (count: number, blocks: number, more: Partial<Receiver>[] = []): Crowd => ({
  ...{ blocks, seeds: 1 },
  receivers: Array.from({ length: count }, (_, place) => ({ ...good, ...more[place] })),
});

describe('receivers that spread blocks among them', () => {
  it.each([
    [1, 1],
    [1, 48],
    [8, 48],
    [16, 64],
    [40, 48],
  ])('take one copy from the origin: %i of %i blocks', (count, blocks) => {
    const { copies, doneAt } = spread(crowdOf(count, blocks), Math.random, blocks + 3 * count + 60);
    expect(doneAt).not.toContain(undefined);
    expect(copies).toBeLessThanOrEqual(1.1);
  });

  it('all get every block, whichever of the others begin late or never, die, lie, are cut off or are not known', () => {
    const blocks = fc.integer({ min: 1, max: 40 });
    const receivers = fc.integer({ min: 1, max: 12 });
    const crowd = fc.tuple(blocks, receivers, fc.integer({ min: 1, max: 2 })).chain(([count, size, seeds]) => {
      const some = fc.array(fc.nat(size - 1), { maxLength: 4 });
      const receiver = fc.record({
        begins: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(40), fc.constant(Infinity)),
        dies: fc.oneof({ weight: 3, arbitrary: fc.constant(Infinity) }, fc.nat(40)),
        lies: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, fc.constant(true)),
        left: fc.oneof(
          { weight: 2, arbitrary: fc.constant<number[]>([]) },
          fc.uniqueArray(fc.nat(count - 1), { maxLength: count }),
        ),
        unknown: some,
        cut: some,
      });
      return fc.record({
        ...{ blocks: fc.constant(count), seeds: fc.constant(seeds) },
        receivers: fc.array(receiver, { minLength: size, maxLength: size }),
      });
    });
    fc.assert(
      fc.property(crowd, (one) => {
        const rounds = 60 + (OVERDUE + 2) * one.blocks;
        const { doneAt } = spread(one, () => 0.5, rounds);
        for (const [place, { begins, dies, left }] of one.receivers.entries())
          if (begins < Infinity && dies === Infinity && left.length < one.blocks)
            expect(doneAt[place], `receiver ${place}`).toBeDefined();
      }),
      { numRuns: 40 },
    );
  });
});
