/**
 * The table of all recommended commands: preset × machine × release × start, each with its node's full argument
 * list, in test/fixtures/commands for a person to read. `npx vitest run -u` writes them anew.
 */
import { describe, expect, it } from 'vitest';
import { toHuggingFace, toMegatron, type Conversion } from '../../workflows/convert-command.js';
import { launchEnvironment } from '../../workflows/launch-environment.js';
import { torchrunArgs, trainingScript, type LaunchPlan } from '../../workflows/plan.js';
import { RELEASES, type Release } from '../../workflows/releases.js';
import { parseRunSpec, type RunSpec } from '../../workflows/spec.js';
import { warningsAbout } from '../../workflows/warnings.js';
import { flagsIn, readFixture } from '../support/arguments.js';
import { RECOMMENDED, recommended } from '../support/run-files.js';

type Case = (typeof RECOMMENDED)[number];

const STARTS = {
  'first launch, from converted weights': { from: 'pretrained', dir: 'models/w/mcore' },
  'resume from its own checkpoint': { from: 'checkpoint', iteration: 1000 },
  'random start': { from: 'random' },
} as const;
const ONLINE = { from: 'pretrained', dir: 'models/w/hf', online: true } as const;

const command = (spec: RunSpec, start: LaunchPlan['start']): string[] => {
  const node = { name: 'n0', address: '10.0.0.1', port: 7070, devices: 8, profile: 'npu' as const };
  const { nodes, devicesPerNode } = spec.cluster;
  return [
    ...torchrunArgs(
      0,
      Array.from({ length: nodes }, () => node),
      devicesPerNode,
      6000,
    ),
    ...trainingScript(spec, {
      ...{ start, target: 2000, shared: false },
      ...{ dataPrefix: 'datasets/d/prefix_text_document', tokenizer: 'models/t/tokenizer' },
    }),
  ];
};

/** Flags with their values, several a line. */
function wrapped(args: string[]): string {
  const words = args.reduce<string[]>(
    (all, arg) =>
      arg.startsWith('--') || all.length === 0 ? [...all, arg] : [...all.slice(0, -1), `${all.at(-1)!} ${arg}`],
    [],
  );
  return words
    .reduce<string[]>((lines, word) => {
      const last = lines.at(-1);
      if (last !== undefined && last.length + word.length < 118) return [...lines.slice(0, -1), `${last} ${word}`];
      return [...lines, word];
    }, [])
    .map((line) => `  ${line}`)
    .join('\n');
}

const converts = ({ script, args, paths }: Conversion) => wrapped([script, ...args, ...Object.entries(paths).flat()]);

function page({ preset, machine, release }: Case): string {
  const spec = recommended(preset, machine, release);
  const pack = recommended(preset, machine, release, { dataset: { appendEod: true } });
  const env = Object.entries(launchEnvironment(spec)).map(([name, value]) => `${name}=${value}`);
  return [
    `== MindSpeed-LLM ${release}`,
    `environment:\n${wrapped(env.map((pair) => `--${pair}`)).replaceAll('--', '')}`,
    ...Object.entries(STARTS).map(([name, start]) => `${name}:\n${wrapped(command(spec, start))}`),
    `first launch in pack mode:\n${wrapped(command(pack, STARTS['first launch, from converted weights']))}`,
    ...(onlineOf({ preset, machine, release })
      ? [`first launch that converts online:\n${wrapped(command(spec, ONLINE))}`]
      : []),
    `conversion:\n${converts(toMegatron(spec, 'models/w/hf'))}`,
    `conversion back:\n${converts(toHuggingFace(spec, 'checkpoints', 'models/t/tokenizer'))}`,
  ].join('\n\n');
}

/** The same with `model.convert: "online"`, where a run file may say so. */
function onlineOf({ preset, machine, release }: Case): RunSpec | undefined {
  const model = { preset, init: 'pretrained', weights: 'hf://Qwen/weights@main', convert: 'online' };
  const { parallel, cluster, train, dataset, mindspeed } = recommended(preset, machine, release);
  const parsed = parseRunSpec({ model, parallel, cluster, train, dataset, mindspeed }, 'run');
  return 'spec' in parsed ? parsed.spec : undefined;
}

const nameOf = ({ preset, machine }: Case) => `${preset}-${machine}`;
const pages = [...new Set(RECOMMENDED.map(nameOf))].map((name): [string, Case[]] => [
  name,
  RECOMMENDED.filter((one) => nameOf(one) === name),
]);

describe.each(pages)('%s', (name, cases) => {
  it('is trained and converted by the commands that are written down', async () => {
    await expect(`${cases.map(page).join('\n\n')}\n`).toMatchFileSnapshot(`../fixtures/commands/${name}.txt`);
  });

  it.each(cases)('fits into the memory of its devices in $release', ({ preset, machine, release }) => {
    expect(warningsAbout(recommended(preset, machine, release)).filter((text) => text.includes('GiB'))).toEqual([]);
  });
});

describe.each(RECOMMENDED)('of $preset on $machine in $release', ({ preset, machine, release }) => {
  const spec = recommended(preset, machine, release);
  const of = (start: LaunchPlan['start'], file = spec) => flagsIn(command(file, start));
  const [first, resume, random] = Object.values(STARTS).map((start) => of(start));

  it('a first launch loads weights without an optimizer, a resume all, a random start nothing', () => {
    const loading = ['--load', '--finetune', '--no-load-optim', '--no-load-rng', '--exit-on-missing-checkpoint'];
    const given = (flags: Record<string, string>) => loading.filter((flag) => flag in flags);
    expect(given(first!)).toEqual(loading);
    expect(given(resume!)).toEqual(['--load', '--exit-on-missing-checkpoint']);
    expect(resume!['--load']).toBe(resume!['--save']);
    expect(given(random!)).toEqual([]);
  });

  it('converts online at a first launch alone, and only where it is asked for', () => {
    const asking = ['--enable-hf2mg-convert', '--model-type-hf', '--mg-save-dir'];
    const given = (flags: Record<string, string>) => asking.filter((flag) => flag in flags);
    for (const flags of [first!, resume!, random!]) expect(given(flags)).toEqual([]);
    const online = onlineOf({ preset, machine, release });
    const isSmall = !['qwen3-235b-a22b', 'qwen3-coder-480b-a35b'].includes(preset);
    expect(online !== undefined).toBe(isSmall && ['26.0.0', '26.1.0'].includes(release));
    if (!online) return;
    for (const start of [STARTS['resume from its own checkpoint'], STARTS['random start']])
      expect(of(start, online)).toEqual(of(start));
    const flags = of(ONLINE, online);
    const {
      '--load': load,
      '--model-type-hf': type,
      '--mg-save-dir': to,
      '--enable-hf2mg-convert': switched,
      ...rest
    } = flags;
    expect([load, type, to, switched]).toEqual([
      ...['models/w/hf', online.sizes.moe ? 'qwen3-moe' : 'qwen3', 'series/run/converted', ''],
    ]);
    const { '--load': _, ...offline } = first!;
    expect(rest).toEqual(offline);
  });

  it('every start can be stopped with a save, in the format that the pipeline copies', () => {
    for (const flags of [first!, resume!, random!]) {
      expect(flags).toHaveProperty('--exit-signal-handler');
      expect(flags['--ckpt-format']).toBe(release === '2.1.0' ? undefined : 'torch');
    }
  });

  it('a sequence is split as a ring, which knows where documents end', () => {
    const { parallel } = spec;
    if (parallel.ep > 1 || spec.cluster.devicesPerNode % (parallel.tp * parallel.pp * 2) !== 0) return;
    const split = recommended(preset, machine, release, {
      parallel: { ...parallel, cp: 2 },
      dataset: { appendEod: true },
    });
    expect(of(STARTS['random start'], split)).toMatchObject({
      ...{ '--context-parallel-algo': 'megatron_cp_algo', '--reset-attention-mask': '' },
    });
  });

  it('pack mode is one flag more, and only with end-of-document tokens in the data', () => {
    const pack = recommended(preset, machine, release, { dataset: { appendEod: true } });
    expect(of(STARTS['random start'], pack)).toEqual({ ...random, '--reset-attention-mask': '' });
    expect(random).not.toHaveProperty('--reset-attention-mask');
  });

  it('conversion is for the layout that trains', () => {
    const { args, script } = toMegatron(spec, 'models/w/hf');
    const flags = flagsIn(args);
    const pairs = {
      '--target-tensor-parallel-size': '--tensor-model-parallel-size',
      '--target-pipeline-parallel-size': '--pipeline-model-parallel-size',
      '--target-expert-parallel-size': '--expert-model-parallel-size',
      '--expert-tensor-parallel-size': '--expert-tensor-parallel-size',
      '--num-layers-per-virtual-pipeline-stage': '--num-layers-per-virtual-pipeline-stage',
      '--noop-layers': '--noop-layers',
    };
    for (const [converter, trainer] of Object.entries(pairs))
      expect([converter, flags[converter]]).toEqual([converter, first![trainer]]);
    expect(script).toBe(isFirst(release) ? 'convert_ckpt.py' : 'convert_ckpt_v2.py');
  });
});

describe('a run file that trains with another layout than it converts for', () => {
  /** Which rank has which layers, heads and experts: all that the trainers of any release know of it, but for inference and the order of micro-batches. */
  const flags = Object.keys(
    Object.assign({}, ...RELEASES.map((release) => readFixture(`golden/flags/${release}/pretrain_gpt.json`))) as object,
  )
    .filter((flag) =>
      /^--(noop-layers|model-parallel-size|pipeline-num-transformer-layers|automated-pipeline$|num-layer-list|tp-2d|schedules-method|moe-tp-extend-ep|decoder-(first|last)-pipeline|account-for-.*-split)|(tensor|pipeline|expert|expert-tensor)-(model-)?parallel-(size|layout|split-rank)$|per-virtual-pipeline-stage|virtual-stages/.test(
        flag,
      ),
    )
    .filter((flag) => !/^--(inference-|microbatch-group-size-)/.test(flag));

  it('is refused, whichever flag it uses', () => {
    expect(flags.length).toBeGreaterThan(14);
    const file = (flag: string) => ({
      model: { preset: 'qwen3-8b', init: 'pretrained', weights: 'hf://Qwen/weights@main' },
      dataset: { source: 'hf://lsb/enwiki20230101@main/data/*.parquet' },
      cluster: { nodes: 1, devicesPerNode: 8 },
      train: {
        iterations: 2,
        globalBatch: 64,
        seqLength: 4096,
        saveInterval: 2,
        replicas: 0,
        extraArgs: { [flag]: 2 },
      },
    });
    const accepted = flags.filter((flag) => {
      const parsed = parseRunSpec(file(flag), 'run');
      return !(
        'problems' in parsed && parsed.problems.some(({ expected }) => expected.startsWith('no such flag here'))
      );
    });
    expect(accepted).toEqual([]);
    expect(parseRunSpec(file('--log-interval'), 'run')).not.toHaveProperty('problems');
  });

  it('is refused where it trains other tensors than the converter makes', () => {
    const all = RELEASES.map((release) => {
      const of = (script: string) => Object.keys(readFixture(`golden/flags/${release}/${script}.json`) as object);
      const trainers = new Set(of('pretrain_gpt'));
      return of(isFirst(release) ? 'convert_ckpt' : 'convert_ckpt_v2').filter((flag) => trainers.has(flag));
    });
    const shared = [...new Set(all.flat())].filter(
      // Of LoRA, Mamba and files; and what a run file has no other value of.
      (flag) =>
        !/^--(help|lora|mamba|hf-cfg|save-|load-|model-type|spec$|params-dtype|use-mcore|tokenizer|vocab)/.test(flag),
    );
    const OTHER: Record<string, unknown> = { '--transformer-impl': 'transformer_engine', '--moe-grouped-gemm': false };
    const answer = (flag: string, model: object) => {
      const parsed = parseRunSpec(
        {
          model: { preset: 'qwen3-30b-a3b', weights: 'hf://Qwen/weights@main', ...model },
          dataset: { source: 'hf://lsb/enwiki20230101@main/data/*.parquet' },
          cluster: { nodes: 2, devicesPerNode: 8, machine: 'A2' },
          train: {
            ...{ iterations: 2, globalBatch: 256, seqLength: 4096, saveInterval: 2 },
            extraArgs: { [flag]: OTHER[flag] ?? 2 },
          },
          mindspeed: { release: '26.0.0' },
        },
        'run',
      );
      return 'problems' in parsed ? parsed.problems.map(({ path }) => path) : [];
    };
    const accepted = shared.filter((flag) => answer(flag, { init: 'pretrained' }).length === 0);
    expect(accepted).toEqual([]);
    expect(shared).toEqual(expect.arrayContaining(['--transformer-impl', '--moe-grouped-gemm', '--mtp-num-layers']));
    expect(answer('--mtp-num-layers', { init: 'random' })).toEqual([]);
  });
});

const isFirst = (release: Release) => release === '2.1.0';
