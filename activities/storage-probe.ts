/**
 * Whether nodes have one storage, which is measured: before a launch each leaves its name below every directory that may
 * be shared, under the token of that launch, and then looks whose names are there.
 */
import { randomUUID } from 'node:crypto';
import { readdir, rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { log } from '@temporalio/activity';
import { ROOTS, type Root, type Seen, type Sees } from '../workflows/islands.js';
import { confined } from './artifact.js';
import { createFileOnce, noneIfMissing, readIfThere, writeFileAtomic } from './atomic.js';
import type { NodeDeps } from './node-deps.js';

/** Other runs may be looking at theirs. */
const KEPT_MS = 3_600_000;

type Node = Pick<NodeDeps, 'name' | 'dataDir'>;

/** Of which preparation: a launch token is never given twice. */
export interface Probes {
  /** Name of the run, fit for paths. */
  run: string;
  token: number;
}

export const probesIn = (root: Root): string => `${root}/.probes`;
const nameOf = ({ run, token }: Probes): string => `${run}@${token}`;
/** Whose they are, by the name of their directory. */
export const runOfProbes = (name: string): string => name.replace(/@\d+$/, '');
const probesDir = ({ dataDir }: Node, root: Root, name: string): string =>
  confined(dataDir, `${probesIn(root)}/${name}`);

export async function leaveProbes(node: Node, probes: Probes): Promise<void> {
  // By this one nodes tell whether their data directories have one path.
  await writeFileAtomic(join(probesDir(node, 'datasets', probes.run), node.name), node.dataDir);
  for (const root of ROOTS) await writeFileAtomic(join(probesDir(node, root, nameOf(probes)), node.name), node.dataDir);
}

/**
 * Whether what another node left can be read here, and its data directory has the same path: the names of trainers'
 * index caches come from absolute paths.
 */
export async function seesProbe(node: Node, run: string, other: string): Promise<boolean> {
  return (await readIfThere(join(probesDir(node, 'datasets', run), other)))?.toString('utf8') === node.dataDir;
}

/**
 * Whose probes are to be found here, when every node has left its own. Also takes away this node's probes of other
 * launches: what they had to tell is told.
 *
 * @param of how many nodes have left one
 */
export async function findProbes(node: Node, probes: Probes, of: number): Promise<Sees> {
  const sees: Partial<Record<Root, Seen>> = {};
  for (const root of ROOTS) {
    const found = await probesOf(node, root, probes);
    sees[root] = found.length === of && found.includes(node.name) ? 'all' : found;
    await removeOld(node, root, [probes.run, nameOf(probes)]);
  }
  return sees as Sees;
}

async function probesOf(node: Node, root: Root, probes: Probes): Promise<string[]> {
  const names = await readdir(probesDir(node, root, nameOf(probes))).catch(noneIfMissing);
  return names.filter((name) => !name.startsWith('.')).sort();
}

/** Other nodes that have left theirs on the storage of this one's checkpoints: of a launch that it joins, all that there are. */
export const besideProbes = async (node: Node, probes: Probes): Promise<string[]> =>
  (await probesOf(node, 'series', probes)).filter((name) => name !== node.name);

/** Given to a storage by the first node that comes. */
const STORAGE = '.storage';

/**
 * What storage this node's checkpoints are on: the same for all nodes that have it, for one launch, however far others
 * are with leaving theirs. `undefined` where the file system does not tell who was first.
 */
export async function storageName(node: Node, probes: Probes): Promise<string | undefined> {
  const path = join(probesDir(node, 'series', nameOf(probes)), STORAGE);
  try {
    await createFileOnce(path, randomUUID());
    return (await readIfThere(path))?.toString('utf8');
  } catch (error) {
    log.warn('nobody knows what storage the checkpoints are on', { error: String(error) });
    return undefined;
  }
}

async function removeOld({ name, dataDir }: Node, root: Root, current: string[]): Promise<void> {
  const runs = await readdir(join(dataDir, probesIn(root))).catch(() => []);
  for (const old of runs.filter((run) => !current.includes(run))) {
    const dir = join(dataDir, probesIn(root), old);
    const about = await stat(join(dir, name)).catch(() => undefined);
    if (!about || Date.now() - about.mtimeMs < KEPT_MS) continue;
    await rm(join(dir, name), { force: true });
    await removeIfLeft(dir);
  }
}

/** The last probe to go takes along the directory, and the storage's name in it. */
export async function removeIfLeft(dir: string): Promise<void> {
  if ((await readdir(dir).catch(() => [])).every((name) => name === STORAGE))
    await rm(join(dir, STORAGE), { force: true });
  await rmdir(dir).catch(() => undefined);
}
