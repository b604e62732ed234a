/** Which `file://` addresses a run file may name: a worker often runs as root, and a run file is not its owner's. */
import { realpath } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import { isMissing } from './atomic.js';
import type { NodeDeps } from './node-deps.js';
import { invalid } from './source.js';

/** Why an export may not go there, if so. Its directory is new: where the way to it leads must lie under a root. */
export async function mayExportTo(
  { name, exportRoots = [] }: Pick<NodeDeps, 'name' | 'exportRoots'>,
  to: string,
): Promise<string[]> {
  if (!to.startsWith('file://')) return [];
  const place = await reached(to.slice('file://'.length));
  for (const root of exportRoots) if (isUnder(place, await realpath(root).catch(() => root))) return [];
  const roots = exportRoots.length > 0 ? `under ${exportRoots.join(' or ')}` : 'under any directory';
  return [`export.to ${to} is not ${roots} that PRETRAIN_EXPORTS of ${name} names`];
}

/** Where a path leads, though its end may not be there yet. */
async function reached(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (!isMissing(error) || dirname(path) === path) throw error;
    return join(await reached(dirname(path)), basename(path));
  }
}

const isUnder = (path: string, root: string): boolean =>
  path === root || path.startsWith(root.endsWith(sep) ? root : `${root}${sep}`);

export type Readable = Pick<NodeDeps, 'name' | 'dataDir' | 'sourceRoots'>;

/**
 * Where a path leads once its links are followed.
 * @throws InvalidInput where there is nothing, or it leads out of the data directory and the roots that the node's
 * operator has named
 */
export async function allowed({ name, dataDir, sourceRoots = [] }: Readable, path: string): Promise<string> {
  const found = await realpath(path).catch((error: unknown) => {
    if (isMissing(error))
      throw invalid(`file://${path}`, `there is no such file on ${name}, and whatever node is asked has to have it`);
    throw error;
  });
  const roots = await Promise.all([dataDir, ...sourceRoots].map((root) => realpath(root).catch(() => root)));
  if (roots.some((root) => isUnder(found, root))) return found;
  const where = found === path ? '' : ` leads to ${found}, which`;
  throw invalid(
    `file://${path}`,
    `on ${name} it${where} is not under the data directory ${dataDir}${sourceRoots.map((root) => `, nor ${root}`).join('')}. ` +
      'Directories that runs may read are named in PRETRAIN_SOURCES of the node worker, with ":" between them',
  );
}
