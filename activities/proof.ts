/**
 * When the files of an artifact were last read whole and found right, noted beside the manifest. A disk that loses
 * bytes leaves no trace in any time of a file, so that what was proven long ago is read again before it is relied on.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Artifact } from '../workflows/contract.js';
import { confined, MANIFEST, verifyArtifact, type HashOptions, type Manifest } from './artifact.js';
import { readJson, writeJson } from './atomic.js';

interface Proof {
  digest: string;
  at: number;
  /** What the file system said of each file then. */
  files: Record<string, Stamp>;
}

/** Inode, size, time of last writing, time of last change of any kind. */
type Stamp = [ino: number, size: number, mtimeMs: number, ctimeMs: number];

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
  const isFresh = (at: number) => !prove || Math.abs(Date.now() - at) < DAY_MS;
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

/** A full disk must not keep a node from using what is right. */
const noteProof = (dataDir: string, { dir, digest }: Artifact, proof: Omit<Proof, 'digest'>): Promise<void> =>
  writeJson(proofAt(confined(dataDir, dir)), { digest, ...proof } satisfies Proof).catch(() => undefined);

const isSame = (noted: Stamp | undefined, now: Stamp, byChange: boolean): boolean =>
  noted?.length === now.length && now.slice(0, byChange ? 4 : 3).every((value, index) => value === noted[index]);

async function stampsOf(root: string, { files }: Manifest): Promise<Record<string, Stamp>> {
  const stamps: Record<string, Stamp> = {};
  for (const { path } of files) {
    const { ino, size, mtimeMs, ctimeMs } = await stat(join(root, path));
    stamps[path] = [ino, size, mtimeMs, ctimeMs];
  }
  return stamps;
}
