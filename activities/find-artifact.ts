/** Is the artifact in this directory complete here? Sizes only: it was proven byte by byte when its manifest was written. */
import type { NodeActivities } from '../workflows/contract.js';
import { readArtifact } from './artifact.js';
import type { NodeDeps } from './node-deps.js';
import { toFailure } from './step.js';

export const createFindArtifact =
  ({ name: node, dataDir }: NodeDeps): NodeActivities['findArtifact'] =>
  async ({ dir }) => {
    try {
      const artifact = await readArtifact(dataDir, dir);
      return artifact ? { artifact } : {};
    } catch (error) {
      throw toFailure(error, { node, name: `look for ${dir}` });
    }
  };
