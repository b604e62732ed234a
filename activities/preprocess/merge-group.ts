/** `--merge-group-keys`: all pairs of a directory whose names contain a key, in order of their names, into one. */
import { readdir } from 'node:fs/promises';
import { extname, join, resolve } from 'node:path';
import { bytewise } from '../../workflows/byte-order.js';
import { sizeOf } from '../artifact.js';
import { failure } from '../failures.js';
import { mergeAll } from './merge-pairs.js';
import type { Pair } from './pair-writer.js';

export async function mergeGroups(dir: string, prefix: string, keys: string[]): Promise<Record<string, Pair>> {
  const groups = new Map<string, string[]>();
  for (const key of keys) groups.set(key, await pairsNamed(dir, key));
  const wanted = [...groups].map(([key, prefixes]) => ({ prefixes, to: `${prefix}_${key}` }));
  const inputs = new Set([...groups.values()].flat().map((path) => resolve(path)));
  for (const { to } of wanted)
    if (inputs.has(resolve(to)))
      throw refused(`--output-prefix ${prefix}: ${to} is one of the pairs that are to be merged`);
  const pairs = await mergeAll(wanted);
  return Object.fromEntries([...groups.keys()].map((key, index) => [key, pairs[index]!]));
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
