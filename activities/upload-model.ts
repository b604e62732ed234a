/** Brings an exported model to where it was asked for; the list of digests last, so that what has it is whole. */
import { copyFile, mkdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { hashFile, isFile, type ManifestFile } from './artifact.js';
import { besides, commitFile } from './atomic.js';
import { SUMS } from './dress-model.js';
import { failure } from './failures.js';
import { putProven } from './s3-put.js';
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

/** Puts every file there, or finds it there, and reads it back. */
export async function uploadModel({ node, dir, to, signal, tell }: Upload): Promise<void> {
  const target = parseSource(to);
  const files = await filesOf(dir, signal);
  for (const [index, file] of files.entries()) {
    tell({ uploading: file.path, file: index + 1, of: files.length });
    const from = join(dir, file.path);
    if (target.kind === 'file') await copyProven(node, from, target.path, file, signal);
    else if (target.kind === 's3')
      await putProven(node, from, { bucket: target.bucket, prefix: target.key ?? '', file }, signal);
    else throw failure('InvalidInput', `export.to ${to}: expected file:/// or s3://`, { nonRetryable: true });
  }
}

async function filesOf(dir: string, signal: AbortSignal): Promise<ManifestFile[]> {
  const lines = (await readFile(join(dir, SUMS), 'utf8')).trimEnd().split('\n');
  const listed = lines.map((line) => ({ sha256: line.slice(0, 64), path: line.slice(66) }));
  const all = [...listed, { path: SUMS, sha256: await hashFile(join(dir, SUMS), { signal }) }];
  return Promise.all(all.map(async (file) => ({ ...file, size: (await stat(join(dir, file.path))).size })));
}

async function copyProven(node: string, from: string, to: string, file: ManifestFile, signal: AbortSignal) {
  const place = join(to, file.path);
  if (await isFile(place, file, { signal })) return;
  await mkdir(to, { recursive: true });
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
