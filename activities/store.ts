/**
 * Files by what they contain: `<data>/files/sha256/<digest>`, hard-linked to where they are used, so that two
 * runs that need one file hold it once. Only for files that nobody writes again: a checkpoint is written in
 * place by the trainer and must never share its blocks with anything.
 */
import { chmod, copyFile, link, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isFile, type HashOptions, type ManifestFile } from './artifact.js';
import { besides, commitFile, errorCode, isMissing, noneIfMissing } from './atomic.js';

const storedAt = (dataDir: string, sha256: string): string => join(dataDir, 'files', 'sha256', sha256);

/** Puts a stored file at `to`, after proving its bytes; false when the store has no good copy. */
export async function placeFromStore(
  dataDir: string,
  file: ManifestFile,
  to: string,
  options: HashOptions = {},
): Promise<boolean> {
  const stored = storedAt(dataDir, file.sha256);
  if (!(await isFile(stored, file, options))) {
    await rm(stored, { force: true });
    return false;
  }
  await mkdir(dirname(to), { recursive: true });
  const temporary = besides(to);
  try {
    await linkOrCopy(stored, temporary);
    await rename(temporary, to);
  } catch (error) {
    await rm(temporary, { force: true });
    // Nobody used it, and it was removed meanwhile.
    if (isMissing(error)) return false;
    throw error;
  }
  return true;
}

/** Removes what nothing links to but the store itself. */
export async function removeUnused(dataDir: string): Promise<void> {
  const root = join(dataDir, 'files', 'sha256');
  const names = await readdir(root).catch(noneIfMissing);
  for (const name of names) {
    // Nodes that share their storage remove the same.
    const { nlink } = await stat(join(root, name)).catch((error: unknown) => {
      if (isMissing(error)) return { nlink: 0 };
      throw error;
    });
    if (nlink === 1) await rm(join(root, name), { force: true });
  }
}

/** Lets the store hold a proven file too. Where links are not to be had there is nothing to gain, and it does not. */
export async function keepInStore(dataDir: string, sha256: string, path: string): Promise<void> {
  const stored = storedAt(dataDir, sha256);
  await mkdir(dirname(stored), { recursive: true });
  await chmod(path, 0o444);
  try {
    await link(path, stored);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST' && !noLinks(error)) throw error;
  }
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (!noLinks(error)) throw error;
    await copyFile(from, `${to}.copy`);
    await commitFile(`${to}.copy`, to);
  }
}

const noLinks = (error: unknown): boolean => ['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP'].includes(errorCode(error) ?? '');
