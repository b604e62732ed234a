/** The reader for a data file, by its extension. */
import { extname } from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import { errorCode } from '../atomic.js';
import { failure, reasonOf } from '../failures.js';
import { isCompressed, plainName } from './open-bytes.js';
import { csvReader } from './read-csv.js';
import { jsonReader } from './read-json.js';
import { textReader } from './read-lines.js';
import { parquetReader } from './read-parquet.js';
import { corrupt, WHOLE, type Reader, type ReadOptions, type RowBatch } from './rows.js';

/** Its library takes longer to load than all the rest. */
const arrowReader: Reader = {
  async *read(options) {
    yield* (await import('./read-arrow.js')).arrowReader.read(options);
  },
  rowsBefore: async (path, from) => (await import('./read-arrow.js')).arrowReader.rowsBefore(path, from),
};

const readers: Record<string, Reader> = {
  '.parquet': parquetReader,
  '.arrow': arrowReader,
  '.jsonl': jsonReader,
  '.json': jsonReader,
  '.csv': csvReader,
  '.txt': textReader,
};
/** These say by themselves how their pages are compressed. */
const NOT_AROUND = ['.parquet', '.arrow'];

export const readerOf = (path: string): Reader => {
  const extension = extname(plainName(path));
  const reader = readers[extension];
  if (reader && !(isCompressed(path) && NOT_AROUND.includes(extension)))
    return isCompressed(path) ? unsplittable(reader) : reader;
  throw failure(
    'InvalidInput',
    `${path}: expected one of ${Object.keys(readers).join(' ')}, texts also with .gz or .zst. Narrow the source, as in …/data/*.parquet`,
    { nonRetryable: true },
  );
};

/** All rows of a compressed file belong to the part with its first byte. */
const unsplittable = (reader: Reader): Reader => ({
  async *read(options) {
    if (options.range.from === 0 && options.range.to > 0) yield* reader.read({ ...options, range: WHOLE });
  },
  rowsBefore: async () => 0,
});

/** Batches of a file; whatever else a reader trips over is the file's fault, unless it could not be opened or read at all. */
export async function* batchesOf(options: ReadOptions): AsyncGenerator<RowBatch> {
  try {
    yield* readerOf(options.path).read(options);
  } catch (error) {
    // Node's own codes (ERR_…, Z_…) are about content, the system's about the disk.
    if (error instanceof ApplicationFailure || /^E(?!RR_)/.test(errorCode(error) ?? '')) throw error;
    throw corrupt(options.path, undefined, reasonOf(error));
  }
}
