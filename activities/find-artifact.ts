/**
 * Is the artifact in this directory complete here? It was proven byte by byte when its manifest was written: read
 * again is only what was written to since.
 */
import { log } from '@temporalio/activity';
import type { NodeActivities } from '../workflows/contract.js';
import { isTouched, readWhole, verifyArtifact } from './artifact.js';
import type { NodeDeps } from './node-deps.js';
import { step } from './step.js';

export const createFindArtifact =
  ({ name: node, dataDir }: NodeDeps): NodeActivities['findArtifact'] =>
  ({ dir }) =>
    step({ node, name: `look for ${dir}` }, async (signal) => {
      const found = await readWhole(dataDir, dir);
      if (!found) return {};
      const { artifact, manifest } = found;
      if (!(await isTouched(dataDir, dir, manifest))) return { artifact };
      const bad = await verifyArtifact(dataDir, dir, { signal });
      if (bad?.length === 0) return { artifact };
      log.warn('files here are not what their manifest says: they are fetched or made again', { dir, bad });
      return {};
    });
