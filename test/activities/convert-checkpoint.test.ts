import { mkdir, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readArtifact, sealArtifact } from '../../activities/artifact.js';
import { createConvertCheckpoint } from '../../activities/convert-checkpoint.js';
import { createListCheckpoints } from '../../activities/list-checkpoints.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { pause } from '../../activities/process.js';
import { modelsIn } from '../../activities/torch-file.js';
import type { WeightsWanted } from '../../workflows/contract.js';
import { saidOf } from '../../workflows/hugging-face.js';
import { root } from '../../workers/config.js';
import { recommended } from '../support/run-files.js';
import { tempDir } from '../support/temp-dir.js';
import { run, testNode } from '../support/test-node.js';

const SHARDS = ['mp_rank_00_000', 'mp_rank_00_001'];
const FROM = 'models/k/hf';
const input = {
  script: 'convert_ckpt_v2.py',
  args: ['--target-pipeline-parallel-size', '2'],
  paths: { '--load-dir': FROM },
  to: 'models/k/mcore-tp1-pp2',
};
const convert = (deps: NodeDeps, shards = SHARDS, holds?: WeightsWanted) =>
  run(createConvertCheckpoint(deps), { ...input, shards, ...(holds && { holds }) });

/** A converter in a checkout's place: a shell script that gets the converter's arguments. */
async function converting(script: string, name = 'n1'): Promise<NodeDeps> {
  const mindspeedDir = await tempDir();
  const preamble = 'echo "$@" >> calls; while [ "$1" != --save-dir ]; do shift; done; out=$2';
  await writeFile(join(mindspeedDir, 'convert_ckpt_v2.py'), `${preamble}\n${script}\n`);
  const deps = await testNode(name, { mindspeedDir, python: 'bash', env: { PATH: process.env['PATH']! } });
  await mkdir(join(deps.dataDir, FROM), { recursive: true });
  return deps;
}

const shard = (name: string) =>
  `mkdir -p $out/iter_0000001/${name}; echo weights > $out/iter_0000001/${name}/model_optim_rng.pt`;
const all = `echo 1 > $out.tmp; ${SHARDS.map(shard).join('; ')}; mv $out.tmp $out/latest_checkpointed_iteration.txt`;

describe('a conversion', () => {
  it('gives sealed shards that a listing shows, and is done once', async () => {
    const deps = await converting(all);
    const held = await convert(deps);
    expect(held.map(({ shard: name }) => name)).toEqual(SHARDS);
    expect(await convert(deps)).toEqual(held);
    expect(await run(createListCheckpoints(deps), { dir: input.to })).toEqual([{ iteration: 1, shards: held }]);
    const calls = (await readFile(join(deps.mindspeedDir, 'calls'), 'utf8')).trim().split('\n');
    expect(calls).toHaveLength(1);
    expect(calls[0]).toContain(`--target-pipeline-parallel-size 2 --load-dir ${join(deps.dataDir, FROM)}`);
  });

  it('of weights that their configuration takes for another model is refused before it begins', async () => {
    const deps = await converting(all);
    const spec = recommended('qwen3-30b-a3b', 'A2', '26.0.0');
    const holds = { sizes: spec.sizes, parallel: spec.parallel, named: false, said: saidOf(spec) };
    // Qwen3-30B-A3B-Instruct-2507 has the very shapes of Qwen3-30B-A3B.
    const config = { rope_theta: 10_000_000, rms_norm_eps: 1e-6, num_experts_per_tok: 8, norm_topk_prob: true };
    await writeFile(join(deps.dataDir, FROM, 'config.json'), JSON.stringify(config));
    await expect(convert(deps, SHARDS, holds)).rejects.toMatchObject({
      type: 'CommandFailed',
      nonRetryable: true,
      message: expect.stringContaining('rope_theta is 10000000 there, and training would have 1000000. ') as string,
    });
    expect(await readdir(deps.mindspeedDir)).not.toContain('calls');
  });

  it('that exits 0 without a shard is a failure, and leaves nothing under the name', async () => {
    const deps = await converting(shard(SHARDS[0]!));
    await expect(convert(deps)).rejects.toMatchObject({
      type: 'CommandFailed',
      nonRetryable: true,
      message: expect.stringContaining('exit code 0, but the shards are mp_rank_00_000') as string,
    });
    expect(await readdir(join(deps.dataDir, 'models/k'))).not.toContain('mcore-tp1-pp2');
  });

  it('of weights that this disk has lost says so, whatever the converter says, and they are fetched again', async () => {
    const deps = await converting(`grep -q good ${'$FROM'} || { echo 'no such tensor' >&2; exit 1; }; exit 2`);
    const file = join(deps.dataDir, FROM, 'model.safetensors');
    deps.env['FROM'] = file;
    await writeFile(file, 'good');
    await sealArtifact(deps.dataDir, FROM);
    await expect(convert(deps)).rejects.toMatchObject({ type: 'CommandFailed' });
    expect(await readArtifact(deps.dataDir, FROM)).toBeDefined();
    await writeFile(file, 'lost');
    await expect(convert(deps)).rejects.toMatchObject({
      ...{ type: 'DataCorrupt', nonRetryable: true, details: [{ node: 'n1', dir: FROM }] },
      message: expect.stringContaining('was damaged on this disk after it was fetched: ') as string,
    });
    expect(await readArtifact(deps.dataDir, FROM)).toBeUndefined();
  });

  it('on storage that nodes share is not disturbed by one of another node, and the first result stays', async () => {
    const shared = await tempDir();
    const marks = await tempDir();
    const wait = (name: string) => `while [ ! -e ${marks}/${name} ]; do sleep 0.05; done`;
    // The second begins when the first has half of it, and ends after it.
    const slow = await converting(`${shard(SHARDS[0]!)}; touch ${marks}/half; ${wait('begun')}; ${all}`, 'n1');
    const other = await converting(`touch ${marks}/begun; ${all}; ${wait('done')}`, 'n2');
    for (const { dataDir } of [slow, other]) {
      await rm(join(dataDir, 'models'), { recursive: true });
      await symlink(shared, join(dataDir, 'models'));
    }
    const first = convert(slow);
    while (!(await readdir(marks)).includes('half')) await pause(20);
    const second = convert(other);
    const held = await first;
    const { ino } = await stat(join(shared, 'k/mcore-tp1-pp2'));
    await writeFile(join(marks, 'done'), '');
    expect(await second).toEqual(held);
    expect((await stat(join(shared, 'k/mcore-tp1-pp2'))).ino).toBe(ino);
    expect((await readdir(join(shared, 'k'))).filter((name) => !name.endsWith('.log'))).toEqual(['mcore-tp1-pp2']);
  });

  it('that fails says so with its last line and its log, and can be repeated', async () => {
    const deps = await converting(`[ -e seen ] || { touch seen; echo 'no such model' >&2; exit 1; }; ${all}`);
    await expect(convert(deps)).rejects.toThrow(/ended with exit code 1: no such model; log: /);
    expect(await convert(deps)).toHaveLength(2);
  });
});

describe('what a conversion gave', () => {
  /** Written by the real converter: two layers over two stages. */
  const WRITTEN = join(root, 'test/fixtures/golden/convert/two-layers-pp2');
  const holds: WeightsWanted = {
    sizes: {
      ...{ layers: 2, hidden: 8, ffn: 8, heads: 2, groups: 1, headDim: 4, vocab: 16, maxPositions: 512 },
      ...{ tied: false, ropeBase: 1_000_000 },
    },
    parallel: { tp: 1, pp: 2, cp: 1, ep: 1 },
    named: true,
  };
  const copy = (from: number, to = from) =>
    `d=$out/iter_0000001/${SHARDS[to]}; mkdir -p $d; cp ${WRITTEN}/${SHARDS[from]}.pt $d/model_optim_rng.pt`;
  const both = `${copy(0)}; ${copy(1)}; echo 1 > $out/latest_checkpointed_iteration.txt`;
  const given = async (script: string, wanted = holds) => convert(await converting(script), SHARDS, wanted);
  const otherwise = (sizes: Partial<WeightsWanted['sizes']>, more: Partial<WeightsWanted> = {}) => ({
    ...{ ...holds, ...more },
    sizes: { ...holds.sizes, ...sizes },
  });

  it('is taken where each shard has every tensor of the model, in its shape', async () => {
    expect(await given(both)).toHaveLength(2);
    expect(await given(both, { ...holds, named: false })).toHaveLength(2);
  });

  it.each<[string, string, WeightsWanted, RegExp]>([
    ['of a model with other sizes', both, otherwise({ ffn: 16 }), /mp_rank_00_000: 2 of another shape: .*linear_fc1/],
    ['of a model with more layers', both, otherwise({ layers: 4 }), /8 missing: decoder\.layers\.1\.input_layernorm/],
    ['one stage twice', `${copy(0)}; ${copy(0, 1)}`, holds, /mp_rank_00_001: 2 missing: decoder\.final_layernorm/],
    ['cut off', `${both}; truncate -s 4000 $d/model_optim_rng.pt`, holds, /mp_rank_00_001: .* is cut/],
    ['no file of torch', `${both}; echo nothing > $d/model_optim_rng.pt`, holds, /no file of torch\.save/],
    [
      'fewer weights than the model has, by a converter whose names are not on record',
      both,
      otherwise({ layers: 40 }, { named: false }),
      /there are \d+ weights and the model has \d+/,
    ],
  ])('is a failure where it is %s, though the converter exits 0', async (_, script, wanted, message) => {
    const deps = await converting(script);
    await expect(convert(deps, SHARDS, wanted)).rejects.toMatchObject({
      ...{ type: 'CommandFailed', nonRetryable: true },
      message: expect.stringMatching(message) as string,
    });
    expect(await readdir(join(deps.dataDir, 'models/k'))).not.toContain('mcore-tp1-pp2');
  });

  it('is read without torch, wherever the file is cut', async () => {
    const whole = join(WRITTEN, `${SHARDS[1]}.pt`);
    const { model } = await modelsIn(whole);
    expect(model!['output_layer.weight']).toEqual({ dtype: 'BFloat16', shape: [16, 8] });
    const path = join(await tempDir(), 'cut.pt');
    await writeFile(path, await readFile(whole));
    for (let { size } = await stat(path); size > 0; size = Math.floor(size * 0.97)) {
      await truncate(path, size - 1);
      await expect(modelsIn(path)).rejects.toThrow(/is cut|no file of torch|there are \d+ of/);
    }
  });
});
