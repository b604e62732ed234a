/** From run file to argument lists and shards. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toMegatron } from '../../workflows/convert-command.js';
import {
  autoShards,
  shardsAtOnce,
  indexCacheApart,
  MOST_SHARDS,
  planAtMost,
  planShards,
  targetOf,
  tooManyShards,
  torchrunArgs,
  trainingScript,
} from '../../workflows/plan.js';
import { parseRunSpec, type RunSpec } from '../../workflows/spec.js';

function spec(train: object = {}): RunSpec {
  const result = parseRunSpec(
    {
      model: { preset: 'qwen3-tiny' },
      tokenizer: { source: 'hf://a/b' },
      dataset: { source: 'hf://c/d/*.parquet' },
      cluster: { nodes: 2, devicesPerNode: 1 },
      parallel: { pp: 2 },
      train: { iterations: 20, globalBatch: 4, seqLength: 128, saveInterval: 10, ...train },
    },
    's',
  );
  if ('problems' in result) throw new Error(JSON.stringify(result.problems));
  return result.spec;
}

const plan = {
  dataPrefix: 'datasets/k/prefix_text_document',
  tokenizer: 'models/k/tokenizer',
  target: 20,
  shared: false,
};
const script = (file: RunSpec, more: object) => trainingScript(file, { ...plan, start: { from: 'random' }, ...more });

describe('the training command', () => {
  it('from random weights loads nothing', () => {
    const args = script(spec(), {});
    expect(args[0]).toBe('pretrain_gpt.py');
    expect(args).not.toContain('--load');
    expect(args).toEqual(
      expect.arrayContaining(['--save', 'series/s/checkpoints', '--no-shared-storage', '--exit-signal-handler']),
    );
  });

  it('keeps the index beside the dataset, or apart from what other nodes write', () => {
    expect(script(spec(), {})).not.toContain('--data-cache-path');
    const apart = script(spec(), { indexCache: indexCacheApart('datasets/k') });
    expect(apart.join(' ')).toContain('--no-shared-storage --data-cache-path cache/indices/k');
  });

  it('from pretrained weights begins at iteration 0 without an optimizer', () => {
    const args = script(spec(), { start: { from: 'pretrained', dir: 'models/w/mcore' } });
    expect(args.join(' ')).toContain(
      '--load models/w/mcore --finetune --no-load-optim --no-load-rng --exit-on-missing-checkpoint',
    );
  });

  it('from its own checkpoint takes the optimizer along', () => {
    const args = script(spec(), { start: { from: 'checkpoint', iteration: 10 } });
    expect(args.join(' ')).toContain('--load series/s/checkpoints --exit-on-missing-checkpoint');
    for (const flag of ['--finetune', '--no-load-optim', '--no-load-rng']) expect(args).not.toContain(flag);
  });

  it('ends a run before its series by an exit at the target', () => {
    expect(script(spec({ iterationsPerRun: 10 }), { target: 10 }).join(' ')).toContain('--exit-interval 10');
    expect(script(spec(), { target: 20 })).not.toContain('--exit-interval');
  });

  it('takes extra flags over defaults, and takes a default away for false', () => {
    const args = script(spec({ extraArgs: { '--lr': '1e-3', '--bf16': false, '--log-throughput': true } }), {});
    expect(args.filter((arg) => arg === '--lr')).toHaveLength(1);
    expect(args.join(' ')).toContain('--lr 1e-3');
    expect(args).toContain('--log-throughput');
    expect(args).not.toContain('--bf16');
  });

  it('names node 0 as the master on every node', () => {
    const nodes = ['a', 'b'].map((name) => ({
      name,
      address: `10.0.0.${name}`,
      port: 1,
      devices: 8,
      profile: 'npu' as const,
    }));
    expect(torchrunArgs(1, nodes, 8, 6000).join(' ')).toBe(
      '--nproc_per_node 8 --nnodes 2 --node_rank 1 --master_addr 10.0.0.a --master_port 6000 --monitor_interval 0.1',
    );
  });
});

it('conversion is for the layout that trains', () => {
  expect(toMegatron(spec(), 'models/w/hf').args.join(' ')).toContain(
    '--target-tensor-parallel-size 1 --target-pipeline-parallel-size 2',
  );
});

describe('a run ends', () => {
  it.each([
    [undefined, 0, 20],
    [10, 0, 10],
    [10, 10, 20],
    [10, 5, 10],
    [8, 16, 20],
    [8, 20, 20],
  ])('with iterationsPerRun %s after %d at %d', (iterationsPerRun, done, target) => {
    expect(targetOf(spec(iterationsPerRun ? { iterationsPerRun } : {}), done)).toBe(target);
  });
});

describe('shards', () => {
  it('in order are the files in order, each row once, whatever their number', () => {
    const files = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(files, fc.integer({ min: 1, max: 20 }), (sizes, wanted) => {
        const input = sizes.map((size, index) => ({ path: `f${index}.txt`, size }));
        const shards = planShards(input, wanted);
        const seen = shards.flatMap(({ files: some, slice }) =>
          some.map(({ path }) => `${path} ${slice.index}/${slice.of}`),
        );
        const expected = input.flatMap(({ path }) => {
          const of = shards.find(({ files: some }) => some.some((file) => file.path === path))!.slice.of;
          return Array.from({ length: of }, (_, index) => `${path} ${index}/${of}`);
        });
        expect(seen).toEqual(expected);
      }),
    );
  });

  it('cut one large file for all nodes and join many small ones', () => {
    expect(planShards([{ path: 'a.parquet', size: 100 }], 4)).toHaveLength(4);
    expect(planShards([{ path: 'a.jsonl.gz', size: 100 }], 4)).toHaveLength(1);
    expect(
      planShards(
        Array.from({ length: 100 }, (_, i) => ({ path: String(i), size: 1 })),
        4,
      ),
    ).toHaveLength(4);
  });

  it('are no more than a preparation takes, however much data there is, and none of it is left out', () => {
    const lists = [
      ...[20_000, 3000, 1].map((count) => ({ count, size: 2 * 2 ** 40 })),
      { count: 4500, size: 1.6 * 2 ** 30 },
      { count: 10_000, size: 1000 },
    ];
    for (const { count, size } of lists)
      for (const ending of ['parquet', 'jsonl.gz']) {
        const input = Array.from({ length: count }, (_, index) => ({ path: `${index}.${ending}`, size: size + index }));
        const plans = planAtMost(input, MOST_SHARDS);
        expect(plans.length).toBeLessThanOrEqual(MOST_SHARDS);
        if (count >= 3000) expect(plans.length).toBeGreaterThan(MOST_SHARDS / 2);
        expect(new Set(plans.flatMap(({ files }) => files)).size).toBe(count);
      }
  });

  it('are named in one call that the server takes, and refused with what to do where they are more', () => {
    const peer = { name: 'n'.repeat(63), url: `https://${'n'.repeat(63)}:65535`, token: 't'.repeat(43) };
    const artifact = { dir: `datasets/${'k'.repeat(20)}/shards/00000-of-03000`, digest: 'd'.repeat(64) };
    const shard = { artifact: { ...artifact, files: 10, bytes: 1e13 }, from: [peer] };
    expect(JSON.stringify(Array.from({ length: MOST_SHARDS }, () => shard)).length).toBeLessThan(1_900_000);
    const { preprocess } = spec();
    expect(tooManyShards({ ...preprocess, engine: 'mindspeed' }, 5000)).toMatch(
      /each of its 5000 files .* 3000 at most/,
    );
    expect(tooManyShards({ ...preprocess, shards: 9000 }, 9001)).toMatch(/^preprocess\.shards is 9000, .* or "auto"$/);
  });

  it('are one a node at least, and of a size that is soon made again', () => {
    expect(autoShards([{ path: 'a.parquet', size: 100 }], 3)).toBe(3);
    expect(autoShards([{ path: 'a.parquet', size: 10 * 2 ** 30 }], 3)).toBe(40);
    // Less than that is for the cores of the nodes, as long as it is worth it.
    expect(autoShards([{ path: 'a.parquet', size: 320 * 2 ** 20 }], 3)).toBe(10);
    expect(autoShards([{ path: 'a.parquet', size: 2 * 2 ** 30 }], 1)).toBe(8);
  });

  it('are made eight at a time on each node, and never more at once than the server takes of one workflow', () => {
    expect(shardsAtOnce(3)).toBe(24);
    for (const nodes of [125, 250, 1000, 2000]) expect(shardsAtOnce(nodes)).toBe(1000);
  });
});
