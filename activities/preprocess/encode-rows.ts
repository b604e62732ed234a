/** The native engine: rows of data files in, one `.bin/.idx` pair for each text key out. Knows nothing of activities. */
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { failure } from '../failures.js';
import { noCounts, type Counts } from './counts.js';
import { createColumnEncoder, type Column, type ColumnOptions } from './encode-column.js';
import { whyUnencodable } from './encode-long.js';
import { createTextLook, type Figures } from './figures.js';
import { LongText } from './long-text.js';
import { plainName } from './open-bytes.js';
import { openPair, removeAll, removePairs, type Pair } from './pair-writer.js';
import { batchesOf, readerOf } from './read-rows.js';
import { isEmptyText, isText, rangesOfSlice, type Row, WHOLE } from './rows.js';
import { looksLikeBoolean, looksLikeDate, looksLikeNumber } from './taken-for.js';
import { createSieve, type Place, type SkipOptions } from './usable-rows.js';

export interface Progress {
  documents: number;
  tokens: number;
  /** Bytes of the files of this slice that were read, and all there are. */
  bytes: number;
  of: number;
  file: string;
}

export interface EncodeRowsInput extends ColumnOptions {
  /** Directory of the files, and the files in order. */
  root: string;
  files: string[];
  slice: { index: number; of: number };
  keys: string[];
  /** Path of a key's pair, without extension. */
  prefixOf(key: string): string;
  /** Same bytes as MindSpeed-LLM wherever it finishes, a refusal wherever it does not. */
  compat?: boolean;
  skip?: SkipOptions | undefined;
  signal?: AbortSignal;
  onProgress?(done: Progress): void;
  /** Called when all is read and encoded, before any pair gets its name; may throw. */
  check?(counts: Counts): void | Promise<void>;
}

export interface Encoded {
  pairs: Map<string, Pair>;
  counts: Counts;
  figures: Figures;
}

/** What is encoded at once: enough for all cores, little enough that ids and offsets stay small. */
const BATCH_CHARACTERS = 256 * 1024;
const BATCH_ROWS = 512;

export async function encodeRows(input: EncodeRowsInput): Promise<Encoded> {
  const { keys, appendEod, encoder, compat = false } = input;
  if (appendEod && encoder.eod === undefined)
    throw failure('InvalidInput', 'dataset.appendEod: the tokenizer has no end-of-sequence token (eos_token)', {
      nonRetryable: true,
    });
  const columns = new Map<string, Column>();
  const sieve = createSieve(keys, {
    skip: input.skip,
    lists: compat && !appendEod,
    unencodable: (text) => whyUnencodable(encoder, text),
  });
  const counts = noCounts(keys);
  const encodeColumn = createColumnEncoder(input);
  const total = { documents: 0, tokens: 0 };
  let lastFile: Figures['lastFile'];
  try {
    for (const key of keys) {
      const [writer, look] = [await openPair(input.prefixOf(key)), createTextLook(input)];
      columns.set(key, { writer, look, counts: counts.keys[key]! });
    }
    for await (const { place, rows, bytes, of, numbers } of portionsOf(input)) {
      input.signal?.throwIfAborted();
      const good = await sieve.usable(rows, place);
      look(good, place, keys, counts);
      for (const [column, key] of keys.entries()) {
        const made = await encodeColumn(good, column, place, columns.get(key)!);
        total.documents += column === 0 ? made.documents : 0;
        total.tokens += made.tokens;
      }
      counts.rows += rows.length;
      lastFile = { file: place.file, rows: numbers };
      input.onProgress?.({ ...total, bytes, of, file: place.file });
    }
    counts.skipped = sieve.skipped();
    await input.check?.(counts);
    await sieve.finish();
    const pairs = new Map<string, Pair>();
    for (const [key, { writer }] of columns) pairs.set(key, await writer.finish());
    const found = Object.fromEntries([...columns].map(([key, { look }]) => [key, look.figures()]));
    return { pairs, counts, figures: { keys: found, ...(lastFile && { lastFile }) } };
  } catch (error) {
    await sieve.close();
    for (const { writer } of columns.values()) await writer.discard();
    await removePairs(keys.map((key) => input.prefixOf(key)));
    await removeScratch(input.prefixOf(keys[0]!));
    throw error;
  }
}

/** Takes note of what rows say about the whole dataset. */
function look(rows: Row[], { path }: Place, keys: string[], counts: Counts): void {
  const name = plainName(path);
  const only = (left: string[], format: RegExp, looksLike: (value: unknown) => boolean) =>
    format.test(name) ? left.filter((key) => rows.every(({ values }) => looksLike(values[keys.indexOf(key)]))) : [];
  counts.onlyDates = only(counts.onlyDates, /\.jsonl?$/, looksLikeDate);
  counts.onlyNumbers = only(counts.onlyNumbers, /\.csv$/, looksLikeNumber);
  counts.onlyBooleans = only(counts.onlyBooleans, /\.csv$/, looksLikeBoolean);
  if (keys.length > 1)
    counts.misaligned += rows.filter(({ values }) => new Set(values.map(isEmptyText)).size > 1).length;
}

/** Rows in order, in portions of a size that does not depend on how a format stores them. */
async function* portionsOf({ root, files, slice, keys, prefixOf, compat = false }: EncodeRowsInput) {
  const paths = files.map((file) => join(root, file));
  const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
  const ranges = rangesOfSlice(sizes, slice);
  const lengths = ranges.map(({ from, to }, index) => Math.max(0, Math.min(to, sizes[index]!) - from));
  const of = lengths.reduce((sum, length) => sum + length, 0);
  const scratch = scratchBeside(prefixOf(keys[0]!));
  let before = 0;
  for (const [index, file] of files.entries()) {
    const [path, range, length] = [paths[index]!, ranges[index]!, lengths[index]!];
    let known: Promise<number> | undefined;
    const rowsBefore = () =>
      (known ??= range.from === 0 ? Promise.resolve(0) : readerOf(path).rowsBefore(path, range.from));
    const place: Place = { file, path, rowsBefore };
    // A file without a byte is in no slice's range, and may be one that was cut off, which its reader knows.
    const isEmpty = sizes[index] === 0;
    if (isEmpty ? slice.index > 0 : range.from >= range.to) continue;
    const part = isEmpty ? WHOLE : range;
    for await (const batch of batchesOf({ path, columns: keys, range: part, scratch, compat })) {
      const bytes = before + Math.min(length, Math.max(0, batch.bytes - range.from));
      const { numbers } = batch;
      for (const rows of portions(batch.rows))
        yield { place, rows, bytes, of, numbers: numbers ?? rows.at(-1)!.row + 1 };
      // Blank lines are no rows, but have numbers.
      if (batch.rows.length === 0 && numbers !== undefined) yield { place, rows: [], bytes, of, numbers };
    }
    before += length;
  }
}

/** Paths of temporary files; one that a killed process leaves is taken by the next. */
function scratchBeside(prefix: string): (name: string) => string {
  let count = 0;
  return (name) => join(dirname(prefix), `.${basename(prefix)}.${name}-${count++}.tmp`);
}

/** Texts of rows that were read, and are not encoded after all. */
async function removeScratch(prefix: string): Promise<void> {
  const [dir, start] = [dirname(prefix), `.${basename(prefix)}.`];
  const names = (await readdir(dir)).filter(
    (name) => name.startsWith(start) && /^[a-z]+-\d+\.tmp$/.test(name.slice(start.length)),
  );
  await removeAll(names.map((name) => join(dir, name)));
}

function* portions(rows: Row[]): Generator<Row[]> {
  let start = 0;
  let characters = 0;
  for (const [index, { values }] of rows.entries()) {
    characters += values.reduce((sum: number, value) => sum + sizeOfValue(value), 0);
    if (characters < BATCH_CHARACTERS && index + 1 - start < BATCH_ROWS) continue;
    yield rows.slice(start, index + 1);
    [start, characters] = [index + 1, 0];
  }
  if (start < rows.length) yield rows.slice(start);
}

const sizeOfValue = (value: unknown): number =>
  isText(value) ? value.length : value instanceof LongText ? BATCH_CHARACTERS : 0;
