/**
 * A directory that is complete says so by its `manifest.json`, which names every file and is written last. The
 * SHA-256 of the manifest's bytes stands for the whole directory, in workflows and between nodes.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { bytewise } from '../workflows/byte-order.js';
import type { Artifact } from '../workflows/contract.js';
import type { SeriesIdentity } from '../workflows/series-identity.js';
import { isLeftover, isMissing, isPart, noneIfMissing, readIfThere, syncPath, writeFileAtomic } from './atomic.js';
import { BLOCK_BYTES, startDigests, type Digests } from './blocks.js';
import { failure } from './failures.js';
import { noteManifest } from './manifest-index.js';

export interface ManifestFile {
  path: string;
  size: number;
  sha256: string;
  /** Of each block in order, where the file has more than one. */
  blocks?: string[];
}

export interface Manifest {
  files: ManifestFile[];
  /** Size of blocks where it is not `BLOCK_BYTES`. */
  block?: number;
  /** Of the launch that wrote the files, where a trainer did: two launches may save under one iteration's name. */
  token?: number;
  /** And what that launch trained with. */
  identity?: SeriesIdentity;
}

export const MANIFEST = 'manifest.json';
/** Says of a directory without a manifest which files of an artifact are here: see held-part.ts. */
export const PART = '.part.json';

/** An absolute path for a relative one that came from outside; never one that leaves `root`. */
export function confined(root: string, path: string): string {
  const parts = path.split('/');
  if (/[\\\0]/.test(path) || parts.some((part) => part === '' || part === '.' || part === '..'))
    throw failure('InvalidInput', `path ${JSON.stringify(path)} is not one below the data directory`, {
      nonRetryable: true,
    });
  return join(root, ...parts);
}

export interface SealOptions {
  /** Digests that were computed while writing: these files are not read again, but for those of more than one block. */
  known?: ReadonlyMap<string, string>;
  token?: number;
  identity?: SeriesIdentity | undefined;
  signal?: AbortSignal;
  block?: number;
}

/** Hashes the files (all below `dir`, or those named), and declares the directory complete. */
export async function sealArtifact(
  dataDir: string,
  dir: string,
  names?: readonly string[],
  { known, token, identity, signal, block = BLOCK_BYTES }: SealOptions = {},
): Promise<Artifact> {
  const root = confined(dataDir, dir);
  const files: ManifestFile[] = [];
  for (const path of [...(names ?? (await filesBelow(root)))].sort(bytewise)) {
    const file = confined(root, path);
    const { size } = await stat(file);
    const digest = size <= block ? known?.get(path) : undefined;
    const digests = digest ? { sha256: digest } : await digestFile(file, block, signal ? { signal } : {});
    files.push({ path, size, ...digests });
  }
  return writeManifest(dataDir, dir, {
    files,
    ...(block !== BLOCK_BYTES && { block }),
    ...(token !== undefined && { token }),
    ...(identity && { identity }),
  });
}

/** As it lies on disk: these very bytes have its digest. */
export const manifestBytes = (manifest: Manifest): Buffer => Buffer.from(`${JSON.stringify(manifest)}\n`);

export async function writeManifest(dataDir: string, dir: string, manifest: Manifest): Promise<Artifact> {
  const bytes = manifestBytes(manifest);
  const artifact = describe(dir, manifest, bytes);
  await noteManifest(dataDir, artifact);
  const root = confined(dataDir, dir);
  await writeFileAtomic(join(root, MANIFEST), bytes);
  await rm(join(root, DAMAGED), { force: true });
  return artifact;
}

/** Must come before the first change to a sealed directory: an old manifest must not vouch for new files. */
export async function unseal(dataDir: string, dir: string): Promise<void> {
  const root = confined(dataDir, dir);
  for (const name of [DAMAGED, MANIFEST, PART]) await rm(join(root, name), { force: true });
  await syncPath(root).catch((error: unknown) => {
    if (!isMissing(error)) throw error;
  });
}

/** Of a directory that was sealed, until it is again or somebody begins to write to it: what its files were to be. */
const DAMAGED = '.damaged.json';

/** Whether something says, or has said, of the files in `dir` what they are to be: all of an artifact, a part, damaged, or on its way. */
export async function isVouchedFor(dataDir: string, dir: string): Promise<boolean> {
  const names: string[] = await readdir(confined(dataDir, dir)).catch(noneIfMissing);
  return names.some((name) => [MANIFEST, PART, DAMAGED].includes(name) || isPart(name));
}

/** Files here are not what their manifest says: nothing is to find them complete, and what they were is remembered. */
export async function unsealDamaged(dataDir: string, dir: string): Promise<void> {
  const root = confined(dataDir, dir);
  await rename(join(root, MANIFEST), join(root, DAMAGED)).catch((error: unknown) => {
    // A node that shares the storage was first.
    if (!isMissing(error)) throw error;
  });
  await syncPath(root);
}

/** What the files in `dir` are to be, complete or not, also where they were found damaged and nobody has mended them. */
export async function lastManifest(dataDir: string, dir: string): Promise<Manifest | undefined> {
  const root = confined(dataDir, dir);
  const bytes = (await readIfThere(join(root, MANIFEST))) ?? (await readIfThere(join(root, DAMAGED)));
  return bytes && parseManifest(bytes);
}

export async function readManifest(
  dataDir: string,
  dir: string,
): Promise<{ manifest: Manifest; artifact: Artifact } | undefined> {
  const bytes = await readIfThere(join(confined(dataDir, dir), MANIFEST));
  const manifest = bytes && parseManifest(bytes);
  return manifest && { manifest, artifact: describe(dir, manifest, bytes) };
}

/** What `dir` holds if its manifest is there and all its files have their sizes. */
export async function readWhole(
  dataDir: string,
  dir: string,
): Promise<{ manifest: Manifest; artifact: Artifact } | undefined> {
  const found = await readManifest(dataDir, dir);
  if (!found) return undefined;
  const root = confined(dataDir, dir);
  for (const { path, size } of found.manifest.files) if ((await sizeOf(join(root, path))) !== size) return undefined;
  // It may have been made under another name, as conversions are.
  await noteManifest(dataDir, found.artifact);
  return found;
}

export const readArtifact = async (dataDir: string, dir: string): Promise<Artifact | undefined> =>
  (await readWhole(dataDir, dir))?.artifact;

/** Whether a file was written to since the manifest was: its size may be the same, as of a save that was made again. */
export async function isTouched(dataDir: string, dir: string, { files }: Manifest): Promise<boolean> {
  const root = confined(dataDir, dir);
  const sealedAt = (await stat(join(root, MANIFEST))).mtimeMs;
  for (const { path } of files) if ((await stat(join(root, path))).mtimeMs > sealedAt) return true;
  return false;
}

/** Chooses files of an artifact by their paths. */
export type Wanted = (path: string) => boolean;

/** Paths of the files, or of those wanted, that are missing or not what the manifest says, after reading every byte. */
export async function verifyArtifact(
  dataDir: string,
  dir: string,
  { only = () => true, ...options }: HashOptions & { only?: Wanted } = {},
): Promise<string[] | undefined> {
  const found = await readManifest(dataDir, dir);
  if (!found) return undefined;
  const root = confined(dataDir, dir);
  const bad: string[] = [];
  for (const file of found.manifest.files)
    if (only(file.path) && !(await isFile(join(root, file.path), file, options))) bad.push(file.path);
  return bad;
}

export async function isFile(
  path: string,
  { size, sha256 }: ManifestFile,
  options: HashOptions = {},
): Promise<boolean> {
  return (await sizeOf(path)) === size && (await hashFile(path, options)) === sha256;
}

/** `undefined` for what is not a manifest, or names a path that would leave its directory. */
export function parseManifest(bytes: Uint8Array): Manifest | undefined {
  try {
    const { files, block, token, identity } = JSON.parse(Buffer.from(bytes).toString('utf8')) as Manifest;
    if (token !== undefined && !Number.isSafeInteger(token)) return undefined;
    if (block !== undefined && !(Number.isSafeInteger(block) && block > 0)) return undefined;
    for (const { path, size, sha256, blocks } of files) {
      confined('/', path);
      if (!(Number.isSafeInteger(size) && size >= 0 && isDigest(sha256))) return undefined;
      const count = Math.max(1, Math.ceil(size / (block ?? BLOCK_BYTES)));
      if (blocks ? blocks.length !== count || !blocks.every(isDigest) : count > 1) return undefined;
    }
    if (identity !== undefined && !isFlat(identity)) return undefined;
    return {
      files,
      ...(block !== undefined && { block }),
      ...(token !== undefined && { token }),
      ...(identity && { identity }),
    };
  } catch {
    return undefined;
  }
}

const isFlat = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  Object.values(value).every((one) => one === null || ['string', 'number', 'boolean'].includes(typeof one));

const isDigest = (text: string): boolean => /^[0-9a-f]{64}$/.test(text);

export interface HashOptions {
  signal?: AbortSignal;
  onBytes?: (bytes: number) => void;
}

export const hashFile = async (path: string, options: HashOptions = {}): Promise<string> =>
  (await digestFile(path, Infinity, options)).sha256;

async function digestFile(path: string, block: number, { signal, onBytes }: HashOptions = {}): Promise<Digests> {
  const digests = startDigests((await stat(path)).size, block);
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20, ...(signal ? { signal } : {}) })) {
    digests.add(chunk as Buffer);
    onBytes?.((chunk as Buffer).length);
  }
  return digests.end();
}

export const sha256 = (bytes: string | Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Size of a regular file; `undefined` where there is none. */
export async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const found = await stat(path);
    return found.isFile() ? found.size : undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Regular files below `root`, relative, in byte order; links are not followed. */
export async function filesBelow(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && !isLeftover(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .filter((path) => !(dirname(path) === '.' && path === MANIFEST))
    .sort(bytewise);
}

/** Of these together; 0 where there is no such directory. */
export async function bytesBelow(root: string): Promise<number> {
  let bytes = 0;
  for (const path of await filesBelow(root).catch(noneIfMissing)) bytes += (await sizeOf(join(root, path))) ?? 0;
  return bytes;
}

const describe = (dir: string, { files }: Manifest, bytes: Uint8Array): Artifact => ({
  dir,
  digest: sha256(bytes),
  files: files.length,
  bytes: files.reduce((sum, { size }) => sum + size, 0),
});
