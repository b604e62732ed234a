/** What lies beside the pairs of a shard or a dataset and says how they were made and what is in them. */
import { basename, join } from 'node:path';
import { confined } from '../artifact.js';
import { readJson } from '../atomic.js';
import { failure } from '../failures.js';
import type { Counts } from './counts.js';
import type { Pair } from './pair-writer.js';

export interface Summary {
  /** Stands for everything that determines the bytes; absent in a merged dataset, whose directory's name does. */
  made?: string;
  keys: Record<string, { documents: number; tokens: number }>;
  counts: Counts;
}

export const SUMMARY = 'preprocess.json';

/** Megatron's data path is this, below the dataset's directory. */
export function pairName(key: string): string {
  if (!/[/\\\0]/.test(key)) return `prefix_${key}_document`;
  throw failure('InvalidInput', `dataset.keys: ${JSON.stringify(key)} cannot be part of a file name`, {
    nonRetryable: true,
  });
}

/** `undefined` where there is none that can be read, and the directory has to be made again. */
export const readSummary = async (dataDir: string, dir: string): Promise<Summary | undefined> =>
  (await readJson(join(confined(dataDir, dir), SUMMARY)).catch(() => undefined)) as Summary | undefined;

export const summaryOf = (pairs: ReadonlyMap<string, Pair>): Summary['keys'] =>
  Object.fromEntries([...pairs].map(([key, { documents, tokens }]) => [key, { documents, tokens }]));

export const knownDigests = (pairs: ReadonlyMap<string, Pair>): Map<string, string> =>
  new Map([...pairs.values()].flatMap(({ files }) => files.map(({ path, sha256 }) => [basename(path), sha256])));
