/**
 * Some files of an artifact, proven, in a directory that holds no more of it. There is no manifest, so that nobody takes it
 * for a copy, in listings or elsewhere. A file written last says which they are, and holds the manifest of the whole:
 * by its digest peers ask for them.
 */
import { join } from 'node:path';
import {
  confined,
  manifestBytes,
  parseManifest,
  PART,
  readManifest,
  sha256,
  type Manifest,
  type Wanted,
} from './artifact.js';
import { readIfThere, writeJson } from './atomic.js';
import { notedDir, noteManifest } from './manifest-index.js';

export interface HeldPart {
  /** Of the whole, and its digest. */
  manifest: Manifest;
  digest: string;
  /** Chooses the files that are here. */
  has: Wanted;
}

interface Note {
  files: string[];
  whole: unknown;
}

export async function writePart(dataDir: string, dir: string, whole: Manifest, only: Wanted): Promise<void> {
  const files = whole.files.map(({ path }) => path).filter(only);
  const digest = sha256(manifestBytes(whole));
  await writeJson(join(confined(dataDir, dir), PART), { files, whole } satisfies Note);
  const other = await notedDir(dataDir, digest);
  // Who has all of it elsewhere goes on to show that.
  if (other === undefined || (await readManifest(dataDir, other))?.artifact.digest !== digest)
    await noteManifest(dataDir, { digest, dir });
}

/** Nothing where the file is damaged: then it says nothing. */
export async function readPart(dataDir: string, dir: string): Promise<HeldPart | undefined> {
  const bytes = await readIfThere(join(confined(dataDir, dir), PART));
  if (!bytes) return undefined;
  try {
    const { files, whole } = JSON.parse(bytes.toString('utf8')) as Note;
    const manifest = parseManifest(Buffer.from(JSON.stringify(whole)));
    if (!manifest || !Array.isArray(files)) return undefined;
    return { manifest, digest: sha256(manifestBytes(manifest)), has: (path) => files.includes(path) };
  } catch {
    return undefined;
  }
}
