/**
 * Where the artifact with a digest is: peers ask by digest and never by path. An entry proves nothing, since the
 * directory may have changed or gone since; whoever follows one reads the manifest there.
 */
import { join } from 'node:path';
import type { Artifact } from '../workflows/contract.js';
import { readIfThere, writeFileAtomic } from './atomic.js';

const entryOf = (dataDir: string, digest: string): string => join(dataDir, 'manifests', digest);

/** What this process has noted already, to spare the disk. */
const noted = new Map<string, string>();

export async function noteManifest(dataDir: string, { digest, dir }: Pick<Artifact, 'digest' | 'dir'>): Promise<void> {
  const entry = entryOf(dataDir, digest);
  if (noted.get(entry) === dir) return;
  if ((await readIfThere(entry))?.toString('utf8') !== dir) await writeFileAtomic(entry, dir);
  noted.set(entry, dir);
}

/** `digest` must be one: 64 hexadecimal digits. */
export const notedDir = async (dataDir: string, digest: string): Promise<string | undefined> =>
  (await readIfThere(entryOf(dataDir, digest)))?.toString('utf8');
