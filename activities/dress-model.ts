/** What makes a directory of weights a model that can be loaded: configuration, tokenizer, and a list of digests. */
import { copyFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isOfModel } from '../workflows/hugging-face.js';
import { hashFile } from './artifact.js';
import { readJson, writeFileAtomic } from './atomic.js';

/** As `sha256sum -c` reads it. */
export const SUMS = 'SHA256SUMS';
const OURS = /^(manifest\.json|export\.json|SHA256SUMS|\..*)$/;

const TORCH: Record<string, string> = { BF16: 'bfloat16', F16: 'float16', F32: 'float32' };

interface Dressing {
  dir: string;
  /** Directory with the tokenizer, and perhaps a configuration. */
  tokenizer: string;
  config: Record<string, unknown>;
  dtypes: string[];
  signal: AbortSignal;
}

/** @returns bytes of the model's files */
export async function dressModel({ dir, tokenizer, config, dtypes, signal }: Dressing): Promise<number> {
  const there = new Set(await readdir(dir));
  for (const name of await readdir(tokenizer))
    if (!there.has(name) && !OURS.test(name)) await copyFile(join(tokenizer, name), join(dir, name));
  const path = join(dir, 'config.json');
  // A tokenizer may have been taken from another model's repository, with that model's configuration beside it.
  const found = await readJson<Record<string, unknown>>(path);
  if (!found || !isOfModel(found, config)) {
    const dtype = dtypes.length === 1 ? TORCH[dtypes[0]!] : undefined;
    await writeFileAtomic(path, `${JSON.stringify({ ...config, ...(dtype && { torch_dtype: dtype }) }, null, 2)}\n`);
  }
  let bytes = 0;
  const lines: string[] = [];
  for (const name of await modelFiles(dir)) {
    bytes += (await stat(join(dir, name))).size;
    lines.push(`${await hashFile(join(dir, name), { signal })}  ${name}\n`);
  }
  await writeFileAtomic(join(dir, SUMS), lines.join(''));
  return bytes;
}

/** Names of the files that are the model, in order; not what we keep beside them. */
export const modelFiles = async (dir: string): Promise<string[]> =>
  (await readdir(dir, { withFileTypes: true }))
    .filter((entry) => entry.isFile() && !OURS.test(entry.name))
    .map(({ name }) => name)
    .sort();
