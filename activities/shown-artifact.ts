/** What a node has of an artifact that a peer asks for by its digest, whole or on its way. */
import { open, realpath, type FileHandle } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { ROOTS } from '../workflows/islands.js';
import { confined, MANIFEST, manifestBytes, readManifest, sha256, type Manifest } from './artifact.js';
import { readIfThere } from './atomic.js';
import { blocksOf, type Block } from './blocks.js';
import type { Grant } from './grants.js';
import { readPart } from './held-part.js';
import { notedDir } from './manifest-index.js';
import { createSignal, packBits, partialOf, type Partial } from './partial.js';

export interface Shown {
  manifest: Uint8Array;
  partial: Partial | undefined;
  blocks: Block[];
  pathsOf(file: number): string[];
}

/** Checkpoints, and what is gathered of one for an export, lie below the name of their series. */
const seriesOf = (dir: string): string | undefined => /^(?:series|exports)\/([^/]+)\//.exec(dir)?.[1];
const isFor = (dir: string, { series }: Grant): boolean => (seriesOf(dir) ?? series) === series;

/** Checkpoints go to runs of their own series only; for the rest, who knows the digest was told it. */
export async function findShown(dataDir: string, digest: string, grant: Grant): Promise<Shown | undefined> {
  const partial = partialOf(dataDir, digest);
  if (partial) return isFor(partial.dir, grant) ? { ...partial, partial } : undefined;
  const dir = await notedDir(dataDir, digest);
  if (!dir || !isFor(dir, grant)) return undefined;
  const bytes = await readIfThere(join(confined(dataDir, dir), MANIFEST));
  if (!bytes || sha256(bytes) !== digest) return findPart(dataDir, dir, digest);
  const manifest = (await readManifest(dataDir, dir))!.manifest;
  return {
    ...{ manifest: bytes, partial, blocks: keptBlocks(digest, manifest) },
    pathsOf: pathsIn(dataDir, dir, manifest),
  };
}

const pathsIn =
  (dataDir: string, dir: string, { files }: Manifest): Shown['pathsOf'] =>
  (file) => [confined(confined(dataDir, dir), files[file]!.path)];

/** What was brought of it is as it is with one that is on its way, and no more comes. */
async function findPart(dataDir: string, dir: string, digest: string): Promise<Shown | undefined> {
  const part = await readPart(dataDir, dir);
  if (part?.digest !== digest) return undefined;
  const manifest = manifestBytes(part.manifest);
  const blocks = keptBlocks(digest, part.manifest);
  const proven = blocks.map(({ file }) => part.has(part.manifest.files[file]!.path));
  const pathsOf = pathsIn(dataDir, dir, part.manifest);
  const partial = { dir, manifest, blocks, proven, pathsOf, fetching: new Set<number>(), ...NO_NEWS };
  return { manifest, partial, blocks, pathsOf };
}

/** Newer than any version of it while it was on its way. Whoever waits for news is forgotten when he does no longer. */
const NO_NEWS = {
  version: Number.MAX_SAFE_INTEGER,
  changed: (signal: AbortSignal) => createSignal().next(signal),
};

/** Of the manifests asked for last: a large one has thousands of blocks, and each is asked for by itself. */
const kept = new Map<string, Block[]>();
const KEPT = 16;

function keptBlocks(digest: string, manifest: Manifest): Block[] {
  const blocks = kept.get(digest) ?? blocksOf(manifest);
  kept.delete(digest);
  kept.set(digest, blocks);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value!);
  return blocks;
}

/** How much is here, for the peers that fetch it as well: all, or which blocks, and which are on their way. */
export type Progress = { all: true } | { version: number; blocks: string; fetching: number[] };

export const progressOf = ({ partial }: Shown): Progress =>
  partial
    ? { version: partial.version, blocks: packBits(partial.proven), fetching: [...partial.fetching] }
    : { all: true };

export const hasBlock = ({ blocks, partial }: Shown, index: number): boolean =>
  blocks[index] !== undefined && (!partial || partial.proven[index] === true);

/**
 * The file of a block that is here, if it is, for the caller to close. It stays the right one when it gets its name
 * meanwhile. A link must not lead out of the data directory, or of the shared storage that a part of it is linked to.
 */
export async function openBlock(
  dataDir: string,
  shown: Shown,
  index: number,
): Promise<{ file: FileHandle; block: Block } | undefined> {
  if (!hasBlock(shown, index)) return undefined;
  const block = shown.blocks[index]!;
  const roots = await Promise.all(['.', ...ROOTS].map((root) => realpath(join(dataDir, root)).catch(() => dataDir)));
  for (const path of shown.pathsOf(block.file)) {
    const real = await realpath(path).catch(() => '');
    const isHere = roots.some((root) => real.startsWith(root + sep));
    const file = isHere && (await open(real).catch(() => undefined));
    if (!file) continue;
    if ((await file.stat()).size >= block.offset + block.length) return { file, block };
    await file.close();
  }
  return undefined;
}
