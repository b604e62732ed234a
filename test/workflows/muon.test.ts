/** Muon's optimizer writes a file for each data-parallel rank: where a shard is whole on one node all the same. */
import { describe, expect, it } from 'vitest';
import { isModel } from '../../activities/checkpoint-files.js';
import { whyNotFewer } from '../../workflows/fewer-nodes.js';
import { isLayerWise, writtenApart } from '../../workflows/muon.js';
import { isReadWhereWritten } from '../../workflows/optimizer-state.js';
import { describeProblems, parseRunSpec } from '../../workflows/spec.js';
import { placeNodes, placeRanks, type Parallel } from '../../workflows/topology.js';

const MUON = { '--optimizer': 'muon' };

/** Who writes which file: rank `dp` of each (tp, pp, ep), as MindSpeed 26.1.0's muon/checkpointing.py names it. */
function filesByNode(parallel: Parallel, nodes: number, devices: number): Map<string, Set<number>> {
  const files = new Map<string, Set<number>>();
  for (const { rank, shard, dp } of placeRanks(parallel, nodes * devices)) {
    const file = `${shard}/layer_wise_optimizer_${dp}.pt`;
    files.set(file, (files.get(file) ?? new Set()).add(Math.floor(rank / devices)));
  }
  return files;
}

const one = (layout: Partial<Parallel>): Parallel => ({ tp: 1, pp: 1, cp: 1, ep: 1, ...layout });
const LAYOUTS = [1, 2, 4, 8].flatMap((tp) =>
  [1, 2, 4].flatMap((pp) =>
    [1, 2, 4].flatMap((ep) =>
      [1, 2, 4].flatMap((nodes) =>
        (nodes * 8) % (tp * pp * ep) === 0 ? [{ layout: one({ tp, pp, ep }), nodes }] : [],
      ),
    ),
  ),
);

describe('of every layout', () => {
  it('without context parallelism each rank has a file of its own', () => {
    expect(LAYOUTS.length).toBeGreaterThan(60);
    for (const { layout, nodes } of LAYOUTS) expect(filesByNode(layout, nodes, 8).size).toBe(nodes * 8);
  });

  it('a shard is apart exactly where its files are on more than one node, and else its one node writes and loads it', () => {
    for (const { layout, nodes } of LAYOUTS) {
      const on = new Map<string, Set<number>>();
      for (const [file, by] of filesByNode(layout, nodes, 8)) {
        const shard = file.split('/')[0]!;
        on.set(shard, new Set([...(on.get(shard) ?? []), ...by]));
      }
      const places = placeNodes(layout, nodes, 8);
      const apart = new Set(writtenApart(places));
      for (const [shard, by] of on) {
        expect([layout, nodes, shard, apart.has(shard)]).toEqual([layout, nodes, shard, by.size > 1]);
        if (by.size > 1) continue;
        const [node] = by;
        expect(places.filter(({ writes }) => writes.includes(shard)).map(({ nodeRank }) => nodeRank)).toEqual([node]);
      }
    }
  });

  it('with context parallelism two ranks have one file', () => {
    expect(filesByNode(one({ cp: 2 }), 1, 8).size).toBe(4);
  });
});

const answer = (changes: {
  flags?: object;
  parallel?: object;
  cluster?: object;
  release?: string;
  model?: object;
  train?: object;
}): string => {
  const parsed = parseRunSpec(
    {
      model: { preset: 'qwen3-4b', init: 'pretrained', weights: 'hf://Qwen/Qwen3-4B@main', ...changes.model },
      dataset: { source: 'hf://lsb/enwiki20230101@main/data/*.parquet' },
      cluster: { nodes: 2, devicesPerNode: 8, ...changes.cluster },
      parallel: { tp: 1, pp: 2, ...changes.parallel },
      train: {
        ...{ iterations: 20, globalBatch: 64, seqLength: 4096, saveInterval: 10 },
        extraArgs: { ...MUON, ...changes.flags },
        ...changes.train,
      },
      mindspeed: { release: changes.release ?? '26.1.0' },
    },
    'run',
  );
  return 'problems' in parsed ? describeProblems(parsed.problems) : 'fits';
};

describe('a run file with --optimizer muon', () => {
  it.each<[string, Parameters<typeof answer>[0]]>([
    ['whose stages have a node each', {}],
    ['on one node', { cluster: { nodes: 1 }, parallel: { pp: 1 }, train: { replicas: 0 } }],
    ['on storage that nodes share', { parallel: { pp: 1 }, cluster: { sharedStorage: true } }],
    ['without a distributed optimizer', { parallel: { pp: 1 }, flags: { '--use-distributed-optimizer': false } }],
    ['of the older name', { flags: { '--optimizer': 'dist_muon', '--muon-momentum': 0.9 } }],
    [
      'whose preset reuses memory, where that is taken away',
      { model: { preset: 'qwen3-8b' }, flags: { '--reuse-fp32-param': false } },
    ],
  ])('is taken %s', (_, changes) => {
    expect(answer(changes)).toBe('fits');
  });

  it.each<[string, Parameters<typeof answer>[0], RegExp]>([
    [
      'where replicas of a shard are on several nodes',
      { parallel: { pp: 1 } },
      /extraArgs\.--optimizer: expected no "muon" with this layout .*dp = world\/\(tp·pp·cp\) = 16\/\(1·1·1\) = 16 replicas writes its part of mp_rank_00, on more than one node.*pp = 2/,
    ],
    [
      'of the older name, whatever is said of the distributed optimizer',
      { parallel: { pp: 1 }, flags: { '--optimizer': 'dist_muon', '--use-distributed-optimizer': false } },
      /no "dist_muon" with this layout/,
    ],
    [
      'with context parallelism',
      { parallel: { cp: 2 }, cluster: { sharedStorage: true } },
      /no "muon" with parallel\.cp = 2: ranks that share a sequence write .* into one layer_wise_optimizer_<dp>\.pt/,
    ],
    ['in a release before it', { release: '26.0.0' }, /no "muon" in MindSpeed-LLM 26\.0\.0 .*came with 26\.1\.0/],
    ['in one whose parser was never asked', { release: '2.2.0' }, /no "muon" in MindSpeed-LLM 2\.2\.0/],
    ['in fp16', { flags: { '--fp16': true } }, /no "muon" together with --fp16/],
    ['beside reused memory', { model: { preset: 'qwen3-8b' } }, /together with --reuse-fp32-param: no resume/],
    ['beside MindIO', { flags: { '--enable-high-availability': true } }, /together with --enable-high-availability/],
    [
      'with gathers that overlap and nothing that gathers',
      { flags: { '--use-distributed-optimizer': false, '--overlap-param-gather': true } },
      /without --use-distributed-optimizer, which that needs/,
    ],
    [
      'with gathers that overlap and sums that do not',
      { flags: { '--overlap-param-gather': true } },
      /without --overlap-grad-reduce, which that needs/,
    ],
  ])('is refused %s', (_, changes, why) => {
    expect(answer(changes)).toMatch(why);
  });
});

it('other data parallelism does not find its files, every rank reads its own, and an export needs none of them', () => {
  const distributed = { ...MUON, '--use-distributed-optimizer': true };
  expect([isLayerWise(distributed), isLayerWise({ '--optimizer': 'adam' }), isLayerWise({})]).toEqual([
    true,
    false,
    false,
  ]);
  expect(whyNotFewer({ ep: 1 }, distributed)).toMatch(/^--optimizer muon keeps the state .* by data-parallel rank/);
  expect(isReadWhereWritten(distributed)).toBe(false);
  expect(
    ['model_optim_rng.pt', 'distrib_optim.pt', 'layer_wise_optimizer_0.pt', 'layer_wise_optimizer_127.pt'].filter(
      isModel,
    ),
  ).toEqual(['model_optim_rng.pt']);
});
