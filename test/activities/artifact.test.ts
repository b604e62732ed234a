import { mkdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  confined,
  parseManifest,
  readArtifact,
  sealArtifact,
  unseal,
  verifyArtifact,
} from '../../activities/artifact.js';
import { tempDir } from '../support/temp-dir.js';

async function sealed() {
  const dataDir = await tempDir();
  const dir = join(dataDir, 'datasets/k');
  await mkdir(join(dir, 'deep'), { recursive: true });
  await writeFile(join(dir, 'b.bin'), 'bbb');
  await writeFile(join(dir, 'deep/a.bin'), 'a');
  await writeFile(join(dir, '.b.bin.123.tmp'), 'left by a crash');
  await writeFile(join(dir, 'c.bin.part'), 'half');
  await symlink('/etc/hostname', join(dir, 'link'));
  return { dataDir, dir, artifact: await sealArtifact(dataDir, 'datasets/k') };
}

test('a manifest names every regular file in byte order and its digest stands for all of them', async () => {
  const { dataDir, dir, artifact } = await sealed();
  const { files } = JSON.parse(await readFile(join(dir, 'manifest.json'), 'utf8')) as { files: { path: string }[] };
  expect(files.map(({ path }) => path)).toEqual(['b.bin', 'deep/a.bin']);
  expect(artifact).toMatchObject({ dir: 'datasets/k', files: 2, bytes: 4 });
  expect(await readArtifact(dataDir, 'datasets/k')).toEqual(artifact);
  expect(await sealArtifact(dataDir, 'datasets/k')).toEqual(artifact);
});

test('a directory without a manifest, or with a file cut short or gone, is not complete', async () => {
  const { dataDir, dir } = await sealed();
  expect(await readArtifact(dataDir, 'datasets/other')).toBeUndefined();
  await truncate(join(dir, 'b.bin'), 2);
  expect(await readArtifact(dataDir, 'datasets/k')).toBeUndefined();
  await rm(join(dir, 'b.bin'));
  expect(await readArtifact(dataDir, 'datasets/k')).toBeUndefined();
  await unseal(dataDir, 'datasets/k');
  expect(await verifyArtifact(dataDir, 'datasets/k')).toBeUndefined();
});

test('verification reads every byte and names the files that changed', async () => {
  const { dataDir, dir } = await sealed();
  expect(await verifyArtifact(dataDir, 'datasets/k')).toEqual([]);
  await writeFile(join(dir, 'deep/a.bin'), 'x');
  expect(await readArtifact(dataDir, 'datasets/k')).toBeDefined();
  expect(await verifyArtifact(dataDir, 'datasets/k')).toEqual(['deep/a.bin']);
});

test.each(['/etc/passwd', '../x', 'a/../b', 'a//b', './a', '', 'a\\..\\b', 'a\0b', '..'])(
  'the path %j does not leave the data directory, it is refused',
  (path) => {
    expect(() => confined('/data', path)).toThrow('not one below the data directory');
    const file = { path, size: 1, sha256: '0'.repeat(64) };
    expect(parseManifest(Buffer.from(JSON.stringify({ files: [file] })))).toBeUndefined();
  },
);

test.each(['', '{', '[]', '{"files":1}', '{"files":[{"path":"a","size":-1,"sha256":""}]}'])(
  'the bytes %j are no manifest',
  (text) => expect(parseManifest(Buffer.from(text))).toBeUndefined(),
);
