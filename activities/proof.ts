/**
 * When the files of an artifact were last read whole and found right, noted beside the manifest. A disk that loses
 * bytes leaves no trace in any time of a file, so that what was proven long ago is read again before it is relied on.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { log } from '@temporalio/activity';
import type { Artifact } from '../workflows/contract.js';
import { confined, MANIFEST, unsealDamaged, verifyArtifact, type HashOptions, type Manifest } from './artifact.js';
import { readJson, writeJson } from './atomic.js';

interface Proof {
  digest: string;
  at: number;
  /** What the file system said of each file then. */
  files: Record<string, Stamp>;
}

/** Inode, size, time of last writing, time of last change of any kind. */
export type Stamp = [ino: number, size: number, mtimeMs: number, ctimeMs: number];

const DAY_MS = 24 * 60 * 60_000;

const proofAt = (root: string): string => join(root, '.proven.json');

/**
 * Whether nothing has changed since these files were proven. With `prove` by the time of last change too, which whoever
 * puts the time of last writing back cannot put back, and for a day. Without, as in the middle of a run, not by that
 * one: it moves when another artifact links the same file, and to read a large dataset again takes hours.
 */
export async function isProven(
  dataDir: string,
  { artifact, manifest }: { artifact: Artifact; manifest: Manifest },
  prove: boolean,
): Promise<boolean> {
  const root = confined(dataDir, artifact.dir);
  const proof = await readJson<Proof>(proofAt(root)).catch(() => undefined);
  const isFresh = (at: number) => !prove || isRecent(at);
  if (proof?.digest === artifact.digest) {
    const now = await stampsOf(root, manifest);
    return isFresh(proof.at) && Object.entries(now).every(([path, stamp]) => isSame(proof.files[path], stamp, prove));
  }
  // Never read again since its manifest was written, after each byte had been.
  const sealedAt = (await stat(join(root, MANIFEST))).mtimeMs;
  for (const { path } of manifest.files) {
    const { mtimeMs, ctimeMs } = await stat(join(root, path));
    if ((prove ? Math.max(mtimeMs, ctimeMs) : mtimeMs) > sealedAt) return false;
  }
  return isFresh(sealedAt);
}

/** Reads everything; the paths of what is damaged, and of what is not a note for the next time. */
export async function proveAgain(
  dataDir: string,
  { artifact, manifest }: { artifact: Artifact; manifest: Manifest },
  options: HashOptions = {},
): Promise<string[]> {
  const files = await stampsOf(confined(dataDir, artifact.dir), manifest);
  const bad = (await verifyArtifact(dataDir, artifact.dir, options)) ?? [MANIFEST];
  if (bad.length === 0) await noteProof(dataDir, artifact, { at: Date.now(), files });
  return bad;
}

/** Whether all of it may be relied on: proven within a day and unchanged since, or else read now. What is damaged is unsealed. */
export const isSound = async (
  dataDir: string,
  found: { artifact: Artifact; manifest: Manifest },
  { prove = true, ...options }: HashOptions & { prove?: boolean } = {},
): Promise<boolean> => (await isProven(dataDir, found, prove)) || proveOrUnseal(dataDir, found, options);

/** Reads everything; what is damaged is unsealed: whoever fetches or makes it again would find it made, as every file has its size. */
export async function proveOrUnseal(
  dataDir: string,
  found: { artifact: Artifact; manifest: Manifest },
  options: HashOptions = {},
): Promise<boolean> {
  const bad = await proveAgain(dataDir, found, options);
  if (bad.length === 0) return true;
  const { dir } = found.artifact;
  log.warn('files here are not what their manifest says: they are fetched or made again', { dir, bad });
  await unsealDamaged(dataDir, dir);
  return false;
}

/** A full disk must not keep a node from using what is right. */
const noteProof = (dataDir: string, { dir, digest }: Artifact, proof: Omit<Proof, 'digest'>): Promise<void> =>
  writeJson(proofAt(confined(dataDir, dir)), { digest, ...proof } satisfies Proof).catch(() => undefined);

/** Whether what was read then need not be read again yet. */
export const isRecent = (at: number): boolean => Math.abs(Date.now() - at) < DAY_MS;

export const isSame = (noted: Stamp | undefined, now: Stamp, byChange: boolean): boolean =>
  noted?.length === now.length && now.slice(0, byChange ? 4 : 3).every((value, index) => value === noted[index]);

async function stampsOf(root: string, { files }: Manifest): Promise<Record<string, Stamp>> {
  const stamps: Record<string, Stamp> = {};
  for (const { path } of files) stamps[path] = await stampOf(join(root, path));
  return stamps;
}

export async function stampOf(path: string): Promise<Stamp> {
  const { ino, size, mtimeMs, ctimeMs } = await stat(path);
  return [ino, size, mtimeMs, ctimeMs];
}
