/** One node a data directory: what it launched and which tokens it has seen lie there, and are nobody else's. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createFileOnce } from '../activities/atomic.js';

/** @throws Error when the directory was another node's first, as where all are given one path on shared storage */
export async function onlyNodeOf(dataDir: string, name: string): Promise<void> {
  const path = join(dataDir, 'node-name');
  if (await createFileOnce(path, name)) return;
  const other = await readFile(path, 'utf8');
  if (other !== name)
    throw new Error(
      `PRETRAIN_DATA: ${dataDir} is the data directory of node ${other}, expected one of ${name}'s own. To use shared storage, give each node a directory on its own disk, with links for datasets, models and series to one place. If the node was renamed, remove ${path}`,
    );
}
