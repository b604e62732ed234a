/**
 * Is the artifact in this directory complete here? It was proven byte by byte when its manifest was written: read
 * again is what was changed since, and once a day, before a run begins to use it, all of it. What another version of
 * the preprocessor made under its name, as a node that was upgraded last, is not it.
 */
import type { NodeActivities } from '../workflows/contract.js';
import { lastManifest, readWhole } from './artifact.js';
import type { NodeDeps } from './node-deps.js';
import { isSound, proveOrUnseal } from './proof.js';
import { isOfOtherVersion, lineagesIn } from './preprocess/lineage.js';
import { pairDigests } from './preprocess/pair-digests.js';
import { partsOf } from './remove-parts.js';
import { step } from './step.js';

export const createFindArtifact =
  ({ name: node, dataDir }: NodeDeps): NodeActivities['findArtifact'] =>
  ({ dir, prove = false, anew = false, like }) => {
    let read = 0;
    const options = { node, name: `look for ${dir}`, details: () => ({ bytes: read }) };
    return step(options, async (signal) => {
      const parts = (await partsOf(dataDir, dir)).length > 0 ? { parts: true as const } : {};
      const found = await readWhole(dataDir, dir);
      const others = async () => (like === undefined ? {} : { lineages: await lineagesIn(dataDir, like) });
      if (found && (await isOfOtherVersion(dataDir, dir))) return { ...parts, ...(await others()) };
      const onBytes = (bytes: number) => void (read += bytes);
      const options = { signal, onBytes };
      const isWhole =
        found &&
        (await (anew ? proveOrUnseal(dataDir, found, options) : isSound(dataDir, found, { prove, ...options })));
      if (isWhole) return { artifact: found.artifact, ...pairDigests(found.manifest), ...parts };
      const damaged = (await lastManifest(dataDir, dir)) && { damaged: true as const };
      return { ...parts, ...damaged, ...(await others()) };
    });
  };
