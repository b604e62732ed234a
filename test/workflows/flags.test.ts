/** Every command that the plan makes is one that the parsers of MindSpeed-LLM 26.0.0 accept. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { convertArgs, trainingScript, type LaunchPlan } from '../../workflows/plan.js';
import { parseRunSpec, type RunSpec } from '../../workflows/spec.js';
import { root } from '../../workers/config.js';

/** Number of values (argparse's `nargs`), their type and the choices, as read out of the real parser. */
type Flags = Record<string, [nargs: 0 | 1 | '?' | '+' | '*', type?: string | null, choices?: unknown[]]>;

const read = (path: string): unknown => JSON.parse(readFileSync(join(root, path), 'utf8'));
const parserOf = (script: string) => read(`test/fixtures/golden/flags/${script}.json`) as Flags;

/** What a parser would say against these arguments. */
function complaints(flags: Flags, args: string[]): string[] {
  const groups: string[][] = [];
  for (const arg of args) {
    if (arg.startsWith('--')) groups.push([arg]);
    else if (groups.length) groups.at(-1)!.push(arg);
    else groups.push([arg]);
  }
  const twice = groups.filter(([flag], index) => groups.findIndex(([other]) => other === flag) !== index);
  return [
    ...twice.map(([flag]) => `${flag!} is given twice`),
    ...groups.flatMap(([flag, ...values]) => {
      const known = flags[flag!];
      if (!known) return [`${flag!} is unknown`];
      const [nargs, type, choices] = known;
      const wrongType = values.filter((value) => !isOfType(value, type ?? 'str'));
      const notChosen = choices ? values.filter((value) => !choices.map(String).includes(value)) : [];
      return [
        ...(isCount(values.length, nargs) ? [] : [`${flag!} takes ${nargs} values, not ${values.length}`]),
        ...wrongType.map((value) => `${flag!} ${value} is no ${type}`),
        ...notChosen.map((value) => `${flag!} ${value} is none of ${choices!.join(', ')}`),
      ];
    }),
  ];
}

const isCount = (count: number, nargs: Flags[string][0]): boolean =>
  nargs === '*' || (nargs === '+' ? count > 0 : nargs === '?' ? count <= 1 : count === nargs);
const isOfType = (value: string, type: string): boolean =>
  type === 'int' ? /^-?\d+$/.test(value) : type === 'float' ? value !== '' && Number.isFinite(Number(value)) : true;

function specOf(file: unknown): RunSpec {
  const parsed = parseRunSpec(file, 'run');
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
  return parsed.spec;
}

const tiny = read('infra/runs/qwen3-tiny.json') as { cluster: object; train: object };
const files: [string, unknown][] = [
  ['the example for two cores', tiny],
  ['the example for two servers', read('infra/runs/qwen3-8b.json')],
  [
    'every kind of parallelism',
    {
      ...tiny,
      cluster: { nodes: 4, devicesPerNode: 4 },
      parallel: { tp: 2, pp: 2, cp: 2, ep: 2 },
      train: { ...tiny.train, globalBatch: 16, extraArgs: { '--recompute-granularity': 'full', '--bf16': false } },
    },
  ],
];
const starts: LaunchPlan['start'][] = [
  { from: 'random' },
  { from: 'pretrained', dir: 'models/key/mcore' },
  { from: 'checkpoint', iteration: 20 },
];

describe.each(files)('of %s', (_, file) => {
  const spec = specOf(file);

  it.each(starts)('pretrain_gpt.py accepts the command that starts from $from', (start) => {
    for (const shared of [true, false])
      for (const target of [20, spec.train.iterations]) {
        const plan = {
          start,
          shared,
          target,
          dataPrefix: 'datasets/key/prefix_text_document',
          tokenizer: 'models/key',
        };
        const [entry, ...args] = trainingScript(spec, plan);
        expect(entry).toBe('pretrain_gpt.py');
        expect(complaints(parserOf('pretrain_gpt'), args)).toEqual([]);
      }
  });

  it('convert_ckpt_v2.py accepts the command that converts its weights', () => {
    const args = [...convertArgs(spec), '--load-dir', 'models/key/hf', '--save-dir', 'models/key/mcore'];
    expect(complaints(parserOf('convert_ckpt_v2'), args)).toEqual([]);
  });
});

it('the check finds what it is for', () => {
  const args = ['--nonsense', '1', '--bf16', 'yes', '--lr', 'fast', '--seed', '1', '--seed', '2', '--num-layers'];
  expect(complaints(parserOf('pretrain_gpt'), args)).toEqual([
    '--seed is given twice',
    '--nonsense is unknown',
    '--bf16 takes 0 values, not 1',
    '--lr fast is no float',
    '--num-layers takes 1 values, not 0',
  ]);
});
