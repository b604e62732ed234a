/** Which nodes bring the model of a shard alone at a resume, against a count of the ranks of every optimizer's groups. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isReadWhereWritten, modelOnly } from '../../workflows/optimizer-state.js';
import { placeNodes } from '../../workflows/topology.js';
import { expertGrids } from '../support/expert-grids.js';

const dense = { tp: 1, pp: 1, cp: 1, ep: 1 };
const named = (places: ReturnType<typeof placeNodes>) => places.map((place, rank) => ({ ...place, name: `n${rank}` }));
const nobody = { holders: () => [], copies: 0 };

describe('the recorded layouts of MindSpeed-LLM', () => {
  it('with DP2 alone: node 0 loads the optimizer and hands it out, node 1 needs the model', () => {
    expect(modelOnly(named(placeNodes(dense, 2, 1)), nobody)).toEqual([[], ['mp_rank_00']]);
  });

  it('with PP2 and DP2, each stage on one node: both need all of theirs', () => {
    expect(modelOnly(named(placeNodes({ ...dense, pp: 2 }, 2, 2)), nobody)).toEqual([[], []]);
  });

  it('with PP2 and DP2 on four nodes: the second of each stage needs the model', () => {
    const stages = ['mp_rank_00_000', 'mp_rank_00_001'];
    expect(modelOnly(named(placeNodes({ ...dense, pp: 2 }, 4, 1)), nobody)).toEqual([[], [stages[0]], [], [stages[1]]]);
  });
});

it('in any layout a node that brings the model alone has no rank that is the first of a group, of dense weights or experts', () => {
  fc.assert(
    fc.property(expertGrids, ({ tp, cp, dp, pp, ep, etp, devices }) => {
      const stage = tp * cp * dp;
      const first = new Set<number>();
      for (let p = 0; p < pp; p++) {
        // Dense: one group for each place in a TP group, over all of DP and CP. Experts: one for each place in the ETP × EP grid.
        for (let t = 0; t < tp; t++) first.add(p * stage + t);
        if (ep > 1) for (let place = 0; place < etp * ep; place++) first.add(p * stage + place);
      }
      const places = placeNodes({ tp, cp, pp, ep, etp }, (stage * pp) / devices, devices);
      const parts = modelOnly(named(places), nobody);
      for (const [node, { ranks, loads }] of places.entries()) {
        const reads = new Set(ranks.filter(({ rank }) => first.has(rank)).map(({ shard }) => shard));
        expect([...parts[node]!].sort()).toEqual(loads.filter((shard) => !reads.has(shard)).sort());
      }
    }),
  );
});

describe('of a shard that several nodes load', () => {
  const nodes = named(placeNodes(dense, 5, 1));
  const only = (wholes: { holders: string[]; copies: number; groups?: string[][] }) =>
    modelOnly(nodes, { ...wholes, holders: () => wholes.holders }).flatMap((shards, rank) =>
      shards.length > 0 ? [`n${rank}`] : [],
    );

  it('as many bring all as there are to be copies, counting those that have it, spares too', () => {
    expect(only({ holders: [], copies: 2 })).toEqual(['n2', 'n3', 'n4']);
    expect(only({ holders: ['n3'], copies: 2 })).toEqual(['n1', 'n2', 'n4']);
    expect(only({ holders: ['spare'], copies: 2 })).toEqual(['n1', 'n2', 'n3', 'n4']);
    expect(only({ holders: ['spare'], copies: 4 })).toEqual(['n3', 'n4']);
    expect(only({ holders: [], copies: 9 })).toEqual([]);
  });

  it('those on one storage find there all of it where one of them needs that, and storages are counted', () => {
    const groups = [['n0', 'n1'], ['n2', 'n3'], ['n4']];
    expect(only({ holders: [], copies: 1, groups })).toEqual(['n2', 'n3', 'n4']);
    expect(only({ holders: [], copies: 2, groups })).toEqual(['n4']);
    expect(only({ holders: ['n3'], copies: 2, groups })).toEqual(['n4']);
  });
});

it('other ranks may read it with flags that give groups, places or formats of their own', () => {
  expect(isReadWhereWritten({ '--reuse-fp32-param': true, '--use-distributed-optimizer': true })).toBe(true);
  expect(isReadWhereWritten({ '--num-distributed-optimizer-instances': '2' })).toBe(false);
  expect(isReadWhereWritten({ '--enable-high-availability': true })).toBe(false);
  expect(isReadWhereWritten({ '--enable-high-availability': false })).toBe(true);
});
