/** Whether a node has a file set whole: asked before every launch, so it must be cheap, and still never wrong. */
import { mkdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { sealArtifact } from '../../activities/artifact.js';
import { createFindArtifact } from '../../activities/find-artifact.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { run, testNode } from '../support/test-node.js';

const DIR = 'datasets/k';
const find = (deps: NodeDeps) => run(createFindArtifact(deps), { dir: DIR });

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

it('does not have what was written to since, though the size is right', async () => {
  const { deps, file } = await sealed();
  await writeFile(file, 'tokEns');
  const later = new Date(Date.now() + 2_000);
  await utimes(file, later, later);
  expect(await find(deps)).toEqual({});
});

it('has what was only touched, after reading it', async () => {
  const { deps, file, artifact } = await sealed();
  const later = new Date(Date.now() + 2_000);
  await utimes(file, later, later);
  expect(await find(deps)).toEqual({ artifact });
});
