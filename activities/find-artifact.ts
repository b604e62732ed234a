/**
 * Is the artifact in this directory complete here? It was proven byte by byte when its manifest was written: read
 * again is only what was written to since.
 */
import { log } from '@temporalio/activity';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { NodeActivities } from '../workflows/contract.js';
import { confined, MANIFEST, readArtifact, readManifest, verifyArtifact } from './artifact.js';
import type { NodeDeps } from './node-deps.js';
import { step } from './step.js';

export const createFindArtifact =
  ({ name: node, dataDir }: NodeDeps): NodeActivities['findArtifact'] =>
  ({ dir }) =>
    step({ node, name: `look for ${dir}` }, async (signal) => {
      const artifact = await readArtifact(dataDir, dir);
      if (!artifact) return {};
      if (!(await isTouched(dataDir, dir))) return { artifact };
      const bad = await verifyArtifact(dataDir, dir, { signal });
      if (bad?.length === 0) return { artifact };
      log.warn('files here are not what their manifest says: they are fetched or made again', { dir, bad });
      return {};
    });

async function isTouched(dataDir: string, dir: string): Promise<boolean> {
  const root = confined(dataDir, dir);
  const sealedAt = (await stat(join(root, MANIFEST))).mtimeMs;
  for (const { path } of (await readManifest(dataDir, dir))?.manifest.files ?? [])
    if ((await stat(join(root, path))).mtimeMs > sealedAt) return true;
  return false;
}
