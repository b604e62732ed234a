/** What a large generation has open at once, against what the server takes: 2,000 activities of one workflow. */
import { describe, expect, it } from 'vitest';
import { LOOKED_AT, stoppedAtOnce, tooManyOpen, WITNESSES } from '../../workflows/open-activities.js';
import { createSlots } from '../../workflows/slots.js';
import { describeProblems, parseRunSpec } from '../../workflows/spec.js';

const SERVER_TAKES = 2000;

describe('a gang that is watched over', () => {
  it.each([
    [1, 1],
    [64, 128],
    [1000, 128],
    [350, 350],
    [1397, 1],
  ])('of %i nodes, %i of which copy checkpoints, is stopped while it is watched', (members, copiers) => {
    const gang = { members, copiers };
    expect(tooManyOpen(gang)).toBeUndefined();
    const stops = Math.min(members, stoppedAtOnce(gang));
    expect(members + 3 * copiers + LOOKED_AT * WITNESSES + stops).toBeLessThanOrEqual(SERVER_TAKES);
    expect(stops).toBeGreaterThanOrEqual(Math.min(members, 100));
  });

  it('of some hundred nodes is stopped all at once', () =>
    expect(stoppedAtOnce({ members: 256, copiers: 64 })).toBeGreaterThanOrEqual(256));

  it.each([
    [1000, { tp: 8, pp: 8 }, 'fits'],
    [
      1000,
      { tp: 8, pp: 250 },
      'cluster.nodes: expected 1000 nodes, and 3 times those that save or keep copies, 500, to be 1400 together at most: more is not watched by one workflow',
    ],
    [1400, { tp: 8, pp: 8 }, 'cluster.nodes: expected 1400 nodes, and 3 times'],
  ])('is refused where it is too large for its layout: %i nodes with %j', (nodes, parallel, answer) => {
    const sizes = {
      layers: 1000,
      hidden: 64,
      ffn: 128,
      heads: 8,
      groups: 8,
      headDim: 8,
      vocab: 512,
      maxPositions: 1024,
    };
    const parsed = parseRunSpec(
      {
        model: { sizes },
        tokenizer: { source: 'hf://a/b' },
        dataset: { source: 'hf://c/d/*.parquet' },
        cluster: { nodes, devicesPerNode: 8 },
        parallel,
        train: {
          iterations: 20,
          globalBatch: (nodes * 8) / (parallel.tp * parallel.pp),
          seqLength: 128,
          saveInterval: 10,
        },
      },
      'run',
    );
    expect('problems' in parsed ? describeProblems(parsed.problems) : 'fits').toContain(answer);
  });
});

describe('slots', () => {
  it('are given in the order in which they were asked for, and so many at a time', async () => {
    const inTurn = createSlots(2);
    const [began, ends] = [[] as number[], [] as (() => void)[]];
    const all = [0, 1, 2, 3].map((task) =>
      inTurn(async () => {
        began.push(task);
        await new Promise<void>((end) => (ends[task] = end));
      }),
    );
    expect(began).toEqual([0, 1]);
    ends[1]!();
    await all[1];
    expect(began).toEqual([0, 1, 2]);
    ends[0]!();
    await all[0];
    expect(began).toEqual([0, 1, 2, 3]);
    ends[2]!();
    ends[3]!();
    await Promise.all(all);
  });

  it('are free again after what failed', async () => {
    const inTurn = createSlots(1);
    const failed = inTurn(() => Promise.reject(new Error('away')));
    const next = inTurn(() => Promise.resolve('there'));
    await expect(failed).rejects.toThrow('away');
    expect(await next).toBe('there');
  });
});
