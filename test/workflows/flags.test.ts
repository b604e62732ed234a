/** Every command that the plan makes is one that the parsers of that MindSpeed-LLM release accept. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { toHuggingFace, toMegatron } from '../../workflows/convert-command.js';
import { trainingScript, type LaunchPlan } from '../../workflows/plan.js';
import { isAtLeast, RELEASES } from '../../workflows/releases.js';
import type { RunSpec } from '../../workflows/spec.js';
import { root } from '../../workers/config.js';
import { complaints, parserOf } from '../support/arguments.js';
import { RECOMMENDED, recommended, specOf } from '../support/run-files.js';

const read = (path: string): unknown => JSON.parse(readFileSync(join(root, path), 'utf8'));

const tiny = read('infra/runs/qwen3-tiny.json') as { cluster: object; train: object; model: object };
const moeOf = (release: string) => ({
  ...{ layers: 4, hidden: 64, ffn: 192, heads: 4, groups: 4, headDim: 16, vocab: 4096, maxPositions: 512 },
  moe: { experts: 8, topk: 2, ffn: 64, ...(release === '2.1.0' ? {} : { sharedFfn: 64 }) },
});
const everything = (release: string) => ({
  ...tiny,
  model: { sizes: moeOf(release) },
  cluster: { nodes: 4, devicesPerNode: 4 },
  parallel: { tp: 2, pp: 2, ep: 2, ...(release === '2.1.0' ? {} : { cp: 2, etp: 1 }), layersPerVirtualStage: 1 },
  train: { ...tiny.train, globalBatch: 16, extraArgs: { '--recompute-granularity': 'full', '--bf16': false } },
});
const files: [string, RunSpec][] = [
  ['the example for two cores', specOf(tiny)],
  ['the example for two servers', specOf(read('infra/runs/qwen3-8b.json'))],
  ...RELEASES.map((release): [string, RunSpec] => [
    `every kind of parallelism in ${release}`,
    specOf({ ...everything(release), mindspeed: { release } }),
  ]),
  ...RECOMMENDED.map(({ preset, machine, release }): [string, RunSpec] => [
    `${preset} on ${machine} in ${release}`,
    recommended(preset, machine, release),
  ]),
];
const starts: LaunchPlan['start'][] = [
  { from: 'random' },
  { from: 'pretrained', dir: 'models/key/mcore' },
  { from: 'checkpoint', iteration: 20 },
];
const ONLINE: LaunchPlan['start'] = { from: 'pretrained', dir: 'models/key/hf', online: true };

describe.each(files)('of %s', (_, spec) => {
  const { release } = spec.mindspeed;

  it.each([...starts, ...(isAtLeast(release, '26.0.0') ? [ONLINE] : [])])(
    'pretrain_gpt.py accepts the command that starts from $from',
    (start) => {
      for (const shared of [true, false])
        for (const target of [20, spec.train.iterations]) {
          const paths = { dataPrefix: 'datasets/key/prefix_text_document', tokenizer: 'models/key' };
          const [entry, ...args] = trainingScript(spec, { start, shared, target, ...paths });
          expect(entry).toBe('pretrain_gpt.py');
          expect(complaints(parserOf(release, 'pretrain_gpt'), args)).toEqual([]);
        }
    },
  );

  it('the converter accepts both commands for its weights', () => {
    for (const { script, args, paths } of [toMegatron(spec, 'hf'), toHuggingFace(spec, 'mg', 'hf')])
      expect(
        complaints(parserOf(release, script), [...args, ...Object.entries(paths).flat(), '--save-dir', 'x']),
      ).toEqual([]);
  });
});

it('the check finds what it is for', () => {
  const args = ['--nonsense', '1', '--bf16', 'yes', '--lr', 'fast', '--seed', '1', '--seed', '2', '--num-layers'];
  expect(complaints(parserOf('26.0.0', 'pretrain_gpt'), args)).toEqual([
    '--seed is given twice',
    '--nonsense is unknown',
    '--bf16 takes 0 values, not 1',
    '--lr fast is no float',
    '--num-layers takes 1 values, not 0',
  ]);
});
