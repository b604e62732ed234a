/** An index that Megatron wrote, and what may become of it between one launch and the next. */
import { cp, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readJson, writeJson } from '../../activities/atomic.js';
import { indexCacheOf, removeUnproven, sealingIndices } from '../../activities/index-cache.js';
import { createLaunchTraining } from '../../activities/launch-training.js';
import { pause } from '../../activities/process.js';
import { stampOf } from '../../activities/proof.js';
import { root } from '../../workers/config.js';
import { fakeNode, launchInput, watch } from '../support/fake-training.js';
import { tempDir } from '../support/temp-dir.js';
import { run } from '../support/test-node.js';

const RECORDED = join(root, 'test/fixtures/golden/train/index-cache');

/** The recording has no description, since that holds a path. */
const bring = async (cache: string): Promise<void> => {
  await cp(RECORDED, cache, { recursive: true });
  const [id] = (await readdir(RECORDED))[0]!.split('-');
  await writeFile(join(cache, `${id}-GPTDataset-description.txt`), '{}');
};

const clear = (cache: string, isShared = false) => run((root: string) => removeUnproven(root, isShared), cache);
const seal = (cache: string, work: () => Promise<void> = () => Promise.resolve()) =>
  run(() => sealingIndices(cache, new AbortController().signal, work), undefined);

const shown = async (cache: string) => (await readdir(cache)).filter((name) => !name.startsWith('.')).sort();
const only = async (cache: string, ending: string) =>
  join(
    cache,
    (await readdir(cache)).find((name) => name.endsWith(ending))!,
  );

/** As the disk may have it after a power cut: the size was written, the bytes were not. */
async function zero(path: string): Promise<void> {
  const bytes = await readFile(path);
  // Times of a file system have their grain.
  await pause(20);
  await writeFile(path, bytes.fill(0, 128));
}

async function sealed() {
  const cache = await tempDir();
  await bring(cache);
  await seal(cache);
  return { cache, names: await shown(cache) };
}

it('goes before a launch where the launch before never saw it whole and sealed it', async () => {
  const cache = await tempDir();
  await bring(cache);
  await clear(cache);
  expect(await readdir(cache)).toEqual([]);
});

it('stays on shared storage for as long as another run may be building it', async () => {
  const cache = await tempDir();
  await bring(cache);
  const names = await shown(cache);
  await clear(cache, true);
  expect(await shown(cache)).toEqual(names);
  const before = new Date(Date.now() - 11 * 60_000);
  for (const name of names) await utimes(join(cache, name), before, before);
  await clear(cache, true);
  expect(await readdir(cache)).toEqual([]);
});

it('is sealed by a generation, stays for the next, and goes when its bytes change though its sizes are right', async () => {
  const deps = await fakeNode({ FAKE_ITERATIONS: '2' });
  const script = ['pretrain_gpt.py', '--data-path', 'datasets/k/prefix', '--no-shared-storage'];
  const cache = join(deps.dataDir, 'datasets/k/prefix/cache/GPTDataset_indices');
  const launch = (token: number) => run(createLaunchTraining(deps), { ...launchInput(token), script });
  await launch(1);
  await bring(cache);
  await watch(deps, 1);
  const names = await shown(cache);
  expect(names).toHaveLength(4);
  await launch(2);
  expect(await shown(cache)).toEqual(names);
  await watch(deps, 2);
  await zero(await only(cache, 'shuffle_index.npy'));
  await launch(3);
  expect(await readdir(cache)).toEqual([]);
});

describe('an index that was sealed', () => {
  it.each([
    ['that the disk lost bytes of', async (cache) => zero(await only(cache, 'document_index.npy'))],
    ['that is cut off', async (cache) => truncate(await only(cache, 'sample_index.npy'), 200)],
    ['of which a file is missing', async (cache) => rm(await only(cache, 'description.txt'))],
    ['whose seal is cut off', async (cache) => truncate(await only(cache, '.sealed.json'), 20)],
  ] as [string, (cache: string) => Promise<void>][])('%s goes, whole', async (_, damage) => {
    const { cache } = await sealed();
    await damage(cache);
    await clear(cache);
    expect(await readdir(cache)).toEqual([]);
  });

  it('and only touched since is read, and stays', async () => {
    const { cache, names } = await sealed();
    const later = new Date(Date.now() + 2_000);
    await utimes(await only(cache, 'shuffle_index.npy'), later, later);
    await clear(cache);
    expect(await shown(cache)).toEqual(names);
  });

  it('a day ago is read again, since a disk loses bytes without a trace', async () => {
    const { cache, names } = await sealed();
    const [path, file] = [await only(cache, '.sealed.json'), await only(cache, 'shuffle_index.npy')];
    await zero(file);
    const note = async (at: number) => {
      const seal = (await readJson<{ files: Record<string, object> }>(path))!;
      const files = Object.entries(seal.files).map(async ([name, { ...known }]) => [
        name,
        { ...known, stamp: await stampOf(join(cache, name)) },
      ]);
      await writeJson(path, { at, files: Object.fromEntries(await Promise.all(files)) as object });
    };
    await note(Date.now());
    await clear(cache);
    expect(await shown(cache)).toEqual(names);
    await note(Date.now() - 25 * 3_600_000);
    await clear(cache);
    expect(await readdir(cache)).toEqual([]);
  });

  it('is not sealed again with what it became', async () => {
    const { cache } = await sealed();
    await zero(await only(cache, 'shuffle_index.npy'));
    await seal(cache);
    await clear(cache);
    expect(await readdir(cache)).toEqual([]);
  });
});

it.each(['document', 'sample', 'shuffle'])('is not sealed as long as the %s index is being written', async (part) => {
  const cache = await tempDir();
  await bring(cache);
  const file = await only(cache, `${part}_index.npy`);
  const { size } = await stat(file);
  await truncate(file, size - 4);
  await seal(cache);
  await clear(cache);
  expect(await readdir(cache)).toEqual([]);
});

it('that is damaged leaves others of the dataset alone', async () => {
  const { cache, names } = await sealed();
  const other = names.map((name) => `${'0'.repeat(32)}${name.slice(32)}`);
  for (const [index, name] of names.entries()) await cp(join(cache, name), join(cache, other[index]!));
  await clear(cache);
  expect(await shown(cache)).toEqual(names);
});

it('is looked after where ranks build it: on every node, or on that of rank 0 where storage is shared', () => {
  const member = (isFirst: boolean, ...flags: string[]) =>
    indexCacheOf({ script: ['--data-path', 'd/p', ...flags], saves: { isFirst, shards: [], after: 0 } });
  expect([member(true, '--no-shared-storage'), member(false, '--no-shared-storage'), member(true)]).toEqual(
    Array(3).fill('d/p/cache/GPTDataset_indices'),
  );
  expect(member(false)).toBeUndefined();
});

it('is looked after in the place of its own that a member has where only some nodes share the dataset', () => {
  const script = ['--data-path', 'datasets/k/p', '--no-shared-storage', '--data-cache-path', 'cache/indices/k'];
  expect(indexCacheOf({ script, saves: { isFirst: false, shards: [], after: 0 } })).toBe('cache/indices/k');
});
