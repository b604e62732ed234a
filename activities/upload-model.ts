/** Brings an exported model to where it was asked for; the list of digests last, so that what has it is whole. */
import { copyFile, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { hashFile, isFile, sizeOf, type ManifestFile } from './artifact.js';
import { besides, commitFile, isBesides, noneIfMissing, readIfThere, writeFileAtomic } from './atomic.js';
import { SUMS } from './dress-model.js';
import { failure } from './failures.js';
import { withSpace } from './promised-space.js';
import { openBucket } from './s3-put.js';
import { parseSource } from './source.js';

interface Upload {
  node: string;
  /** Absolute path of the model. */
  dir: string;
  /** `file:///directory` or `s3://bucket/prefix`. */
  to: string;
  signal: AbortSignal;
  tell: (done: unknown) => void;
}

/** What may lie at a place where no model is whole, listed like digests: of the one that comes, and of those before it. */
const UNFINISHED = `${SUMS}.unfinished`;

/** A place for models, and the files there by name. */
interface Target {
  read(name: string): Promise<string | undefined>;
  write(name: string, text: string): Promise<void>;
  remove(name: string): Promise<void>;
  /** Does what brings these there, or refuses it before its first byte where there is no room for them. */
  within(files: ManifestFile[], work: () => Promise<void>): Promise<void>;
  /** Puts a file there, or finds it there, and reads it back. */
  put(file: ManifestFile): Promise<void>;
}

/**
 * Of another model that is there the list goes first, then what this one does not have: a loader that finds more weights
 * than the index names may take those. An upload that is broken off leaves word of what it and the one before had there.
 */
export async function uploadModel({ node, dir, to, signal, tell }: Upload): Promise<void> {
  const target = targetOf(node, dir, to, signal);
  const sums = await readFile(join(dir, SUMS), 'utf8');
  const files = await filesOf(dir, sums, signal);
  await target.within(files, async () => {
    await makeWay(target, sums, files);
    for (const [index, file] of files.entries()) {
      tell({ uploading: file.path, file: index + 1, of: files.length });
      await target.put(file);
    }
    await target.remove(UNFINISHED);
  });
}

async function makeWay(target: Target, sums: string, files: ManifestFile[]): Promise<void> {
  const [there, unfinished] = [await target.read(SUMS), await target.read(UNFINISHED)];
  if (there === sums && unfinished === undefined) return;
  const lines = new Set([unfinished, there, sums].flatMap((list) => list?.split('\n') ?? []).filter(Boolean));
  await target.write(UNFINISHED, `${[...lines].join('\n')}\n`);
  if (there !== sums) await target.remove(SUMS);
  for (const path of new Set(listedIn([...lines].join('\n')).map((file) => file.path)))
    if (path === basename(path) && !files.some((file) => file.path === path)) await target.remove(path);
}

function targetOf(node: string, dir: string, to: string, signal: AbortSignal): Target {
  const place = parseSource(to);
  if (place.kind === 'file')
    return {
      read: async (name) => (await readIfThere(join(place.path, name)))?.toString('utf8'),
      write: (name, text) => writeFileAtomic(join(place.path, name), text),
      remove: async (name) => {
        await removeBesides(join(place.path, name));
        await rm(join(place.path, name), { force: true });
      },
      async within(files, work) {
        await mkdir(place.path, { recursive: true });
        const lacks = async ({ path, size }: ManifestFile) => (await sizeOf(join(place.path, path))) !== size;
        const left = async () => {
          let bytes = 0;
          for (const file of files) if (await lacks(file)) bytes += file.size;
          return bytes;
        };
        const room = { path: place.path, bytes: await left(), left };
        await withSpace(room, { node, name: `export to ${to}` }, work);
      },
      put: (file) => copyProven(node, join(dir, file.path), place.path, file, signal),
    };
  if (place.kind === 's3') {
    const bucket = openBucket(node, place.bucket, place.key ?? '', signal);
    return {
      ...bucket,
      within: (_, work) => work(),
      put: (file) => bucket.putProven(join(dir, file.path), file),
    };
  }
  throw failure('InvalidInput', `export.to ${to}: expected file:/// or s3://`, { nonRetryable: true });
}

const listedIn = (sums: string) =>
  sums
    .split('\n')
    .filter(Boolean)
    .map((line) => ({ sha256: line.slice(0, 64), path: line.slice(66) }));

async function filesOf(dir: string, sums: string, signal: AbortSignal): Promise<ManifestFile[]> {
  const listed = listedIn(sums);
  const all = [...listed, { path: SUMS, sha256: await hashFile(join(dir, SUMS), { signal }) }];
  return Promise.all(all.map(async (file) => ({ ...file, size: (await stat(join(dir, file.path))).size })));
}

async function copyProven(node: string, from: string, to: string, file: ManifestFile, signal: AbortSignal) {
  const place = join(to, file.path);
  await removeBesides(place);
  if (await isFile(place, file, { signal })) return;
  const temporary = besides(place);
  try {
    await copyFile(from, temporary);
    if (!(await isFile(temporary, file, { signal })))
      throw failure('DataCorrupt', `${node}: ${place}: what was written there is not what is read from it`, {
        details: { node, place },
      });
    await commitFile(temporary, place);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** What a copy that was killed has left beside its file: it may be as large as that. */
async function removeBesides(place: string): Promise<void> {
  for (const name of await readdir(dirname(place)).catch(noneIfMissing))
    if (isBesides(place, name)) await rm(join(dirname(place), name), { force: true });
}
