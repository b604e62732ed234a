/** One call of `npm run preprocess`, from its words to its files. */
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isFullDisk } from '../atomic.js';
import { parseFlags } from './command-flags.js';
import { readRequest } from './command.js';
import type { KeyFigures } from '../../workflows/dataset-figures.js';
import type { Counts } from './counts.js';
import type { Encoder } from './encode.js';
import type { Progress } from './encode-rows.js';
import { toldOf } from './figures.js';
import { findInput } from './input-files.js';
import { mergeGroups } from './merge-group.js';
import type { Pair } from './pair-writer.js';
import { inputBytes, preprocessFiles, type FilesOptions } from './preprocess-files.js';

export interface CommandOptions {
  elsewhere: FilesOptions['elsewhere'];
  load?: (dir: string) => Promise<Encoder>;
  tablesIn?: string;
  say(line: string): void;
}

export interface CommandResult {
  documents: number;
  sequences: number;
  tokens: number;
  /** Of the input files; absent for a merge. */
  bytes?: number;
  counts?: Counts;
  figures?: Record<string, KeyFigures>;
  peakRssBytes?: number;
  /** Files of the input directory that were not read. */
  left?: string[];
  notes: string[];
  warnings?: string[];
  outputs: { key: string; path: string; bytes: number; sha256: string }[];
}

export async function runCommand(words: string[], options: CommandOptions): Promise<CommandResult> {
  const { say, elsewhere, load, tablesIn } = options;
  const request = await readRequest(parseFlags(words));
  const { input, prefix, mergeKeys, workers, notes, logInterval, ...how } = request;
  notes.forEach(say);
  const naming = <T>(work: Promise<T>) =>
    work.catch((error: unknown) => {
      throw isFullDisk(error) ? fullDisk(prefix, !mergeKeys && workers > 1, error) : error;
    });
  if (mergeKeys) return { ...(await resultOf(await naming(mergeGroups(input, prefix, mergeKeys)))), notes };
  const found = await findInput(input, true);
  for (const file of found.left) say(`${input}: ${file} is not read, as in the real program`);
  const { pairs, counts, figures, warnings, peakRssBytes } = await naming(
    preprocessFiles({
      ...how,
      prefix,
      input: found,
      processes: workers,
      elsewhere,
      tablesIn,
      ...(load && { load }),
      onProgress: progressLine(logInterval, say),
    }),
  );
  for (const warning of warnings) say(`preprocess: warning: ${warning}`);
  const bytes = await inputBytes(found);
  const told = toldOf(figures, pairs);
  return { ...(await resultOf(pairs)), bytes, counts, figures: told, peakRssBytes, left: found.left, notes, warnings };
}

/** The system says of a write that failed neither where nor what for. */
function fullDisk(prefix: string, isInParts: boolean, cause: unknown): Error {
  const twice = isInParts ? ', and twice that until its parts are merged' : '';
  const room = `A pair takes 4 bytes a token and 24 a document${twice}`;
  return new Error(
    `${dirname(prefix)}: the disk is full, of bytes or of files (df, df -i). ${room}. Nothing is left of this one`,
    { cause },
  );
}

async function resultOf(pairs: Record<string, Pair>) {
  const all = Object.values(pairs);
  const outputs = Object.entries(pairs).flatMap(([key, { files }]) =>
    files.map(async ({ path, sha256 }) => ({ key, path, bytes: (await stat(path)).size, sha256 })),
  );
  return {
    documents: all[0]?.documents ?? 0,
    sequences: all.reduce((sum, pair) => sum + pair.sequences, 0),
    tokens: all.reduce((sum, pair) => sum + pair.tokens, 0),
    outputs: await Promise.all(outputs),
  };
}

/** Every so many documents as asked for, but no more than a person reads. */
function progressLine(interval: number, say: (line: string) => void) {
  const started = Date.now();
  let [documents, at] = [0, started];
  return (parts: Progress[]) => {
    const total = (what: 'documents' | 'bytes') => parts.reduce((sum, part) => sum + part[what], 0);
    if (total('documents') - documents < interval || Date.now() - at < 2000) return;
    [documents, at] = [total('documents'), Date.now()];
    const seconds = (at - started) / 1000;
    const speed = `${Math.round(documents / seconds)} a second, ${(total('bytes') / 1e6 / seconds).toFixed(1)} MB/s`;
    say(`${documents} documents (${speed})`);
  };
}
