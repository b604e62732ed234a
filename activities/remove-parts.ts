/**
 * What a dataset was made of goes once the dataset is there: the fetched input and the shards are the same text twice
 * more. Should the dataset be damaged one day, they are fetched and made again.
 */
import { log } from '@temporalio/activity';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { NodeActivities } from '../workflows/contract.js';
import { confined, readArtifact } from './artifact.js';
import { noneIfMissing } from './atomic.js';
import { exclusive } from './exclusive.js';
import { reasonOf } from './failures.js';
import type { NodeDeps } from './node-deps.js';
import { step } from './step.js';
import { removeUnused } from './store.js';

const PARTS = ['shards', 'input'] as const;

export const createRemoveParts =
  ({ name: node, dataDir }: NodeDeps): NodeActivities['removeParts'] =>
  ({ dir }) =>
    step({ node, name: `remove the parts of ${dir}` }, () =>
      // Whoever merges holds this lock while it reads shards.
      exclusive(join(dataDir, dir), async () => {
        // Without the whole they are all there is.
        if (!(await readArtifact(dataDir, dir))) return { bytes: 0 };
        const parts = await partsOf(dataDir, dir);
        let bytes = 0;
        const failed: string[] = [];
        for (const part of parts)
          await exclusive(join(dataDir, part), async () => {
            const size = await sizeBelow(confined(dataDir, part));
            await rm(confined(dataDir, part), { recursive: true, force: true });
            bytes += size;
          }).catch((error: unknown) => {
            log.warn('a part of a dataset was not removed', { part, why: reasonOf(error) });
            failed.push(`${part}: ${reasonOf(error)}`);
          });
        await removeUnused(dataDir);
        return { bytes, ...(failed.length > 0 && { failed: failed[0] }) };
      }),
    );

/** Directories of shards and of fetched input, complete or not, each the unit of one lock. */
export async function partsOf(dataDir: string, dir: string): Promise<string[]> {
  const found: string[] = [];
  for (const part of PARTS) {
    const names = await readdir(join(confined(dataDir, dir), part)).catch(noneIfMissing);
    found.push(...names.map((name) => `${dir}/${part}/${name}`));
  }
  return found;
}

async function sizeBelow(path: string): Promise<number> {
  const stats = await stat(path);
  if (!stats.isDirectory()) return stats.size;
  const sizes = await Promise.all((await readdir(path)).map((name) => sizeBelow(join(path, name))));
  return sizes.reduce((sum, size) => sum + size, 0);
}
