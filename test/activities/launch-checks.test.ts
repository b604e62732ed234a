/** A launch that would overwrite a series, or that has nothing to load, starts nothing. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { unsafeStart } from '../../activities/launch-checks.js';
import { createLaunchTraining } from '../../activities/launch-training.js';
import { findLaunched } from '../../activities/process.js';
import { configOf } from '../../workflows/hugging-face.js';
import { presets } from '../../workflows/presets.js';
import { bothUp, fakeNode, launchInput } from '../support/fake-training.js';
import { run } from '../support/test-node.js';

const SERIES = 'series/s/checkpoints';
const WEIGHTS = 'models/k/mcore-tp1-pp1-ep1';

/** A checkpoint tree: its iterations, and what its tracker says. */
type Tree = [dir: string, iterations: number[], tracker?: string];

async function nodeWith(...trees: Tree[]) {
  const deps = await fakeNode();
  for (const [dir, iterations, tracker] of trees) {
    await mkdir(join(deps.dataDir, dir), { recursive: true });
    for (const iteration of iterations)
      await mkdir(join(deps.dataDir, dir, `iter_${String(iteration).padStart(7, '0')}/mp_rank_00`), {
        recursive: true,
      });
    if (tracker !== undefined) await writeFile(join(deps.dataDir, dir, 'latest_checkpointed_iteration.txt'), tracker);
  }
  const launch = (flags: string[], loads?: number) => {
    const script = ['pretrain_gpt.py', ...flags, '--save', SERIES];
    return run(createLaunchTraining(deps), { ...launchInput(1), script, ...(loads !== undefined && { loads }) });
  };
  return { deps, launch };
}

const RESUME = ['--load', SERIES, '--exit-on-missing-checkpoint'];
const CONVERTED = ['--load', WEIGHTS, '--finetune'];

describe('a launch is refused', () => {
  it.each<[string, Tree[], string[], number | undefined, string]>([
    [
      'from random weights into a series that has a checkpoint',
      [[SERIES, [5, 10], '10']],
      [],
      undefined,
      `it would start from random weights and save over --save ${SERIES}, which holds iteration 5, 10`,
    ],
    [
      'from random weights though the tracker is gone',
      [[SERIES, [5]]],
      [],
      undefined,
      'it would start from random weights and save over',
    ],
    [
      "from another model's weights into a series that has a checkpoint",
      [
        [SERIES, [5], '5'],
        [WEIGHTS, [1], '1'],
      ],
      CONVERTED,
      0,
      `it would start from the weights in ${WEIGHTS} and save over`,
    ],
    ['that resumes without a tracker', [[SERIES, [10]]], RESUME, 10, `--load ${SERIES} has no tracker`],
    ['that resumes with a tracker of garbage', [[SERIES, [10], 'ten']], RESUME, 10, 'has no tracker that names an'],
    [
      'that resumes from another iteration than planned',
      [[SERIES, [5, 10], '5']],
      RESUME,
      10,
      'names iteration 5, and 10 is planned',
    ],
    ['whose tracker names what is not there', [[SERIES, [5], '10']], RESUME, 10, 'and there is no iter_0000010'],
    ['without converted weights', [], CONVERTED, 0, `--load ${WEIGHTS} has no tracker`],
  ])('%s', async (_, trees, flags, loads, why) => {
    const { deps, launch } = await nodeWith(...trees);
    const failed: unknown = await launch(flags, loads).catch((error: unknown) => error);
    expect(failed).toMatchObject({ type: 'CommandFailed', nonRetryable: true });
    expect((failed as Error).message).toContain(`n1: launch of generation 1 refused: `);
    expect((failed as Error).message).toContain(why);
    expect(await findLaunched(deps.dataDir)).toEqual([]);
  });
});

describe('a launch that converts published weights itself', () => {
  const FLAGS = ['--load', 'models/k/hf', '--enable-hf2mg-convert', '--finetune'];
  const published = { num_hidden_layers: 4, rope_theta: 1_000_000, tie_word_embeddings: false };
  const launched = async (files: Record<string, string>, series: Tree[] = []) => {
    const { deps } = await nodeWith(...series);
    await mkdir(join(deps.dataDir, 'models/k/hf'), { recursive: true });
    for (const [name, text] of Object.entries(files)) await writeFile(join(deps.dataDir, 'models/k/hf', name), text);
    return unsafeStart(deps.dataDir, { script: ['x', ...FLAGS, '--save', SERIES], loads: 0, published });
  };
  const weights = { 'model-00001-of-00002.safetensors': '' };
  const config = (more: object = {}) => JSON.stringify({ ...published, ...more });

  it('needs no tracker, and the very model of the run file', async () => {
    expect(await launched({ ...weights, 'config.json': config({ vocab_size: 5 }) })).toBeUndefined();
    expect(await launched({ ...weights, 'config.json': config({ num_hidden_layers: 8 }) })).toBe(
      '--load models/k/hf is another model: in its config.json num_hidden_layers is 8 there, and training would have 4',
    );
  });

  it.each<[string, Record<string, string>]>([
    ['nothing', {}],
    ['no configuration', weights],
    ['a configuration that is none', { ...weights, 'config.json': '{' }],
    ['weights of another name', { 'config.json': config(), 'adapter.safetensors': '' }],
  ])('is refused where there is %s', async (_, files) => {
    expect(await launched(files)).toMatch(/^--load models\/k\/hf has no config\.json that can be read beside model/);
  });

  it('is refused where it would save over a checkpoint', async () => {
    expect(await launched({ ...weights, 'config.json': config() }, [[SERIES, [5], '5']])).toMatch(/save over --save/);
  });
});

describe('a launch of train_fsdp2.py', () => {
  const OUTPUT = 'series/s/fsdp2';
  const resume = (step: number) => ['--training.resume_from_checkpoint', `${OUTPUT}/checkpoints/global_step_${step}`];

  /** @param ended steps that have the mark of their end */
  async function why(steps: number[], ended: number[], flags: string[], loads?: number) {
    const { dataDir } = await fakeNode();
    for (const step of steps)
      await mkdir(join(dataDir, OUTPUT, `checkpoints/global_step_${step}`), { recursive: true });
    for (const step of ended) await writeFile(join(dataDir, OUTPUT, `checkpoints/global_step_${step}/.metadata`), '');
    const script = ['train_fsdp2.py', '--training.output_dir', OUTPUT, ...flags];
    return unsafeStart(dataDir, { script, ...(loads !== undefined && { loads }) });
  }

  it('is refused from nothing beside steps, from a step that is not whole, and beside a newer one', async () => {
    expect(await why([4], [4], [])).toBe(
      `it would start from the beginning and save over --training.output_dir ${OUTPUT}, which holds step 4`,
    );
    expect(await why([4], [], resume(4), 4)).toMatch(/global_step_4 has no \.metadata: it is not whole here$/);
    expect(await why([], [], resume(4), 4)).toMatch(/it is not whole here$/);
    expect(await why([4, 6], [4], resume(4), 4)).toMatch(/holds step 6, newer than 4, which is planned$/);
  });

  it('is refused with the weights of another model, whose sizes it would take', async () => {
    const { dataDir } = await fakeNode();
    const script = ['train_fsdp2.py', '--training.output_dir', OUTPUT, '--model.model_name_or_path', 'models/k/hf'];
    const model = configOf(presets['qwen3-tiny']);
    await mkdir(join(dataDir, 'models/k/hf'), { recursive: true });
    const start = async (config: object) => {
      await writeFile(join(dataDir, 'models/k/hf/config.json'), JSON.stringify(config));
      return unsafeStart(dataDir, { script, model });
    };
    expect(await start(model)).toBeUndefined();
    expect(await start({ ...model, num_hidden_layers: 28 })).toMatch(
      /^config\.json of the model in models\/k\/hf is not/,
    );
  });

  it('goes ahead from nothing where there is nothing, and from a step that is whole, beside older ones', async () => {
    expect(await why([], [], [])).toBeUndefined();
    expect(await why([2, 4], [2, 4], resume(4), 4)).toBeUndefined();
  });
});

describe('a launch goes ahead', () => {
  it.each<[string, Tree[], string[], number | undefined]>([
    ['from random weights into an empty series', [], [], undefined],
    ['from converted weights into an empty series', [[WEIGHTS, [1], '1']], CONVERTED, 0],
    ['from the planned iteration', [[SERIES, [5, 10], '10\n']], RESUME, 10],
  ])('%s', async (_, trees, flags, loads) => {
    const { deps, launch } = await nodeWith(...trees);
    await launch(flags, loads);
    expect(await bothUp(deps)).toHaveLength(2);
  });

  it('when it is asked for again after its ranks have saved', async () => {
    const { deps, launch } = await nodeWith();
    await launch([]);
    const before = await bothUp(deps);
    await mkdir(join(deps.dataDir, SERIES, 'iter_0000005/mp_rank_00'), { recursive: true });
    await launch([]);
    expect(await bothUp(deps)).toEqual(before);
  });
});
