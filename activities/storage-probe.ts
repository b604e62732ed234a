/** Whether nodes have one storage, which is measured: each leaves its name there, and then looks for another's. */
import { readdir, rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { confined } from './artifact.js';
import { readIfThere, writeFileAtomic } from './atomic.js';
import type { NodeDeps } from './node-deps.js';

/** Where trainers keep their index cache, whether one may rely on another's being the question. */
const PROBES = 'datasets/.probes';
/** Other runs may be looking at theirs. */
const KEPT_MS = 3_600_000;

type Node = Pick<NodeDeps, 'name' | 'dataDir'>;

const probesDir = ({ dataDir }: Node, run: string): string => confined(dataDir, `${PROBES}/${run}`);

export const leaveProbe = (node: Node, run: string): Promise<void> =>
  writeFileAtomic(join(probesDir(node, run), node.name), node.dataDir);

/**
 * Whether what another node left can be read here, and its data directory has the same path: the names of trainers'
 * index caches come from absolute paths. Also takes away this node's probes of other runs: what they had to tell is told.
 */
export async function seesProbe(node: Node, run: string, other: string): Promise<boolean> {
  const { dataDir } = node;
  const runs = await readdir(join(dataDir, PROBES)).catch(() => []);
  for (const old of runs.filter((name) => name !== run)) await removeOld(join(dataDir, PROBES, old), node);
  return (await readIfThere(join(probesDir(node, run), other)))?.toString('utf8') === dataDir;
}

async function removeOld(dir: string, { name }: Node): Promise<void> {
  const about = await stat(join(dir, name)).catch(() => undefined);
  if (!about || Date.now() - about.mtimeMs < KEPT_MS) return;
  await rm(join(dir, name), { force: true });
  // The last one to go takes the directory along.
  await rmdir(dir).catch(() => undefined);
}
