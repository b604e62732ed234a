/** What lies beside the pairs of a shard or a dataset and says how they were made and what is in them. */
import { basename, join } from 'node:path';
import { confined } from '../artifact.js';
import { readJson } from '../atomic.js';
import { failure } from '../failures.js';
import type { Counts } from './counts.js';
import type { KeyFigures } from '../../workflows/dataset-figures.js';
import type { Figures } from './figures.js';
import type { Pair } from './pair-writer.js';
import type { Fields } from './same-columns.js';

export interface Summary {
  /** Stands for everything that determines the bytes; absent in a merged dataset, whose directory's name does. */
  made?: string;
  keys: Record<string, { documents: number; tokens: number }>;
  counts: Counts;
  /** Of a shard, what the figures of the dataset are made of. */
  parts?: Figures;
  /** Of a shard with `compat`, which fields its files of JSON lines have. */
  fields?: Fields;
  /** Of a dataset, what its texts are like; absent where MindSpeed-LLM's own program made it. */
  figures?: Record<string, KeyFigures>;
  /** What a person should know of how it was made: the slow tokenizer, and why. */
  warnings?: string[];
}

export const SUMMARY = 'preprocess.json';
/** Rows that were left out, one JSON object a line: file, row, problem. Absent where there are none. */
export const SKIPPED = 'skipped.jsonl';

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

export const summaryOf = (pairs: Record<string, Pair>): Summary['keys'] =>
  Object.fromEntries(Object.entries(pairs).map(([key, { documents, tokens }]) => [key, { documents, tokens }]));

export const knownDigests = (pairs: Record<string, Pair>): Map<string, string> =>
  new Map(Object.values(pairs).flatMap(({ files }) => files.map(({ path, sha256 }) => [basename(path), sha256])));

/** Of many shards' warnings, as many as a person reads. */
export function warningsOf(parts: readonly { warnings?: string[] }[]): string[] {
  const all = [...new Set(parts.flatMap(({ warnings = [] }) => warnings))];
  return all.length <= MOST_WARNINGS ? all : [...all.slice(0, MOST_WARNINGS), `and ${all.length - MOST_WARNINGS} more`];
}
const MOST_WARNINGS = 3;
