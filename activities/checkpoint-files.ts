/**
 * The checkpoint tree of a series on a node: `<dir>/iter_NNNNNNN/mp_rank_…/`, which is Megatron's own, or `…/dcp_…/`, what the
 * ranks of one node wrote of a distributed checkpoint (dcp-tree.ts). Each shard directory is an artifact of its own.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { confined, filesBelow, isTouched, readWhole, sealArtifact, type SealOptions } from './artifact.js';
import { noneIfMissing, readIfThere, syncPath } from './atomic.js';
import type { Artifact, ShardHeld } from '../workflows/contract.js';
import { isDcpShard } from '../workflows/dcp-shards.js';
import type { SeriesIdentity } from '../workflows/series-identity.js';
import { identityFor } from './series-launch.js';

/** Below a tree: iterations that were newer than the one restored, out of the trainer's sight. */
export const SET_ASIDE = 'set-aside';
export const TRACKER = 'latest_checkpointed_iteration.txt';
/** Megatron's, and of Muon one of each data-parallel rank (workflows/muon.ts). */
const OPTIMIZER = /^(distrib_optim|layer_wise_optimizer_\d+)\.pt$/;
/** Of a shard, all but the state of a distributed optimizer, which is most of it: what converters and most ranks read. */
export const isModel = (path: string): boolean => !OPTIMIZER.test(path);
const ITERATION = /^iter_(\d{7,})$/;
const MEGATRON_SHARD = /^mp_rank_\d{2}(_\d{3}){0,2}$/;
export const isShard = (name: string): boolean => MEGATRON_SHARD.test(name) || isDcpShard(name);

export const iterationDir = (iteration: number): string => `iter_${String(iteration).padStart(7, '0')}`;

export const shardDir = (dir: string, iteration: number, shard: string): string =>
  `${dir}/${iterationDir(iteration)}/${shard}`;

/** Iterations that have a directory, complete or not, oldest first. */
export const iterationsIn = (dataDir: string, dir: string): Promise<number[]> => numbersIn(dataDir, dir, ITERATION);

/** By the names in a directory, the numbers that a pattern finds in them, least first. */
export async function numbersIn(dataDir: string, dir: string, pattern: RegExp): Promise<number[]> {
  // A disk that cannot be read is not one that holds nothing: a series would be started over for it.
  const names = await readdir(confined(dataDir, dir)).catch(noneIfMissing);
  return names
    .flatMap((name) => pattern.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

export async function shardsIn(dataDir: string, dir: string, iteration: number): Promise<string[]> {
  const names = await readdir(join(confined(dataDir, dir), iterationDir(iteration))).catch(noneIfMissing);
  return names.filter(isShard).sort();
}

export type SealFiles = (
  dataDir: string,
  dir: string,
  names: string[],
  options: Pick<SealOptions, 'signal' | 'token' | 'identity'>,
) => Promise<Artifact>;

/** Hashes files that are on disk for good before anything vouches for them. */
export const sealFiles: SealFiles = async (dataDir, dir, names, options) => {
  const root = confined(dataDir, dir);
  for (const name of names) await syncPath(join(root, name));
  return sealArtifact(dataDir, dir, names, options);
};

/** Hashes what a writer has finished. A seal that is newer than the files and fits them is kept. */
export async function sealShard(
  dataDir: string,
  dir: string,
  { signal, token, seal = sealFiles }: Pick<SealOptions, 'signal' | 'token'> & { seal?: SealFiles } = {},
): Promise<Artifact> {
  const root = confined(dataDir, dir);
  const held = await readWhole(dataDir, dir);
  const names = await filesBelow(root);
  const isAll = held?.manifest.files.length === names.length;
  if (held && isAll && !(await isTouched(dataDir, dir, held.manifest))) return held.artifact;
  if (names.length === 0) throw Object.assign(new Error(`no files in ${root}`), { code: 'ENOENT' });
  const identity = token === undefined ? undefined : await identityFor(dataDir, dir, token);
  return seal(dataDir, dir, names, {
    ...(signal && { signal }),
    ...(token !== undefined && { token }),
    identity,
  });
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
): Promise<(ShardHeld & { identity?: SeriesIdentity }) | undefined> {
  const at = shardDir(dir, iteration, shard);
  const held = await readWhole(dataDir, at);
  if (!held) return undefined;
  const { digest, bytes } = held.artifact;
  const { token, identity } = held.manifest;
  return { shard, digest, bytes, ...(token !== undefined && { token }), ...(identity && { identity }) };
}
