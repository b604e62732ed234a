/** A part of a dataset as plain data, so that it can be encoded in any process: here, or by run-elsewhere.ts in another. */
import type { Counts } from './counts.js';
import { loadEncoder, type Encoder } from './encode.js';
import { encodeChecked } from './encode-checked.js';
import type { Progress } from './encode-rows.js';
import type { Pair } from './pair-writer.js';
import type { SkipOptions } from './usable-rows.js';
import type { Figures } from './figures.js';
import { loadPieces } from './character-pieces.js';
import { specialIds, vocabularySize } from './tokenizer-facts.js';

export interface EncodeJob {
  root: string;
  files: string[];
  slice: { index: number; of: number };
  keys: string[];
  /** Of each key, the path of its pair without extension. */
  prefixes: Record<string, string>;
  /** Directory of the tokenizer. */
  tokenizer: string;
  /** A folder to keep the encoder's tables in. */
  tablesIn?: string | undefined;
  appendEod: boolean;
  /** No id may reach it; any may where it is absent. */
  vocabSize?: number | undefined;
  compat: boolean;
  skip?: SkipOptions | undefined;
  seqLength?: number | undefined;
  padToMultipleOf?: number | undefined;
}

export interface JobResult {
  pairs: Record<string, Pair>;
  counts: Counts;
  figures: Figures;
  warnings: string[];
  /** Largest resident size of the process that did it. */
  peakRssBytes: number;
}

export interface JobOptions {
  onProgress?(done: Progress): void;
  signal?: AbortSignal;
  check?(counts: Counts): void;
  load?(dir: string): Promise<Encoder>;
}

export async function encodeJob(job: EncodeJob, options: JobOptions = {}): Promise<JobResult> {
  const { tokenizer, padToMultipleOf = 1, prefixes, tablesIn, vocabSize = Infinity, ...rows } = job;
  const { load, ...more } = options;
  const { pairs, counts, figures, warnings } = await encodeChecked({
    ...rows,
    ...more,
    encoder: await (load ? load(tokenizer) : loadEncoder(tokenizer, { tablesIn })),
    vocabSize,
    pad: padToMultipleOf > 1 ? { multiple: padToMultipleOf, id: await vocabularySize(tokenizer) } : undefined,
    special: await specialIds(tokenizer),
    pieces: await loadPieces(tokenizer, tablesIn),
    prefixOf: (key) => prefixes[key]!,
  });
  return { pairs: Object.fromEntries(pairs), counts, figures, warnings, peakRssBytes: peakRss() };
}

export const peakRss = (): number => process.resourceUsage().maxRSS * 1024;
