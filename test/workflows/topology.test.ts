/** Where ranks sit and what their nodes read and write, against the recorded runs and a brute-force reading of Megatron's order. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allShards, placeNodes, placeRanks } from '../../workflows/topology.js';
import { expertGrids } from '../support/expert-grids.js';

const dense = { tp: 1, pp: 1, cp: 1, ep: 1 };

describe('the recorded runs of MindSpeed-LLM', () => {
  it('on two nodes with two ranks each, PP2 and DP2: each node writes its own stage', () => {
    const places = placeNodes({ ...dense, pp: 2 }, 2, 2);
    expect(places.map(({ writes }) => writes)).toEqual([['mp_rank_00_000'], ['mp_rank_00_001']]);
    expect(places.map(({ loads }) => loads)).toEqual([['mp_rank_00_000'], ['mp_rank_00_001']]);
    expect(places.every(({ readsDataset }) => readsDataset)).toBe(true);
  });

  it('on one node with PP2: both stages', () => {
    expect(placeNodes({ ...dense, pp: 2 }, 1, 2)[0]!.writes).toEqual(['mp_rank_00_000', 'mp_rank_00_001']);
  });

  it('with DP2 alone: node 0 writes everything, and node 1 loads it all the same', () => {
    const places = placeNodes(dense, 2, 1);
    expect(places.map(({ writes }) => writes)).toEqual([['mp_rank_00'], []]);
    expect(places.map(({ loads }) => loads)).toEqual([['mp_rank_00'], ['mp_rank_00']]);
  });

  it('with TP8 and PP2 on two nodes of eight: the shards of stage 0 on node 0, of stage 1 on node 1', () => {
    const places = placeNodes({ ...dense, tp: 8, pp: 2 }, 2, 8);
    expect(places[1]!.writes).toEqual(Array.from({ length: 8 }, (_, tp) => `mp_rank_0${tp}_001`));
  });

  it('with more TP than devices a node: a node without TP rank 0 reads no dataset', () => {
    expect(placeNodes({ ...dense, tp: 4 }, 2, 2).map(({ readsDataset }) => readsDataset)).toEqual([true, false]);
  });

  it('with experts: PPP and EEE are both there, and either alone when the other is 1', () => {
    expect(allShards({ ...dense, pp: 2, ep: 2 }, 4)).toEqual([
      'mp_rank_00_000_000',
      'mp_rank_00_000_001',
      'mp_rank_00_001_000',
      'mp_rank_00_001_001',
    ]);
    expect(allShards({ ...dense, ep: 2 }, 2)).toEqual(['mp_rank_00_000', 'mp_rank_00_001']);
  });
});

it('with experts that are whole while attention is cut, only those pairs of TP and EP that some rank has', () => {
  // Qwen3-Coder-480B: TP4 PP4 EP32 ETP1 on 16 × 16. The converter writes the same pairs: tp = ep % 4.
  const shards = allShards({ tp: 4, pp: 4, cp: 1, ep: 32, etp: 1 }, 256);
  expect(shards).toHaveLength(4 * 32);
  const pairs = shards.map((shard) => /mp_rank_(\d+)_\d+_(\d+)/.exec(shard)!.slice(1).map(Number));
  for (const [tp, ep] of pairs) expect(tp).toBe(ep! % 4);
});

describe('any dense layout', () => {
  const layouts = fc.record({
    tp: fc.constantFrom(1, 2, 4),
    pp: fc.constantFrom(1, 2, 3, 4),
    cp: fc.constantFrom(1, 2),
    dp: fc.integer({ min: 1, max: 5 }),
    nodes: fc.constantFrom(1, 2, 3, 4, 6),
  });

  it('places ranks as nested loops over pp, dp, cp, tp count them', () => {
    fc.assert(
      fc.property(layouts, ({ tp, pp, cp, dp }) => {
        const expected: object[] = [];
        for (let p = 0; p < pp; p++)
          for (let d = 0; d < dp; d++)
            for (let c = 0; c < cp; c++)
              for (let t = 0; t < tp; t++) expected.push({ rank: expected.length, tp: t, cp: c, dp: d, pp: p });
        expect(placeRanks({ tp, pp, cp, ep: 1 }, tp * pp * cp * dp)).toMatchObject(expected);
      }),
    );
  });

  it('has every shard written by exactly one node and every shard a node writes loaded there', () => {
    fc.assert(
      fc.property(layouts, ({ tp, pp, cp, dp, nodes }) => {
        const world = tp * pp * cp * dp;
        fc.pre(world % nodes === 0);
        const places = placeNodes({ tp, pp, cp, ep: 1 }, nodes, world / nodes);
        expect(places.flatMap(({ writes }) => writes).sort()).toEqual(allShards({ tp, pp, cp, ep: 1 }, world));
        for (const { loads, writes } of places) expect(loads).toEqual(expect.arrayContaining(writes));
      }),
    );
  });
});

describe('any layout with experts', () => {
  it('has each node load what two nested counts of its ranks say, and each shard written by one node that loads it', () => {
    fc.assert(
      fc.property(expertGrids, ({ tp, cp, dp, pp, ep, etp, devices }) => {
        const shards: string[] = [];
        const [ppp, eee] = [(p: number) => (pp > 1 ? `_00${p}` : ''), (e: number) => (ep > 1 ? `_00${e}` : '')];
        for (let p = 0; p < pp; p++) {
          const tensor: number[] = [];
          const expert: number[] = [];
          for (let d = 0; d < dp; d++) for (let c = 0; c < cp; c++) for (let t = 0; t < tp; t++) tensor.push(t);
          for (let r = 0; r < tensor.length / (ep * etp); r++)
            for (let e = 0; e < ep; e++) for (let t = 0; t < etp; t++) expert.push(e);
          shards.push(...tensor.map((t, rank) => `mp_rank_0${t}${ppp(p)}${eee(expert[rank]!)}`));
        }
        const places = placeNodes({ tp, pp, cp, ep, etp }, shards.length / devices, devices);
        const held = places.map((_, node) => [...new Set(shards.slice(node * devices, (node + 1) * devices))].sort());
        expect(places.map(({ loads }) => [...loads].sort())).toEqual(held);
        expect(places.flatMap(({ writes }) => writes).sort()).toEqual([...new Set(shards)].sort());
        for (const { loads, writes } of places) expect(loads).toEqual(expect.arrayContaining(writes));
      }),
    );
  });
});
