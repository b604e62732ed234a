/** FSDP2: what a run file may say of it, what `train_fsdp2.py` is told, and the page that a person goes by. */
import { execFile } from 'node:child_process';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { isOfShard, placeDcp } from '../../workflows/dcp-shards.js';
import { fsdp2Environment, fsdp2Script } from '../../workflows/fsdp2.js';
import { onlyFile } from '../../workflows/fsdp2-data.js';
import { fsdp2Identity } from '../../workflows/fsdp2-identity.js';
import { describeFsdp2, planFsdp2 } from '../../workflows/fsdp2-plan.js';
import { FSDP2_PRESETS, fsdp2RecipeOf } from '../../workflows/fsdp2-recipes.js';
import type { Preset } from '../../workflows/presets.js';
import { MACHINES, RELEASES, type Machine, type Release } from '../../workflows/releases.js';
import { followOn, identityOf } from '../../workflows/series-identity.js';
import { parseRunSpec, type Problem, type RunSpec } from '../../workflows/spec.js';
import { complaints, flagsIn, parserOf, readFixture } from '../support/arguments.js';
import { tempDir } from '../support/temp-dir.js';

type Sections = Record<string, object | undefined>;

const good = (more: Sections = {}): Record<string, unknown> => ({
  series: 'books',
  model: { preset: 'qwen3-8b', init: 'pretrained', weights: 'hf://Qwen/Qwen3-8B@main', ...more['model'] },
  ...(more['tokenizer'] && { tokenizer: more['tokenizer'] }),
  dataset: { source: 'hf://lsb/enwiki20230101@main/data/*.parquet', ...more['dataset'] },
  cluster: { nodes: 1, devicesPerNode: 8, machine: 'A2', ...more['cluster'] },
  ...(more['parallel'] && { parallel: more['parallel'] }),
  train: {
    ...{ backend: 'fsdp2', iterations: 2000, globalBatch: 64, seqLength: 4096, saveInterval: 500, replicas: 0 },
    ...more['train'],
  },
  mindspeed: { release: '26.1.0', ...more['mindspeed'] },
  ...(more['export'] && { export: more['export'] }),
});

function read(file: Record<string, unknown>): RunSpec {
  const parsed = parseRunSpec(file, 'run', { byHand: true });
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
  return parsed.spec;
}

function problemsOf(file: Record<string, unknown>, byHand = true): Problem[] {
  const parsed = parseRunSpec(file, 'run', { byHand });
  return 'problems' in parsed ? parsed.problems : [];
}

const CASES = FSDP2_PRESETS.flatMap((preset) =>
  MACHINES.flatMap((machine) =>
    RELEASES.flatMap((release) => (fsdp2RecipeOf(preset, machine, release) ? [{ preset, machine, release }] : [])),
  ),
);

function recommended({ preset, machine, release }: (typeof CASES)[number]): RunSpec {
  const { nodes, devicesPerNode, microBatch } = fsdp2RecipeOf(preset, machine, release)!;
  return read(
    good({
      model: { preset },
      cluster: { nodes, devicesPerNode, machine, sharedStorage: true },
      train: { globalBatch: microBatch * nodes * devicesPerNode },
      mindspeed: { release },
    }),
  );
}

const PATHS = { model: '/m', text: '/t', output: '/o' };

describe('against the examples that MindSpeed-LLM ships', () => {
  type Examples = Record<string, { env: Record<string, string>; args: Record<string, string> }>;
  const examplesOf = (release: Release) => readFixture(`golden/examples/fsdp2-${release}.json`) as Examples;
  const SHORT: Partial<Record<Preset, string>> = {
    ...{ 'qwen3-8b': '8b', 'qwen3-14b': '14b', 'qwen3-32b': '32b' },
    ...{ 'qwen3-30b-a3b': '30b', 'qwen3-235b-a22b': '235b' },
  };
  const nameOf = (preset: Preset, machine: Machine) => `pretrain_qwen3_${SHORT[preset]}_4k_fsdp2_${machine}`;

  /** Paths that a person fills in, and what a run file says. */
  const NOT_COMPARED = new Set([
    ...['--nproc_per_node', '--nnodes', '--model.model_name_or_path', '--model.tokenizer_name_or_path'],
    ...['--data.dataset', '--training.output_dir'],
  ]);
  /** What we say that an example does not, and why. */
  const OURS: Record<string, string> = {
    '--data.no_shared_storage': 'by the storage',
    '--data.data_shared_file_system': 'by the storage',
    '--training.save_total_limit': 'by the run file',
    '--training.save_hf_weights': 'by the run file',
  };
  /** What an example says that we do not, and why. */
  const THEIRS: Record<string, string> = {
    '--data.max_samples': 'a cut for debugging',
    '--data.overwrite_cache': 'of the other data manager',
    '--data.preprocessing_num_workers': 'of the other data manager',
    '--data.packing': 'False, the default',
    '--model.trust_remote_code': 'Qwen3 is in transformers: no code of a model directory is run',
    '--parallel.tp_size': '1, the default',
    '--parallel.cp_size': '1, the default',
    '--parallel.cp_type': 'nothing is split',
    '--parallel.recompute': 'False, the default',
    '--parallel.recompute_modules': 'where nothing is recomputed',
    ...Object.fromEntries(
      ['size', 'fsdp_size', 'modules', 'fsdp_modules', 'dispatcher'].map((name) => [
        `--parallel.ep_${name}`,
        'of experts, in a dense model',
      ]),
    ),
    '--training.num_train_epochs': 'max_steps decides, and the index is built for them',
    '--training.save_epochs': '1, the default',
  };

  it('there is a recipe for every example whose weights are taken as they are published', () => {
    const shipped = (['26.0.0', '26.1.0'] as const).flatMap((release) =>
      Object.keys(examplesOf(release)).map((name) => `${release} ${name}`),
    );
    const merged = ['30b', '235b'].map((size) => `26.0.0 pretrain_qwen3_${size}_4k_fsdp2_A3`);
    expect(CASES.map(({ preset, machine, release }) => `${release} ${nameOf(preset, machine)}`).sort()).toEqual(
      shipped.filter((name) => !merged.includes(name)).sort(),
    );
  });

  it.each(CASES)('$preset on $machine in $release has their arguments and environment', (one) => {
    const spec = recommended(one);
    const example = examplesOf(one.release)[nameOf(one.preset, one.machine)]!;
    const [entry, ...args] = fsdp2Script(spec, PATHS);
    expect([entry, complaints(parserOf(one.release, 'train_fsdp2.py'), args)]).toEqual(['train_fsdp2.py', []]);
    const ours = flagsIn(args);
    const differing = [...new Set([...Object.keys(ours), ...Object.keys(example.args)])]
      .filter((flag) => !NOT_COMPARED.has(flag) && ours[flag] !== example.args[flag])
      .filter((flag) => !(flag in example.args ? (flag in ours ? {} : THEIRS) : OURS)[flag]);
    expect(differing.map((flag) => [flag, ours[flag], example.args[flag]])).toEqual([]);
    const { nodes, devicesPerNode } = fsdp2RecipeOf(one.preset, one.machine, one.release)!;
    expect([String(nodes), String(devicesPerNode)]).toEqual([
      example.args['--nnodes'],
      example.args['--nproc_per_node'],
    ]);
    const { HCCL_CONNECT_TIMEOUT: patience, ...others } = example.env;
    const env = fsdp2Environment(spec);
    expect(env).toMatchObject(others);
    expect(Number(env['HCCL_CONNECT_TIMEOUT'])).toBeGreaterThanOrEqual(Number(patience));
  });
});

describe('what train_fsdp2.py is told', () => {
  const told = (more: Sections = {}) => flagsIn(fsdp2Script(read(good(more)), PATHS));

  it('follows from the run file', () => {
    expect(
      told({ cluster: { nodes: 2 }, train: { globalBatch: 64, microBatch: 2, keepCheckpoints: 5 } }),
    ).toMatchObject({
      '--model.train_from_scratch': 'False',
      '--data.dataset': '{"file_name":"/t"}',
      '--data.no_shared_storage': 'True',
      '--parallel.fsdp_size': '16',
      '--training.gradient_accumulation_steps': '2',
      '--training.max_steps': '2000',
      '--training.save_total_limit': '5',
      '--training.save_hf_weights': 'False',
    });
    expect(told({ model: { init: 'random' }, export: {} })).toMatchObject({
      '--model.train_from_scratch': 'True',
      '--training.save_hf_weights': 'True',
    });
  });

  it('resets attention only where documents have an end, and the other way round', () => {
    const both = ['--data.append_eod', '--data.reset_attention_mask'];
    expect(both.map((flag) => told({ dataset: { appendEod: true } })[flag])).toEqual(['True', 'True']);
    expect(both.filter((flag) => flag in told())).toEqual([]);
  });

  it('has arguments of the user in the place of those of the example', () => {
    const extraArgs = { '--training.lr': 1e-4, '--parallel.recompute': false, '--training.profile_ranks': [0, 1] };
    expect(told({ train: { extraArgs } })).toMatchObject({
      '--training.lr': '0.0001',
      '--parallel.recompute': 'False',
      '--training.profile_ranks': '0 1',
    });
  });
});

describe('a run file for FSDP2', () => {
  const apart = { cluster: { sharedStorage: false } };

  it('goes into a run where nodes share no storage and the last iteration is saved', () => {
    expect(problemsOf(good(apart), false)).toEqual([]);
  });

  it.each<[string, Sections, string, RegExp]>([
    ['storage that nodes may share', { cluster: {} }, 'cluster.sharedStorage', /^false in a run .*storage of its own/],
    ['an end that is not saved', { train: { saveInterval: 300 } }, 'train.saveInterval', /divisor of .* = 2000/],
    ['an export', { export: {} }, 'export', /no such field in a run .* yet; npm run plan prints the command/],
  ])('may not have %s in a run, though by hand it may', (_, more, path, expected) => {
    const file = good({ ...apart, ...more });
    expect(problemsOf(file)).toEqual([]);
    expect(problemsOf(file, false)).toMatchObject([{ path, expected: expect.stringMatching(expected) as string }]);
  });

  it('may not go on with fewer nodes in a run: each rank has a state of its own', () => {
    const fewer = { ...good(apart), recovery: { fewerNodes: { atLeast: 1, after: '5m' } } };
    expect(problemsOf(fewer, false)).toMatchObject([{ path: 'recovery.fewerNodes' }]);
  });

  it.each(RELEASES.filter((release) => release < '26' && release.length < 6))(
    'is refused by name for %s',
    (release) => {
      for (const byHand of [true, false])
        expect(problemsOf(good({ mindspeed: { release } }), byHand)[0]).toMatchObject({
          path: 'train.backend',
          expected: `"mcore": MindSpeed-LLM ${release} has no train_fsdp2.py, which came with 26.0.0`,
        });
    },
  );

  it.each<[string, Sections, string, RegExp]>([
    [
      'a preset without an example',
      { model: { preset: 'qwen3-4b' } },
      'model.preset',
      /26\.1\.0 .*: qwen3-8b \(A2, A3\)/,
    ],
    [
      'a machine without one',
      { cluster: { machine: 'A2' }, model: { preset: 'qwen3-32b' } },
      'model.preset',
      /qwen3-32b \(A3\)/,
    ],
    ['no weights', { model: { init: 'random', weights: undefined } }, 'model.weights', /sizes and tokenizer/],
    ['another tokenizer', { tokenizer: { source: 'hf://a/b@main' } }, 'tokenizer.source', /no such field/],
    ['another column', { dataset: { keys: ['body'] } }, 'dataset.keys', /\["text"\]/],
    [
      'a document end in 26.0.0',
      { dataset: { appendEod: true }, mindspeed: { release: '26.0.0' } },
      'dataset.appendEod',
      /false/,
    ],
    [
      'a document end in batches',
      { dataset: { appendEod: true }, train: { microBatch: 2 } },
      'train.microBatch',
      /^1, /,
    ],
    ['tensor parallelism', { parallel: { tp: 2 } }, 'parallel.tp', /fsdp_size must be the world/],
    ['pipeline stages', { parallel: { pp: 2 } }, 'parallel.pp', /no pipeline stages/],
    ['context parallelism', { parallel: { cp: 2 } }, 'parallel.cp', /^1 /],
    ['empty layers', { parallel: { noopLayers: [0] } }, 'parallel.noopLayers', /no such field/],
    ['experts in a dense model', { parallel: { ep: 2 } }, 'parallel.ep', /no experts/],
    ['a batch that is uneven', { train: { globalBatch: 60 } }, 'train.globalBatch', /1·8 = 8/],
    ['an end on the way', { train: { iterationsPerRun: 500 } }, 'train.iterationsPerRun', /2000/],
    ['pinned checkpoints', { train: { keepEvery: 1000 } }, 'train.keepEvery', /no such field/],
    ['a place for the model', { export: { to: 'file:///models' } }, 'export.to', /no such field/],
    [
      "the other script's flag",
      { train: { extraArgs: { '--lr': 1 } } },
      'train.extraArgs.--lr',
      /a flag of train_fsdp2\.py/,
    ],
    [
      'a misspelt one',
      { train: { extraArgs: { '--training.learn_rate': 1 } } },
      'train.extraArgs.--training.learn_rate',
      /a flag of/,
    ],
    [
      'one that a field decides',
      { train: { extraArgs: { '--training.max_steps': 1 } } },
      'train.extraArgs.--training.max_steps',
      /train\.iterations/,
    ],
    [
      'a secret',
      { train: { extraArgs: { '--model.hf_hub_token': 'x' } } },
      'train.extraArgs.--model.hf_hub_token',
      /never in a run file/,
    ],
    [
      'a switch that is none',
      { train: { extraArgs: { '--parallel.recompute': 'maybe' } } },
      'train.extraArgs.--parallel.recompute',
      /true or false/,
    ],
    ['no number', { train: { extraArgs: { '--training.lr': 'high' } } }, 'train.extraArgs.--training.lr', /a number/],
    [
      'a path elsewhere',
      { train: { extraArgs: { '--training.profile_save_path': '/etc' } } },
      'train.extraArgs.--training.profile_save_path',
      /relative/,
    ],
  ])('may not have %s', (_, more, path, expected) => {
    expect(problemsOf(good(more))).toMatchObject([{ path, expected: expect.stringMatching(expected) as string }]);
  });

  it('splits experts over the world', () => {
    const moe = { model: { preset: 'qwen3-30b-a3b' }, cluster: { nodes: 3, devicesPerNode: 16, machine: 'A3' } };
    const train = { globalBatch: 48 };
    expect(problemsOf(good({ ...moe, train, parallel: { ep: 32 } }))).toMatchObject([{ path: 'parallel.ep' }]);
    const flags = flagsIn(fsdp2Script(read(good({ ...moe, train, parallel: { ep: 16 } })), PATHS));
    expect([flags['--parallel.ep_size'], flags['--parallel.ep_fsdp_size']]).toEqual(['16', '3']);
  });

  it('is not needed for the other backend, which takes none of its flags', () => {
    const extraArgs = { '--training.lr': 1 };
    expect(problemsOf(good({ train: { backend: 'mcore', extraArgs } }))).toMatchObject([
      { path: 'train.extraArgs.--training.lr', expected: expect.stringContaining('pretrain_gpt.py') as string },
    ]);
    expect(problemsOf(good({ train: { backend: 'ddp' } }))).toMatchObject([
      { path: 'train.backend', expected: '"mcore" or "fsdp2"' },
    ]);
  });
});

describe('the text that train_fsdp2.py is given', () => {
  const source = 'hf://a/b@main/*';

  it('is one file, which it reads as it is', () => {
    expect(onlyFile(source, ['data/a.parquet'])).toBe('data/a.parquet');
    expect(() => onlyFile(source, ['a.jsonl', 'b.jsonl'])).toThrow(
      `dataset.source ${source}: expected one file of text with train.backend "fsdp2": it lists 2, which train_fsdp2.py reads in the order in which each node's disk has them`,
    );
    expect(() => onlyFile(source, ['a.jsonl.zst'])).toThrow(
      'train_fsdp2.py does not read a.jsonl.zst, which is compressed',
    );
  });
});

describe('a series of FSDP2', () => {
  const identity = (more: Sections = {}) => fsdp2Identity(read(good(more)));
  const refusal = (more: Sections) => followOn(identity(), identity(more), read(good(more))).refusal;

  it('goes on with what only makes it faster, or says where things are', () => {
    expect(refusal({ train: { extraArgs: { '--parallel.recompute': false } } })).toBeUndefined();
    expect(refusal({ train: { saveInterval: 250, keepCheckpoints: 4 } })).toBeUndefined();
  });

  it.each<[string, Sections, RegExp]>([
    ['more ranks', { cluster: { nodes: 2 } }, /cluster\.nodes × cluster\.devicesPerNode was 8 and is 16/],
    [
      'another learning rate',
      { train: { extraArgs: { '--training.lr': 1e-4 } } },
      /--training\.lr was "1e-05" and is 0\.0001/,
    ],
    [
      'another total',
      { train: { iterations: 4000 } },
      /--training\.max_steps was 2000 and is 4000\. Give what is named/,
    ],
    ['longer samples', { train: { seqLength: 8192 } }, /train\.seqLength was 4096 and is 8192/],
  ])('does not with %s', (_, more, expected) => {
    expect(refusal(more)).toMatch(expected);
    expect(refusal(more)).not.toContain('opt_param-scheduler');
  });

  it('is none of the other script, nor the other way round', () => {
    const spec = read(good());
    const mcore = { ...spec, train: { ...spec.train, backend: 'mcore' as const } };
    expect(followOn(identityOf(mcore), identity(), spec).refusal).toContain('train.backend was "mcore" and is "fsdp2"');
    expect(followOn(identity(), identityOf(mcore), mcore).refusal).toContain(
      'train.backend was "fsdp2" and is "mcore"',
    );
  });
});

describe('checkpoints of two nodes with two ranks each', () => {
  const [first, second] = placeDcp({ ep: 1 }, 2, 2);

  it('have a shard of each node, which each node loads all of', () => {
    expect([first!.writes, second!.writes]).toEqual([['dcp_00000_00001'], ['dcp_00002_00003']]);
    for (const { loads } of [first!, second!]) expect(loads).toEqual(['dcp_00000_00001', 'dcp_00002_00003']);
  });

  it('have each file in one of them, the mark of the end in that of rank 0', () => {
    const files = ['.metadata', '__0_0.distcp', '__3_15.distcp', 'extra_state/extra_state_rank_2.pt', '__10_0.distcp'];
    const of = (shard: string) => files.filter((file) => isOfShard(shard, file));
    expect(of('dcp_00000_00001')).toEqual(['.metadata', '__0_0.distcp']);
    expect(of('dcp_00002_00003')).toEqual(['__3_15.distcp', 'extra_state/extra_state_rank_2.pt']);
    expect(of('mp_rank_00')).toEqual([]);
  });
});

describe('the plan', () => {
  const spec = read(good({ cluster: { nodes: 2 } }));
  const plan = planFsdp2(spec);
  const page = describeFsdp2(plan, spec);

  it('is the page that is written down', async () => {
    await expect(`${page}\n`).toMatchFileSnapshot('../fixtures/commands/fsdp2-qwen3-8b-A2.txt');
  });

  it('says of every file of a checkpoint who writes it: all ranks theirs, rank 0 the mark of its end', () => {
    const all = plan.nodes.flatMap(({ writes }) => writes);
    for (let rank = 0; rank < plan.world; rank++)
      expect(all.filter((file) => new RegExp(`^__${rank}_|_rank_${rank}\\.pt$`).test(file))).toHaveLength(2);
    expect(plan.nodes.map(({ writes }) => writes.includes('.metadata'))).toEqual([true, false]);
    expect(all).toHaveLength(2 * plan.world + 1);
  });

  it('can be pasted: a shell that knows the variables runs exactly the planned command, in the checkout', async () => {
    const [bin, checkout] = [await tempDir(), await tempDir()];
    const told = join(bin, 'told');
    await writeFile(join(bin, 'python3'), `#!/bin/bash\nprintf '%s\\0' "$PWD" "$TRAINING_BACKEND" "$@" > ${told}\n`);
    await chmod(join(bin, 'python3'), 0o755);
    const values: Record<string, string> = {
      ...{ DATA: '/data', MINDSPEED_LLM: checkout, MASTER_ADDR: '10.0.0.1', MASTER_PORT: '6499', NIC: 'eth0' },
      ...{ MODEL: '/models/Qwen3 8B', TEXT: '/text' },
    };
    const lines = page.split('\n');
    expect(lines.flatMap((line) => /^export (\w+)=/.exec(line)?.[1] ?? []).sort()).toEqual(Object.keys(values).sort());
    for (const { node, command } of plan.nodes) {
      const at = lines.findIndex((line) => line.startsWith(`${node}: `));
      const pasted = [...lines.slice(at + 1, at + 3)].join('\n');
      await promisify(execFile)('bash', ['-c', pasted], { env: { ...values, PATH: `${bin}:/usr/bin:/bin` } });
      const [cwd, backend, ...args] = (await readFile(told, 'utf8')).split('\0').slice(0, -1);
      const filled = command.map((arg) => arg.replace(/\$(\w+)/g, (_, name: string) => values[name]!));
      expect([cwd, backend, ...args]).toEqual([checkout, 'mindspeed_fsdp', ...filled.slice(1)]);
    }
  });
});
