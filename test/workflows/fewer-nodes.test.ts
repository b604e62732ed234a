/** On how many nodes a gang goes on that has lost some, and where it must not. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { describeFewer, fewerThan, gangSize, whyNotFewer } from '../../workflows/fewer-nodes.js';
import { dataParallel, type Fit } from '../../workflows/layout-rules.js';
import { allShards, placeNodes } from '../../workflows/topology.js';

const whole = (changes: Partial<Fit> = {}, layout: Partial<Fit['parallel']> = {}): Fit => ({
  ...{ nodes: 4, devices: 8, globalBatch: 96, microBatch: 1, seqLength: 4096, release: '26.0.0' },
  parallel: { tp: 1, pp: 1, cp: 1, ep: 1, ...layout },
  ...changes,
});
const going = (atLeast: number) => ({ atLeast, after: '10s' });

describe('a gang that has lost nodes', () => {
  it.each<[string, Fit, there: number, size: number | undefined]>([
    ['goes on with those that are left', whole(), 3, 3],
    ['is whole again when all are there, and leaves spares out', whole(), 6, 4],
    ['leaves out a node that its stages do not come out even with', whole({}, { tp: 8, pp: 2 }), 3, 2],
    ['leaves out nodes that the batch does not come out even with', whole({ globalBatch: 64 }), 3, 2],
    ['waits where no smaller number takes its stages', whole({}, { tp: 8, pp: 4 }), 3, undefined],
    ['waits below the number that it is to have at least', whole(), 1, undefined],
    [
      'keeps interleaved stages in turns',
      whole({ nodes: 3, devices: 4, globalBatch: 36 }, { pp: 4, layersPerVirtualStage: 2 }),
      2,
      undefined,
    ],
  ])('%s', (_, fit, there, size) => {
    expect(gangSize(fit, going(2), { there })).toBe(size);
  });

  it('waits for all of them unless its run file says otherwise', () => {
    expect(gangSize(whole(), 'wait', { there: 3 })).toBeUndefined();
    expect(gangSize(whole(), 'wait', { there: 4 })).toBe(4);
  });

  it('does not go on with as few as did not come to train, nor with fewer', () => {
    expect(gangSize(whole(), going(1), { there: 2, tooFew: 2 })).toBeUndefined();
    expect(gangSize(whole(), going(1), { there: 3, tooFew: 2 })).toBe(3);
  });
});

it('whatever the layout: as many nodes as can be, the same batch in whole micro-batches, and every shard has a writer', () => {
  const fits = fc.record({
    nodes: fc.integer({ min: 1, max: 40 }),
    devices: fc.constantFrom(1, 2, 8, 16),
    tp: fc.constantFrom(1, 2, 4, 8),
    pp: fc.constantFrom(1, 2, 3, 4),
    cp: fc.constantFrom(1, 2),
    micro: fc.constantFrom(1, 2),
    batch: fc.integer({ min: 1, max: 512 }),
    there: fc.integer({ min: 0, max: 45 }),
    atLeast: fc.integer({ min: 1, max: 20 }),
  });
  fc.assert(
    fc.property(fits, ({ nodes, devices, tp, pp, cp, micro, batch, there, atLeast }) => {
      const parallel = { tp, pp, cp, ep: 1 };
      const fit = whole({ nodes, devices, parallel, microBatch: micro, globalBatch: batch });
      const size = gangSize(fit, going(atLeast), { there });
      const takes = (count: number): boolean => {
        const dp = (count * devices) / (tp * pp * cp);
        return Number.isInteger(dp) && batch % (micro * dp) === 0;
      };
      const all = Array.from({ length: nodes }, (_, index) => index + 1);
      const right = there >= nodes ? nodes : all.findLast((m) => m <= there && m >= atLeast && m < nodes && takes(m));
      expect(size).toBe(right);
      if (size === undefined || !takes(size)) return;
      const written = placeNodes(parallel, size, devices).flatMap(({ writes }) => writes);
      expect([...new Set(written)].sort()).toEqual(allShards(parallel, size * devices));
      // A checkpoint of the whole gang is one of the smaller.
      if (takes(nodes)) expect(allShards(parallel, size * devices)).toEqual(allShards(parallel, nodes * devices));
    }),
    { numRuns: 300 },
  );
});

describe('the recorded resume of the real scripts', () => {
  type Curve = [iteration: number, learningRate: number, loss: number, norm: number][];
  const read = <T>(name: string): T =>
    JSON.parse(readFileSync(fileURLToPath(new URL(`../fixtures/golden/train/${name}`, import.meta.url)), 'utf8')) as T;
  const { dp1 } = read<{ dp1: Curve }>('resume.json');
  const whole = read<{ arguments: string[]; layouts: Record<string, { curve: Curve }> }>('curves.json');

  it('with one data-parallel rank instead of two prints the same losses, with the flags that a run has', () => {
    const { curve } = whole.layouts['bf16-2nodes-dp2pp2']!;
    expect(dp1).toHaveLength(10);
    for (const [iteration, , loss] of dp1) {
      const undisturbed = curve.find(([other]) => other === iteration)![2];
      expect(Math.abs(loss - undisturbed)).toBeLessThan(1.5e-6);
    }
    expect(whole.arguments).toContain('--use-distributed-optimizer');
    const flags = Object.fromEntries(whole.arguments.filter((arg) => arg.startsWith('--')).map((flag) => [flag, true]));
    expect(whyNotFewer({ ep: 1 }, flags)).toBeUndefined();
  });
});

it.each<[string, ep: number, flags: Record<string, string | boolean>, why: string]>([
  ['experts', 8, {}, 'parallel.ep is 8'],
  ['no distributed optimizer', 1, { '--use-distributed-optimizer': false }, '--use-distributed-optimizer only'],
  ['samples drawn by rank', 1, { '--dataloader-type': 'cyclic' }, 'others would be trained on'],
  ['low halves cut by rank', 1, { '--reuse-fp32-param': true }, '--reuse-fp32-param: it keeps the low halves'],
  ['and what helps', 1, { '--reuse-fp32-param': true }, '"--reuse-fp32-param": false in train.extraArgs takes it out'],
])('%s are a reason against it', (_, ep, flags, why) => {
  expect(whyNotFewer({ ep }, flags)).toContain(why);
});

it('what is taken away from a recipe, and samples in one order, are none', () => {
  expect(whyNotFewer({ ep: 1 }, { '--reuse-fp32-param': false, '--dataloader-type': 'single' })).toBeUndefined();
});

describe('the plan says', () => {
  it('on which numbers of nodes the run goes on, and when', () => {
    expect(describeFewer(whole(), going(2), undefined)).toBe(
      "without a spare, and none from the pool within 10s, the run goes on with fewer nodes: 3 (dp 24), 2 (dp 16); the checkpoint's optimizer state is whole and takes any dp. It grows back at a checkpoint",
    );
    expect(dataParallel(whole({ nodes: 3 }))).toBe(24);
  });

  it('that a run waits, and what it could do instead', () => {
    expect(describeFewer(whole(), 'wait', undefined)).toContain('would let the run go on with 3 (dp 24), 2 (dp 16), 1');
    expect(describeFewer(whole({}, { tp: 8, pp: 4 }), 'wait', undefined)).toContain('no smaller number of nodes');
    expect(describeFewer(whole(), 'wait', 'parallel.ep is 8')).toContain('is not possible: parallel.ep is 8');
  });

  it('of a gang of one nothing that it cannot do', () => {
    expect(fewerThan(whole({ nodes: 1 }))).toEqual([]);
  });
});
