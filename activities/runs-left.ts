/** Which runs something is left of on this node: directories of launches, probes, and tokens for its files. */
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { NodeActivities } from '../workflows/contract.js';
import { ROOTS } from '../workflows/islands.js';
import { runName } from '../workflows/spec.js';
import { isMissing, noneIfMissing } from './atomic.js';
import { generationDir, launchesIn, type LaunchId } from './generation-files.js';
import { grantsIn } from './grants.js';
import type { NodeDeps } from './node-deps.js';
import { findMarked } from './process.js';
import { step } from './step.js';
import { probesIn, removeIfLeft, runOfProbes } from './storage-probe.js';

/** One answer, which histories keep, tells this many; the newest, since the server forgets the oldest. The rest follows another time. */
const MOST = 300;

export const createFindLeft =
  ({ name: node, dataDir }: NodeDeps): NodeActivities['findLeft'] =>
  ({ before }) =>
    step({ node, name: 'find what runs left' }, async () => {
      const living = new Set((await findMarked(dataDir)).map(({ token }) => token));
      const isOld = ({ mtimeMs }: { mtimeMs: number }) => mtimeMs <= before;
      const launches: LaunchId[] = [];
      for (const launch of (await launchesIn(dataDir)).sort((a, b) => b.token - a.token)) {
        const about = await statIfThere(generationDir(dataDir, launch));
        if (living.has(launch.token) || (about && isOld(about))) launches.push(launch);
      }
      const probes = (await probesOf(dataDir, node)).filter(isOld);
      const grants = (await grantsIn(dataDir)).filter(isOld);
      const named = [
        ...launches.map(({ run }) => run),
        ...probes.map(({ run }) => run),
        ...grants.flatMap(({ grant }) => runName(grant.run) ?? []),
      ];
      return { runs: [...new Set(named)].slice(0, MOST) };
    });

export interface ProbeLeft {
  run: string;
  dir: string;
  path: string;
  mtimeMs: number;
}

/** Those of this node: where directories are shared, others have theirs there. */
export async function probesOf(dataDir: string, node: string): Promise<ProbeLeft[]> {
  const found: ProbeLeft[] = [];
  for (const root of ROOTS)
    for (const name of await readdir(join(dataDir, probesIn(root))).catch(noneIfMissing)) {
      const dir = join(dataDir, probesIn(root), name);
      const path = join(dir, node);
      const about = await statIfThere(path);
      if (about) found.push({ run: runOfProbes(name), dir, path, mtimeMs: about.mtimeMs });
    }
  return found;
}

export async function removeProbe({ dir, path }: ProbeLeft): Promise<void> {
  await rm(path, { force: true });
  await removeIfLeft(dir);
}

export async function statIfThere(path: string) {
  try {
    return await stat(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Bytes below a directory, and when anything in it was touched last. */
export async function weigh(dir: string): Promise<{ bytes: number; mtimeMs: number }> {
  const about = await stat(dir);
  let [bytes, mtimeMs] = [about.isDirectory() ? 0 : about.size, about.mtimeMs];
  for (const name of about.isDirectory() ? await readdir(dir) : []) {
    const below = await weigh(join(dir, name));
    bytes += below.bytes;
    mtimeMs = Math.max(mtimeMs, below.mtimeMs);
  }
  return { bytes, mtimeMs };
}
