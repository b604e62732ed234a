/**
 * Every recommended command against the example script that MindSpeed-LLM ships for it, argument by argument. The
 * recorded arguments (test/fixtures/golden/examples) are what those scripts hand to torchrun and the converter.
 */
import { describe, expect, it } from 'vitest';
import { toHuggingFace, toMegatron } from '../../workflows/convert-command.js';
import { launchEnvironment } from '../../workflows/launch-environment.js';
import { trainingScript } from '../../workflows/plan.js';
import type { Preset } from '../../workflows/presets.js';
import { recipeOf } from '../../workflows/recipes.js';
import { RELEASES, type Machine, type Release } from '../../workflows/releases.js';
import { flagsIn, readFixture } from '../support/arguments.js';
import { RECOMMENDED, recommended } from '../support/run-files.js';

type Examples = Record<string, { program: string; env: Record<string, string>; args: Record<string, string> }>;
const examplesOf = (release: Release) => readFixture(`golden/examples/${release}.json`) as Examples;

const SCRIPTS: Partial<Record<Preset, Partial<Record<Machine, string>>>> = {
  'qwen3-0.6b': { A2: 'pretrain_qwen3_0point6b_4K_ptd' },
  'qwen3-1.7b': { A2: 'pretrain_qwen3_1point7b_4K_ptd' },
  'qwen3-4b': { A2: 'pretrain_qwen3_4b_4K_ptd' },
  'qwen3-8b': { A2: 'pretrain_qwen3_8b_4K_ptd', A3: 'pretrain_qwen3_8b_4K_ptd_A3' },
  'qwen3-14b': { A2: 'pretrain_qwen3_14b_4K_ptd', A3: 'pretrain_qwen3_14b_4K_ptd_A3' },
  'qwen3-32b': { A2: 'pretrain_qwen3_32b_4K_ptd', A3: 'pretrain_qwen3_32b_4K_ptd_A3' },
  'qwen3-30b-a3b': { A2: 'pretrain_qwen3_30b_a3b_4K_ptd' },
  'qwen3-235b-a22b': { A3: 'pretrain_qwen3_235b_a22b_4k_A3_ptd' },
  'qwen3-coder-480b-a35b': { A3: 'pretrain_qwen3_480b_4k_A3_ptd' },
};

/** Options of torchrun, and paths that a person fills in. */
const NOT_COMPARED = new Set([
  ...['--nproc_per_node', '--nnodes', '--node_rank', '--master_addr', '--master_port'],
  ...['--data-path', '--tokenizer-name-or-path', '--load', '--save'],
]);

/** What we say that an example does not, and why. */
const OURS: Record<string, string> = {
  '--finetune': 'iteration 0 instead of 1, so that no batch is skipped',
  '--exit-on-missing-checkpoint': 'never silently from random weights',
  '--exit-signal-handler': 'a stop saves',
  '--tensorboard-dir': 'curves',
  '--ckpt-format': 'forced by the code up to 26.0.0, named since',
  '--kv-channels': 'hidden/heads where it is not named, which is the same number',
  '--norm-epsilon': "a slip of the older scripts: Megatron's default is 1e-5, the models' is 1e-6",
  '--no-shared-storage': 'by the measured storage',
  '--context-parallel-size': '1, the default',
  '--context-parallel-algo': 'nothing is split',
};
/** What an example says that we do not, and why. */
const THEIRS: Record<string, string> = {
  '--norm-topk-prob': 'of experts, in a dense model (1.7B)',
  '--sequence-parallel': 'without tensor parallelism it is switched off again',
  '--context-parallel-algo': 'nothing is split',
  '--reset-attention-mask': 'only with end-of-document tokens in the data, which these examples do not add',
  '--reset-position-ids': 'the same',
  ...{ '--enable-hf2mg-convert': 'converts at each launch, so never resumes', '--model-type-hf': 'the same' },
  ...{ '--handler-name': 'for raw data as --data-path', '--workers': 'the same' },
};
/** Same flag, other value. */
const OTHER: Record<string, string> = {
  '--max-position-embeddings': 'has no effect on rotary positions',
  '--save-interval': 'the run file says it',
  '--eval-interval': 'nothing is evaluated',
  '--context-parallel-algo': 'nothing is split',
};

const cases = RECOMMENDED.filter(({ preset, machine, release }) => recipeOf(preset, machine, release)!.published);

it('there is a recipe for every example, and an example for every recipe', () => {
  const names = cases.map(({ preset, machine, release }) => `${release} ${SCRIPTS[preset]?.[machine]}`);
  const shipped = RELEASES.flatMap((release) =>
    Object.keys(examplesOf(release)).flatMap((name) => (name.startsWith('pretrain') ? [`${release} ${name}`] : [])),
  );
  expect(names.sort()).toEqual(shipped.sort());
});

describe.each(cases)(
  '$preset on $machine in $release is trained as its example does',
  ({ preset, machine, release }) => {
    const example = examplesOf(release)[SCRIPTS[preset]![machine]!]!;
    const recipe = recipeOf(preset, machine, release)!;
    const spec = recommended(preset, machine, release);
    const [, ...args] = trainingScript(spec, {
      ...{ dataPrefix: 'd', tokenizer: 't', target: 2000, shared: false },
      start: { from: 'pretrained', dir: 'w' },
    });
    const ours = flagsIn(args);

    it('with the same arguments but for those that differ for a reason', () => {
      const differing = [...new Set([...Object.keys(ours), ...Object.keys(example.args)])]
        .filter((flag) => !NOT_COMPARED.has(flag) && ours[flag] !== example.args[flag])
        .filter((flag) => !(flag in example.args ? (flag in ours ? OTHER : THEIRS) : OURS)[flag]);
      expect(differing.map((flag) => [flag, ours[flag], example.args[flag]])).toEqual([]);
      if (spec.parallel.tp > 1) expect(ours['--sequence-parallel']).toBe(example.args['--sequence-parallel']);
    });

    it('on the same number of nodes and devices, in the same environment or with more patience', () => {
      expect([String(recipe.nodes), String(recipe.devicesPerNode)]).toEqual([
        example.args['--nnodes'],
        example.args['--nproc_per_node'],
      ]);
      const env = launchEnvironment(spec);
      const { HCCL_CONNECT_TIMEOUT: connect = '120', HCCL_EXEC_TIMEOUT: exec = '1836', ...others } = example.env;
      expect(env).toMatchObject(others);
      expect(Number(env['HCCL_CONNECT_TIMEOUT'])).toBeGreaterThanOrEqual(Number(connect));
      expect(Number(env['HCCL_EXEC_TIMEOUT'])).toBeGreaterThanOrEqual(Number(exec));
      expect(Number(env['HCCL_EVENT_TIMEOUT'])).toBeGreaterThan(Number(env['HCCL_EXEC_TIMEOUT']));
      expect(Object.keys(env).filter((name) => !(name in example.env))).toEqual(
        expect.not.arrayContaining([
          'PYTORCH_NPU_ALLOC_CONF',
          'TASK_QUEUE_ENABLE',
          'NPU_ASD_ENABLE',
          'HCCL_IF_BASE_PORT',
        ]),
      );
    });
  },
);

/** The guide's own example: what its script says, in its order, and what we say. */
describe.each([1, 2])("the guide's Qwen3-8B on %d × 8 devices of A2", (nodes) => {
  const spec = recommended('qwen3-8b', 'A2', '2.1.0', { cluster: { nodes } });
  const example = examplesOf('2.1.0')['pretrain_qwen3_8b_4K_ptd']!;
  const [entry, ...args] = trainingScript(spec, {
    ...{ dataPrefix: 'datasets/enwiki_text_document', tokenizer: 'model_from_hf/Qwen3-8B', target: 2000 },
    ...{ shared: false, start: { from: 'pretrained', dir: 'model_weights/qwen3_mcore' } },
  });

  it('has every argument of the guide, TP1 PP4 first of all, and only the four that make it safe besides', () => {
    expect(entry).toBe('pretrain_gpt.py');
    const ours = flagsIn(args);
    const theirs = Object.entries(example.args).filter(([flag]) => !NOT_COMPARED.has(flag));
    expect(ours).toMatchObject(Object.fromEntries(theirs));
    expect(ours).toMatchObject({ '--tensor-model-parallel-size': '1', '--pipeline-model-parallel-size': '4' });
    expect(
      Object.keys(ours)
        .filter((flag) => !(flag in example.args))
        .sort(),
    ).toEqual([
      ...['--exit-on-missing-checkpoint', '--exit-signal-handler', '--finetune', '--kv-channels', '--norm-epsilon'],
      '--tensorboard-dir',
    ]);
  });

  it("gives the data path that preprocessing really writes, and weights in the layout that trains, not the example's PP8", () => {
    expect(args.join(' ')).toContain('--data-path datasets/enwiki_text_document');
    const convert = flagsIn(toMegatron(spec, 'hf').args);
    const { args: shipped } = examplesOf('2.1.0')['ckpt_convert_qwen3_hf2mcore']!;
    const { '--load-dir': _load, '--save-dir': _save, '--tokenizer-model': _tokenizer, ...rest } = shipped;
    expect(convert).toEqual({ ...rest, '--target-pipeline-parallel-size': '4' });
  });
});

describe('the converter is called as the shipped scripts call it, with the layout that trains', () => {
  const PATHS = ['--load-dir', '--save-dir', '--hf-cfg-dir', '--tokenizer-model'];
  const LAYOUT = ['--target-tensor-parallel-size', '--target-pipeline-parallel-size', '--target-expert-parallel-size'];
  const scripts: [Preset, Machine, string][] = [
    ['qwen3-8b', 'A2', 'qwen3'],
    ['qwen3-30b-a3b', 'A2', 'qwen3_moe'],
    ['qwen3-235b-a22b', 'A3', 'qwen3_moe_235b'],
    ['qwen3-coder-480b-a35b', 'A3', 'qwen3_moe_480b'],
  ];
  const known = RELEASES.flatMap((release) =>
    scripts.flatMap(([preset, machine, name]) =>
      // 2.2.0 still ships the first converter's commands for some models, though its second one takes them all.
      examplesOf(release)[`ckpt_convert_${name}_hf2mcore`] && recipeOf(preset, machine, release)
        ? [{ preset, machine, release, name }]
        : [],
    ),
  ).filter(({ release, name }) => !(release === '2.2.0' && ['qwen3', 'qwen3_moe'].includes(name)));

  const without = (args: Record<string, string>, flags: string[]) =>
    Object.fromEntries(Object.entries(args).filter(([flag]) => !flags.includes(flag)));

  it.each(known)('$preset in $release', ({ preset, machine, release, name }) => {
    const spec = recommended(preset, machine, release);
    const there = toMegatron(spec, 'hf');
    const shipped = examplesOf(release)[`ckpt_convert_${name}_hf2mcore`]!;
    expect(there.script).toBe(shipped.program);
    // 235B and 480B are shipped in the layout that trains; the two others are not: PP8 there, PP4 or PP2 in training.
    const ignored = /235b|480b/.test(name) ? PATHS : [...PATHS, ...LAYOUT];
    expect(without(flagsIn(there.args), ignored)).toEqual(without(shipped.args, ignored));

    const back = toHuggingFace(spec, 'mg', 'hf');
    const shippedBack = examplesOf(release)[`ckpt_convert_${name}_mcore2hf`]!;
    // The shipped command changes the weights of the model that it began with; ours makes a new one of its configuration.
    const other = [...PATHS, '--target-expert-parallel-size', '--load-hf-from-config'];
    expect(without(flagsIn(back.args), other)).toEqual(without(shippedBack.args, other));
  });
});
