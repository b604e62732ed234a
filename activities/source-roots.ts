/** What a `file://` source of a run file may name: a worker often runs as root, and a run file is not its owner's. */
import { realpath } from 'node:fs/promises';
import { sep } from 'node:path';
import { isMissing } from './atomic.js';
import type { NodeDeps } from './node-deps.js';
import { invalid } from './source.js';

export type Readable = Pick<NodeDeps, 'name' | 'dataDir' | 'sourceRoots'>;

/**
 * Where a path leads once its links are followed.
 * @throws InvalidInput where there is nothing, or it leads out of the data directory and the roots that the node's
 * operator has named
 */
export async function allowed({ name, dataDir, sourceRoots = [] }: Readable, path: string): Promise<string> {
  const found = await realpath(path).catch((error: unknown) => {
    if (isMissing(error)) throw invalid(`file://${path}`, `there is no such file on ${name}`);
    throw error;
  });
  const roots = await Promise.all([dataDir, ...sourceRoots].map((root) => realpath(root).catch(() => root)));
  if (roots.some((root) => found === root || found.startsWith(root.endsWith(sep) ? root : `${root}${sep}`)))
    return found;
  const where = found === path ? '' : ` leads to ${found}, which`;
  throw invalid(
    `file://${path}`,
    `on ${name} it${where} is not under the data directory ${dataDir}${sourceRoots.map((root) => `, nor ${root}`).join('')}. ` +
      'Directories that runs may read are named in PRETRAIN_SOURCES of the node worker, with ":" between them',
  );
}
