/** Parquet, one row group at a time. */
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, parquetSchema } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { failure } from '../failures.js';
import type { Reader, RowRange } from './rows.js';

export const parquetReader: Reader = {
  async count(path) {
    return Number((await parquetMetadataAsync(await asyncBufferFromFile(path))).num_rows);
  },

  async *read(path, columns, { from, to }: RowRange) {
    const file = await asyncBufferFromFile(path);
    const metadata = await parquetMetadataAsync(file);
    const present = parquetSchema(metadata).children.map(({ element }) => element.name);
    for (const column of columns)
      if (!present.includes(column))
        throw failure('InvalidInput', `${path}: there is no column ${column}, only ${present.join(', ')}`, {
          nonRetryable: true,
        });
    let start = 0;
    for (const { num_rows } of metadata.row_groups) {
      const end = start + Number(num_rows);
      const [rowStart, rowEnd] = [Math.max(from, start), Math.min(to, end)];
      if (rowStart < rowEnd) {
        const rows = await parquetReadObjects({ file, metadata, columns, rowStart, rowEnd, compressors });
        if (rows.length !== rowEnd - rowStart) throw new Error(`rows ${rowStart + 1} to ${rowEnd} are not all there`);
        yield rows.map((row, index) => ({
          row: rowStart + index,
          values: columns.map((column) => row[column] as unknown),
        }));
      }
      start = end;
    }
  },
};
