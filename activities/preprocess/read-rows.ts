/** Rows of data files, whatever their format: numbered from 0, only the columns asked for, only the range asked for. */
import { extname } from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import { errorCode } from '../atomic.js';
import { failure, reasonOf } from '../failures.js';
import { csvReader } from './read-csv.js';
import { jsonReader } from './read-json.js';
import { jsonLinesReader, textReader } from './read-lines.js';
import { parquetReader } from './read-parquet.js';

export interface Row {
  row: number;
  /** One for each column asked for; `undefined` where the row has none of that name. */
  values: unknown[];
}

export interface RowRange {
  from: number;
  /** Exclusive; Infinity for all. */
  to: number;
}

export interface Reader {
  count(path: string): Promise<number>;
  read(path: string, columns: string[], range: RowRange): AsyncGenerator<Row[]>;
}

const readers: Record<string, Reader> = {
  '.parquet': parquetReader,
  '.jsonl': jsonLinesReader,
  '.json': jsonReader,
  '.txt': textReader,
  '.csv': csvReader,
};

export const readerOf = (path: string): Reader => {
  const reader = readers[extname(path)];
  if (reader) return reader;
  throw failure(
    'InvalidInput',
    `${path}: expected one of ${Object.keys(readers).join(' ')}. Narrow dataset.source, as in …/data/*.parquet`,
    { nonRetryable: true },
  );
};

/** The rows of many files that one of several equal shares takes, all rows numbered through. */
export function rangesOfSlice(counts: number[], { index, of }: { index: number; of: number }): RowRange[] {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const [first, last] = [index, index + 1].map((k) => Math.floor((k * total) / of)) as [number, number];
  let start = 0;
  return counts.map((count) => {
    const range = { from: Math.max(0, first - start), to: Math.max(0, Math.min(count, last - start)) };
    start += count;
    return range;
  });
}

/** A reader that trips over a file is the file's fault, unless it could not be opened or read at all. */
export async function readingFile<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof ApplicationFailure || errorCode(error)?.startsWith('E')) throw error;
    throw corrupt(path, undefined, reasonOf(error));
  }
}

/** @param row counted from 0; a person counts from 1 */
export const corrupt = (path: string, row: number | undefined, what: string) =>
  failure('DataCorrupt', `${path}${row === undefined ? '' : `, row ${row + 1}`}: ${what}`, {
    nonRetryable: true,
    details: { path, ...(row !== undefined && { row: row + 1 }) },
  });
