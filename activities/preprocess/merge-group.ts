/** `--merge-group-keys`: all pairs of a directory whose names contain a key, in order of their names, into one. */
import { readdir } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { bytewise, sizeOf } from '../artifact.js';
import { failure } from '../failures.js';
import { mergePairs } from './merge-pairs.js';
import type { Pair } from './pair-writer.js';

export async function mergeGroups(dir: string, prefix: string, keys: string[]): Promise<Record<string, Pair>> {
  const groups = new Map<string, string[]>();
  for (const key of keys) groups.set(key, await pairsNamed(dir, key));
  const merged: Record<string, Pair> = {};
  for (const [key, prefixes] of groups) merged[key] = await mergePairs(prefixes, `${prefix}_${key}`);
  return merged;
}

async function pairsNamed(dir: string, key: string): Promise<string[]> {
  const names = (await readdir(dir)).filter((name) => !name.startsWith('.') && name.slice(0, -4).includes(key));
  const stems = new Set(
    names.filter((name) => ['.bin', '.idx'].includes(extname(name))).map((name) => name.slice(0, -4)),
  );
  if (stems.size === 0) throw refused(`--merge-group-keys ${key}: no .bin/.idx pair in ${dir} has that in its name`);
  const prefixes = [...stems].sort(bytewise).map((stem) => join(dir, stem));
  for (const prefix of prefixes)
    for (const ending of ['.bin', '.idx'])
      if ((await sizeOf(`${prefix}${ending}`)) === undefined)
        throw refused(`${prefix}${ending}: there is no such file`);
  return prefixes;
}

const refused = (message: string) => failure('InvalidInput', message, { nonRetryable: true });
