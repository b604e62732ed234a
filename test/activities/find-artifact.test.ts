/** Whether a node has a file set whole: asked before every launch, so it must be cheap, and still never wrong. */
import { link, mkdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readArtifact, sealArtifact } from '../../activities/artifact.js';
import { readIfThere, writeJson } from '../../activities/atomic.js';
import { createFindArtifact } from '../../activities/find-artifact.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { pause } from '../../activities/process.js';
import { createSetAsideDamaged } from '../../activities/set-aside.js';
import { createSyncFiles } from '../../activities/sync-files.js';
import { ENGINES } from '../../workflows/engines.js';
import { run, serving, testNode } from '../support/test-node.js';

const DIR = 'datasets/k';
const find = (deps: NodeDeps, prove = false) => run(createFindArtifact(deps), { dir: DIR, prove });

async function sealed() {
  const deps = await testNode('n1');
  const file = join(deps.dataDir, DIR, 'prefix.bin');
  await mkdir(join(deps.dataDir, DIR), { recursive: true });
  await writeFile(file, 'tokens');
  return { deps, file, artifact: await sealArtifact(deps.dataDir, DIR) };
}

it('has what was sealed, and nothing where there is none', async () => {
  const { deps, artifact } = await sealed();
  expect(await find(deps)).toEqual({ artifact });
  expect(await find(await testNode('n2'))).toEqual({});
});

it.each([
  ['does not have a dataset that another version of the preprocessor made under this name', 'native-2', false],
  ['has one that this version made', ENGINES.native, true],
])('%s', async (_, engine, isThere) => {
  const deps = await testNode('n1');
  await mkdir(join(deps.dataDir, DIR), { recursive: true });
  await writeFile(join(deps.dataDir, DIR, 'prefix.bin'), 'tokens');
  await writeJson(join(deps.dataDir, DIR, 'lineage.json'), { like: 'l', name: 'n', engine, parts: {} });
  const artifact = await sealArtifact(deps.dataDir, DIR);
  expect(await run(createFindArtifact(deps), { dir: DIR })).toEqual(isThere ? { artifact } : {});
});

it('tells what stands for the bytes of pairs, whatever else lies beside them', async () => {
  const deps = await testNode('n1');
  const dir = join(deps.dataDir, DIR);
  await mkdir(dir, { recursive: true });
  const found = async (bin: string, lineage: string) => {
    for (const [name, text] of Object.entries({ bin, idx: 'index' }))
      await writeFile(join(dir, `prefix_text_document.${name}`), text);
    await writeFile(join(dir, 'lineage.json'), lineage);
    await sealArtifact(deps.dataDir, DIR);
    return (await find(deps)).pairs!;
  };
  const before = await found('tokens', 'made of one file');
  expect(before).toEqual({ text: expect.stringMatching(/^[0-9a-f]{12}$/) as string });
  expect(await found('tokens', 'made of two')).toEqual(before);
  expect(await found('tokEns', 'made of two')).not.toEqual(before);
});

it('does not have what was written to since, though the size is right', async () => {
  const { deps, file } = await sealed();
  await writeFile(file, 'tokEns');
  const later = new Date(Date.now() + 2_000);
  await utimes(file, later, later);
  expect(await find(deps)).toEqual({ damaged: true });
});

it('has what was only touched, after reading it', async () => {
  const { deps, file, artifact } = await sealed();
  const later = new Date(Date.now() + 2_000);
  await utimes(file, later, later);
  expect(await find(deps)).toEqual({ artifact });
});

it('does not have, before a run begins, what was changed since, though the time of writing was put back', async () => {
  const { deps, file } = await sealed();
  const { atime, mtime } = await stat(file);
  // Times of a file system have their grain.
  await pause(20);
  await writeFile(file, 'tokEns');
  await utimes(file, atime, mtime);
  expect(await find(deps, true)).toEqual({ damaged: true });
});

it.each([
  ['was never read since it was made', false],
  ['was read again since', true],
])('is not read in the middle of a run for a link from elsewhere to its file, where it %s', async (_, isNoted) => {
  const made = await sealed();
  const { deps, file, artifact } = made;
  const note = join(deps.dataDir, DIR, '.proven.json');
  if (isNoted) await rot(made, 0);
  else {
    const { atime, mtime } = await stat(file);
    await writeFile(file, 'tokEns');
    await utimes(file, atime, mtime);
  }
  const [before, noted] = [await stat(file), await readIfThere(note)];
  await pause(20);
  await link(file, join(deps.dataDir, 'another-artifact'));
  expect((await stat(file)).ctimeMs).toBeGreaterThan(before.ctimeMs);
  // Its bytes are wrong here, so that whoever reads them says so.
  expect(await find(deps)).toEqual({ artifact });
  expect(await readIfThere(note)).toEqual(noted);
  expect(await find(deps, true)).toEqual({ damaged: true });
});

/**
 * As a disk does it: other bytes, and nothing in the file system says so. `hours` ago they were still right. No test can
 * put the time of last change back, so the note of that is told the new one.
 */
async function rot({ deps, file }: Awaited<ReturnType<typeof sealed>>, hours: number): Promise<void> {
  const later = new Date(Date.now() + 2_000);
  await utimes(file, later, later);
  await find(deps);
  const before = await stat(file);
  await writeFile(file, 'tokEns');
  await utimes(file, later, later);
  const after = await stat(file);
  const path = join(deps.dataDir, DIR, '.proven.json');
  const noted = (await readFile(path, 'utf8')).replace(String(before.ctimeMs), String(after.ctimeMs));
  await writeJson(path, { ...(JSON.parse(noted) as object), at: Date.now() - hours * 3_600_000 });
}

it('is read again before a run begins when it was not for a day, so that what a disk has lost is noticed', async () => {
  const lost = await sealed();
  await rot(lost, 25);
  expect(await find(lost.deps)).toEqual({ artifact: lost.artifact });
  expect(await find(lost.deps, true)).toEqual({ damaged: true });
});

it('is read once a day and not for every run', async () => {
  const { deps, file, artifact } = await sealed();
  const later = new Date(Date.now() + 2_000);
  await utimes(file, later, later);
  expect(await find(deps, true)).toEqual({ artifact });
  const noted = await stat(join(deps.dataDir, DIR, '.proven.json'));
  expect(await find(deps, true)).toEqual({ artifact });
  expect((await stat(join(deps.dataDir, DIR, '.proven.json'))).mtimeMs).toBe(noted.mtimeMs);

  const read = await sealed();
  await rot(read, 23);
  expect(await find(read.deps, true)).toEqual({ artifact: read.artifact });
});

it('is told to be damaged where it was whole, and set aside only when that is asked for', async () => {
  const lost = await sealed();
  await rot(lost, 0);
  const { deps, file } = lost;
  const ask = () => run(createSetAsideDamaged(deps), { dir: DIR });
  expect(await find(deps, true)).toEqual({ artifact: lost.artifact });
  expect(await run(createFindArtifact(deps), { dir: DIR, anew: true })).toEqual({ damaged: true });
  expect(await readFile(file, 'utf8')).toBe('tokEns');
  const { aside, ...told } = await ask();
  expect(told).toEqual({ files: 1, some: ['prefix.bin'] });
  expect(await readFile(join(deps.dataDir, aside!, 'prefix.bin'), 'utf8')).toBe('tokEns');
  const reason = await readFile(`${join(deps.dataDir, aside!)}.reason.json`, 'utf8');
  expect(JSON.parse(reason)).toMatchObject({ files: [{ path: 'prefix.bin', size: 6 }] });
  expect([await ask(), await find(deps)]).toEqual([{}, {}]);
  // Cut, as by a power cut, or gone.
  await writeFile(file, 'tokens');
  await sealArtifact(deps.dataDir, DIR);
  expect([await ask(), await find(deps)]).toMatchObject([{}, { artifact: lost.artifact }]);
  await writeFile(file, 'tok');
  expect(await find(deps)).toEqual({ damaged: true });
});

it('is no longer there for whoever makes it, once it is damaged, and is repaired from a peer', async () => {
  const [lost, good] = [await sealed(), await sealed()];
  expect(lost.artifact).toEqual(good.artifact);
  await rot(lost, 25);
  await find(lost.deps, true);
  expect(await readArtifact(lost.deps.dataDir, DIR)).toBeUndefined();
  await run(createSyncFiles(lost.deps), {
    artifact: good.artifact,
    from: [await serving({ ...good.deps, name: 'n2' })],
  });
  expect(await readFile(lost.file, 'utf8')).toBe('tokens');
  expect(await find(lost.deps, true)).toEqual({ artifact: good.artifact });
});
