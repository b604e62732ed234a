/** The reader for a data file, by its extension. */
import { extname } from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import { errorCode } from '../atomic.js';
import { failure, reasonOf } from '../failures.js';
import { csvReader } from './read-csv.js';
import { jsonReader } from './read-json.js';
import { jsonLinesReader, textReader } from './read-lines.js';
import { parquetReader } from './read-parquet.js';
import { corrupt, type Reader } from './rows.js';

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

/** A reader that trips over a file is the file's fault, unless it could not be opened or read at all. */
export async function readingFile<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    // Node's own codes (ERR_…) are about content, the system's about the disk.
    if (error instanceof ApplicationFailure || /^E(?!RR_)/.test(errorCode(error) ?? '')) throw error;
    throw corrupt(path, undefined, reasonOf(error));
  }
}
