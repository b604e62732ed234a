/** What may be removed, and that nothing which somebody may need goes with it. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { newestComplete, type NodeListing } from '../../workflows/checkpoints.js';
import { completeOf, expendable, remembered, retention, type KeepRule } from '../../workflows/retention.js';

const SHARDS = ['a', 'b'];
const done = (...iterations: number[]) => iterations.map((iteration) => ({ iteration, copied: true }));

/** Nodes × iterations × shards: which node has which shard of which iteration, by which launch. */
const catalogue = fc.array(
  fc.dictionary(
    fc.constantFrom('10', '20', '30', '40', '50', '60'),
    fc.dictionary(fc.constantFrom(...SHARDS), fc.constantFrom(1, 2), { noNullPrototype: true }),
    { noNullPrototype: true },
  ),
  { minLength: 1, maxLength: 4 },
);
const cases = fc.record({
  nodes: catalogue,
  keep: fc.integer({ min: 1, max: 3 }),
  every: fc.option(fc.constantFrom(20, 30), { nil: undefined }),
  copies: fc.integer({ min: 1, max: 3 }),
  tracked: fc.option(fc.constantFrom(10, 20, 30, 40, 50, 60), { nil: undefined }),
});
const listingsOf = (nodes: Record<string, Record<string, number>>[]): NodeListing[] =>
  nodes.map((held, index) => ({
    peer: { name: `n${index}`, url: '' },
    checkpoints: Object.entries(held).map(([iteration, shards]) => ({
      iteration: Number(iteration),
      shards: Object.entries(shards).map(([shard, token]) => ({
        ...{ shard, bytes: 1, token },
        digest: `${shard}@${iteration} of ${token}`,
      })),
    })),
  }));
const without = (listings: NodeListing[], gone: (iteration: number) => boolean): NodeListing[] =>
  listings.map(({ peer, checkpoints }) => ({
    peer,
    checkpoints: checkpoints.filter(({ iteration }) => !gone(iteration)),
  }));
const ruleOf = (keep: number, every: number | undefined): KeepRule => ({ keep, ...(every && { every }) });

describe('a checkpoint is copied when it is on as many storages as it is to be', () => {
  const listings = listingsOf([{ '10': { a: 1, b: 1 } }, { '10': { a: 1, b: 1 } }, { '10': { a: 1 } }]);
  const isCopied = (groups?: string[][]) => completeOf(listings, SHARDS, 2, groups)[0]!.copied;

  it('each node being one, unless some share it: what two of these list is there once', () => {
    expect(isCopied()).toBe(true);
    expect(isCopied([['n0', 'n1'], ['n2']])).toBe(false);
    expect(isCopied([['n0', 'n2'], ['n1']])).toBe(true);
  });

  it('and a node of which nobody knows is not counted then', () => {
    expect(isCopied([['n0', 'n2'], ['n3']])).toBe(false);
  });
});

describe('what is removed', () => {
  it('takes nothing that anybody may need, whatever nodes hold', () => {
    fc.assert(
      fc.property(cases, ({ nodes, keep, every, copies, tracked }) => {
        const before = listingsOf(nodes);
        const kept = retention(completeOf(before, SHARDS, copies), ruleOf(keep, every));
        const all = [10, 20, 30, 40, 50, 60];
        const gone = expendable(all, kept, [tracked]);
        const after = without(before, (iteration) => gone.includes(iteration));

        // The newest complete ones, with every copy there was of them.
        const complete = completeOf(before, SHARDS, copies);
        expect(newestComplete(after, SHARDS)).toEqual(newestComplete(before, SHARDS));
        expect(completeOf(after, SHARDS, copies).slice(0, keep)).toEqual(complete.slice(0, keep));
        // One that outlives the loss of a node, if there was one.
        const safe = complete.find(({ copied }) => copied);
        expect(completeOf(after, SHARDS, copies).find(({ copied }) => copied)).toEqual(safe);
        // Where there is none, everything may be all there is.
        if (!safe) expect(gone).toEqual([]);
        for (const iteration of gone) {
          expect(iteration).toBeLessThan(safe!.iteration);
          expect(iteration).not.toBe(tracked);
          if (every !== undefined) expect(iteration % every).not.toBe(0);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('is all the rest, so that a disk holds no more than it must', () => {
    fc.assert(
      fc.property(cases, ({ nodes, keep, copies }) => {
        const complete = completeOf(listingsOf(nodes), SHARDS, copies);
        const newest = complete.find(({ copied }) => copied)?.iteration ?? 0;
        const stay = [10, 20, 30, 40, 50, 60].filter(
          (iteration) => !expendable([iteration], retention(complete, { keep })).includes(iteration),
        );
        expect(stay.filter((iteration) => iteration < newest).length).toBeLessThan(Math.max(2, keep));
      }),
    );
  });

  it('keeps every n-th iteration for ever, complete or not', () => {
    const kept = retention(done(500, 600, 700), { keep: 2, every: 200 });
    expect(expendable([100, 150, 200, 400, 450, 500, 600, 700, 750], kept)).toEqual([100, 150, 450, 500]);
  });

  it('counts what is reported twice once, as of a copier that began again', () => {
    const twice = [300, 300, 200, 300].map((iteration) => ({ iteration, copied: iteration === 300 }));
    expect(remembered(twice, { keep: 2 })).toEqual([
      { iteration: 300, copied: true },
      { iteration: 200, copied: false },
    ]);
    expect(retention(remembered(twice, { keep: 2 }), { keep: 2 })).toMatchObject({ before: 300, keep: [200] });
  });

  it('is decided alike from what is remembered of a long training', () => {
    const rule = { keep: 2 };
    const all = [...done(10, 20, 30), { iteration: 40, copied: false }, { iteration: 50, copied: false }];
    expect(remembered(all, rule)).toHaveLength(3);
    expect(retention(remembered(all, rule), rule)).toEqual(retention(all, rule));
  });
});
