/** The native engine: rows of data files in, one `.bin/.idx` pair for each text key out. Knows nothing of activities. */
import { join } from 'node:path';
import { failure } from '../failures.js';
import type { Encoder } from './encode.js';
import { openPair, type Pair, type PairWriter } from './pair-writer.js';
import { readerOf, readingFile } from './read-rows.js';
import { corrupt, rangesOfSlice, type Row } from './rows.js';

export interface EncodeRowsInput {
  /** Directory of the files, and the files in order. */
  root: string;
  files: string[];
  slice: { index: number; of: number };
  keys: string[];
  appendEod: boolean;
  encoder: Encoder;
  vocabSize: number;
  /** Path of a key's pair, without extension. */
  prefixOf(key: string): string;
  signal?: AbortSignal;
  onProgress?(done: { documents: number; tokens: number; file: string }): void;
}

/** What is encoded at once: enough for all cores, little enough that ids and offsets stay small. */
const BATCH_CHARACTERS = 256 * 1024;
const BATCH_ROWS = 512;

export async function encodeRows(input: EncodeRowsInput): Promise<Map<string, Pair>> {
  const { keys, appendEod, encoder } = input;
  if (appendEod && encoder.eod === undefined)
    throw failure('InvalidInput', 'dataset.appendEod: the tokenizer has no end-of-sequence token (eos_token)', {
      nonRetryable: true,
    });
  const writers = new Map<string, PairWriter>();
  try {
    for (const key of keys) writers.set(key, await openPair(input.prefixOf(key)));
    const total = { documents: 0, tokens: 0 };
    for await (const { file, path, rows } of batches(input)) {
      input.signal?.throwIfAborted();
      for (const [column, key] of keys.entries()) {
        const sequences = await encodeColumn(input, path, rows, column);
        await writers.get(key)!.add(sequences);
        total.documents += column === 0 ? sequences.length : 0;
        total.tokens += sequences.reduce((sum, { length }) => sum + length, 0);
      }
      input.onProgress?.({ ...total, file });
    }
    const pairs = new Map<string, Pair>();
    for (const [key, writer] of writers) pairs.set(key, await writer.finish());
    return pairs;
  } catch (error) {
    for (const writer of writers.values()) await writer.discard();
    throw error;
  }
}

/** Rows in order, in portions of a size that does not depend on how a format stores them. */
async function* batches({
  root,
  files,
  slice,
  keys,
}: EncodeRowsInput): AsyncGenerator<{ file: string; path: string; rows: Row[] }> {
  const paths = files.map((file) => join(root, file));
  const counts = slice.of === 1 ? paths.map(() => Infinity) : await Promise.all(paths.map(countRows));
  const ranges = slice.of === 1 ? counts.map((to) => ({ from: 0, to })) : rangesOfSlice(counts, slice);
  for (const [index, file] of files.entries()) {
    const { from, to } = ranges[index]!;
    if (from >= to) continue;
    const path = paths[index]!;
    const parts = readerOf(path).read(path, keys, { from, to });
    try {
      for (;;) {
        const next = await readingFile(path, () => parts.next());
        if (next.done) break;
        for (const rows of portions(next.value)) yield { file, path, rows };
      }
    } finally {
      // Closes the file when whoever takes the rows has had enough.
      await parts.return(undefined);
    }
  }
}

const countRows = (path: string): Promise<number> => readingFile(path, () => readerOf(path).count(path));

function* portions(rows: Row[]): Generator<Row[]> {
  let start = 0;
  let characters = 0;
  for (const [index, { values }] of rows.entries()) {
    characters += values.reduce((sum: number, value) => sum + (typeof value === 'string' ? value.length : 0), 0);
    if (characters < BATCH_CHARACTERS && index + 1 - start < BATCH_ROWS) continue;
    yield rows.slice(start, index + 1);
    [start, characters] = [index + 1, 0];
  }
  if (start < rows.length) yield rows.slice(start);
}

/** Token ids of one column; an empty text makes no sequence at all, as in MindSpeed-LLM. */
async function encodeColumn(
  { keys, encoder, appendEod, vocabSize }: EncodeRowsInput,
  path: string,
  rows: Row[],
  column: number,
): Promise<Int32Array[]> {
  const texts = rows.map((row) => textOf(row, keys[column]!, column, path));
  const filled = rows.filter((_, index) => texts[index] !== '');
  const encoded = await encoder.encode(texts.filter((text) => text !== ''));
  return encoded.map((ids, index) => {
    const sequence = new Int32Array(ids.length + (appendEod ? 1 : 0));
    sequence.set(ids);
    if (appendEod) sequence[ids.length] = encoder.eod!;
    for (const id of sequence)
      if (id >= vocabSize)
        throw failure(
          'InvalidInput',
          `${path}, row ${filled[index]!.row + 1}: token id ${id} does not fit a vocabulary of ${vocabSize}. Use the model's own tokenizer, or a larger model.vocab`,
          { nonRetryable: true },
        );
    return sequence;
  });
}

function textOf({ row, values }: Row, key: string, column: number, path: string): string {
  const value = values[column];
  if (typeof value !== 'string') {
    const found =
      value === undefined || value === null ? 'nothing' : `a ${Array.isArray(value) ? 'list' : typeof value}`;
    throw corrupt(path, row, `expected a text in ${key}, found ${found}`);
  }
  // A half of a surrogate pair is no character; encoders would put U+FFFD in its place and not say so.
  if (/\p{Surrogate}/u.test(value)) throw corrupt(path, row, `the text in ${key} is not valid Unicode`);
  return value;
}
