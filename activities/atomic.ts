/** Writes that a crash at any instruction leaves either undone or done: temporary file, fsync, rename, fsync of the directory. */
import { createHash, randomUUID } from 'node:crypto';
import { link, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** What a crashed write may leave behind; nothing reads such a file, and sealing a directory skips it. */
export const isLeftover = (name: string): boolean => name.startsWith('.') || isPart(name);

/** A file that was on its way here. */
export const isPart = (name: string): boolean => name.endsWith('.part');

/** With more in it, a name is still to be one that file systems take: of 255 bytes. */
const LONG = 150;

/** What stands for a file's own name in the names of what lies beside it. */
export function nameBeside(path: string): string {
  const name = basename(path);
  return Buffer.byteLength(name) <= LONG ? name : createHash('sha256').update(name).digest('hex');
}

export const besides = (path: string): string => join(dirname(path), `.${nameBeside(path)}.${randomUUID()}.tmp`);

/** Whether a name in the directory of this path is one of those. */
export function isBesides(path: string, name: string): boolean {
  const own = nameBeside(path);
  return name.startsWith(`.${own}.`) && /^\.[0-9a-f-]{36}\.tmp$/.test(name.slice(own.length + 1));
}

export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  await writeAside(path, data, (temporary) => rename(temporary, path));
}

/** Creates a file with its content at once, so that of several writers exactly one is told `true` and no reader sees half. */
export async function createFileOnce(path: string, data: string): Promise<boolean> {
  try {
    await writeAside(path, data, async (temporary) => {
      await link(temporary, path);
      await rm(temporary);
    });
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Writes under a name of its own, and lets `publish` give the complete bytes theirs. */
async function writeAside(
  path: string,
  data: string | Uint8Array,
  publish: (temporary: string) => Promise<void>,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = besides(path);
  try {
    const file = await open(temporary, 'wx');
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await publish(temporary);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncPath(dirname(path));
}

/** Gives a file that was written under another name its own, once its bytes are on disk. */
export async function commitFile(temporary: string, path: string): Promise<void> {
  await syncPath(temporary);
  await rename(temporary, path);
  await syncPath(dirname(path));
}

/** Makes the content of a file, or the names in a directory, survive a power cut. */
export async function syncPath(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** `undefined` when there is no such file; throws, with its path, when it is not JSON. */
export async function readJson<T = unknown>(path: string): Promise<T | undefined> {
  const text = await readIfThere(path);
  try {
    return text && (JSON.parse(text.toString('utf8')) as T);
  } catch (error) {
    throw new Error(`${path} is not JSON (${(error as Error).message}): it is damaged`, { cause: error });
  }
}

export const writeJson = (path: string, value: unknown): Promise<void> =>
  writeFileAtomic(path, `${JSON.stringify(value)}\n`);

export async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

export const isMissing = (error: unknown): boolean => ['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '');

/** For a directory that is read: one that is not there holds nothing. */
export function noneIfMissing(error: unknown): [] {
  if (isMissing(error)) return [];
  throw error;
}

/** Of bytes or of files, or what one user may have of them. */
export const isFullDisk = (error: unknown): boolean => ['ENOSPC', 'EDQUOT'].includes(errorCode(error) ?? '');

export const errorCode = (error: unknown): string | undefined => {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
};
