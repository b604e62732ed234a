/** Megatron's checkpoint tree on a node: `<dir>/iter_NNNNNNN/mp_rank_…/`, each shard directory an artifact of its own. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  confined,
  filesBelow,
  MANIFEST,
  readArtifact,
  readManifest,
  sealArtifact,
  type Manifest,
  type SealOptions,
} from './artifact.js';
import { readIfThere, syncPath } from './atomic.js';
import type { Artifact, ShardHeld } from '../workflows/contract.js';

/** Below a tree: iterations that were newer than the one restored, out of the trainer's sight. */
export const SET_ASIDE = 'set-aside';
export const TRACKER = 'latest_checkpointed_iteration.txt';
const ITERATION = /^iter_(\d{7,})$/;
const SHARD = /^mp_rank_\d{2}(_\d{3}){0,2}$/;

export const iterationDir = (iteration: number): string => `iter_${String(iteration).padStart(7, '0')}`;

export const shardDir = (dir: string, iteration: number, shard: string): string =>
  `${dir}/${iterationDir(iteration)}/${shard}`;

/** Iterations that have a directory, complete or not, oldest first. */
export async function iterationsIn(dataDir: string, dir: string): Promise<number[]> {
  const names = await readdir(confined(dataDir, dir)).catch(() => []);
  return names
    .flatMap((name) => ITERATION.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

export async function shardsIn(dataDir: string, dir: string, iteration: number): Promise<string[]> {
  const names = await readdir(join(confined(dataDir, dir), iterationDir(iteration))).catch(() => []);
  return names.filter((name) => SHARD.test(name)).sort();
}

/** Hashes what a writer has finished, once it is on disk. A seal that is newer than the files and fits them is kept. */
export async function sealShard(
  dataDir: string,
  dir: string,
  { signal, token }: Pick<SealOptions, 'signal' | 'token'> = {},
): Promise<Artifact> {
  const held = await readManifest(dataDir, dir);
  if (held && (await fits(dataDir, dir, held.manifest))) return held.artifact;
  const root = confined(dataDir, dir);
  const names = await filesBelow(root);
  if (names.length === 0) throw Object.assign(new Error(`no files in ${root}`), { code: 'ENOENT' });
  for (const name of names) await syncPath(join(root, name));
  return sealArtifact(dataDir, dir, names, { ...(signal && { signal }), ...(token !== undefined && { token }) });
}

async function fits(dataDir: string, dir: string, { files }: Manifest): Promise<boolean> {
  const root = confined(dataDir, dir);
  const sealedAt = (await stat(join(root, MANIFEST))).mtimeMs;
  const names = await filesBelow(root);
  if (names.length !== files.length) return false;
  for (const { path, size } of files) {
    const found = await stat(join(root, path)).catch(() => undefined);
    // Written again with the same sizes, as by a generation that trains an iteration for the second time.
    if (found?.size !== size || found.mtimeMs > sealedAt) return false;
  }
  return true;
}

/** The iteration that a tracker names; `undefined` for none, and for text that is no iteration. */
export const parseTracker = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d+\s*$/.test(text) ? Number(text) : undefined;

export const readTracker = async (dataDir: string, dir: string): Promise<number | undefined> =>
  parseTracker((await readIfThere(join(confined(dataDir, dir), TRACKER)))?.toString('utf8'));

/** A shard that is sealed here, its files of the right sizes. */
export async function heldShard(
  dataDir: string,
  dir: string,
  iteration: number,
  shard: string,
): Promise<ShardHeld | undefined> {
  const at = shardDir(dir, iteration, shard);
  const artifact = await readArtifact(dataDir, at);
  if (!artifact) return undefined;
  const token = (await readManifest(dataDir, at))?.manifest.token;
  return { shard, digest: artifact.digest, bytes: artifact.bytes, ...(token !== undefined && { token }) };
}
