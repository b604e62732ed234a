/** Parquet, one page of each column at a time. */
import { isUtf8 } from 'node:buffer';
import { open } from 'node:fs/promises';
import {
  asyncBufferFromFile,
  type FileMetaData,
  parquetMetadataAsync,
  parquetSchema,
  type SchemaTree,
} from 'hyparquet';
import { bigPage } from './big-page.js';
import { badRow } from './json-rows.js';
import { pagesOf } from './parquet-pages.js';
import { corrupt, endOfRows, noColumn, rowsOfRange, type Reader, type Row } from './rows.js';

/** Texts given on at once: pages of a well-compressed column may hold millions, and of a dictionary long ones many times. */
const ROWS = 1024;
const BYTES = 2 ** 20;

export const parquetReader: Reader = {
  async *read({ path, columns, range, compat, scratch }) {
    const { metadata, size } = await footerOf(path);
    const schemas = columns.map((column) => textColumn(path, parquetSchema(metadata), column, compat));
    const big = bigPage(columns.length);
    const total = Number(metadata.num_rows);
    const { from, to } = rowsOfRange(total, size, range);
    const file = await open(path, 'r');
    try {
      let start = 0;
      for (const { num_rows, columns: chunks } of metadata.row_groups) {
        const end = start + Number(num_rows);
        const part = { from: Math.max(from, start) - start, to: Math.min(to, end) - start };
        const first = start - from;
        start = end;
        if (part.from >= part.to) continue;
        const sources = schemas.map((schemaPath) => {
          const name = schemaPath.map(({ element }) => element.name).slice(1);
          const chunk = chunks.find(({ meta_data }) => meta_data?.path_in_schema.join('\0') === name.join('\0'));
          if (!chunk?.meta_data) throw corrupt(path, undefined, `a row group has no column ${name.join('.')}`);
          const { meta_data: metadata } = chunk;
          if (metadata.num_values !== num_rows)
            throw corrupt(
              path,
              undefined,
              `a row group of ${num_rows} rows has ${metadata.num_values} of ${name.join('.')}`,
            );
          return pagesOf({ ...{ path, file, scratch, schemaPath, metadata, big, isChecked: !compat }, ...part });
        });
        let next = first + part.from;
        for await (const values of together(sources, part.to - part.from)) {
          for (const rows of portionsOf(values, next))
            yield { rows, bytes: endOfRows(from + rows.at(-1)!.row + 1, total, size) };
          next += values[0]!.length;
        }
      }
    } finally {
      await file.close();
    }
  },

  async rowsBefore(path, from) {
    const { metadata, size } = await footerOf(path);
    return rowsOfRange(Number(metadata.num_rows), size, { from, to: from }).from;
  },
};

const MAGIC = 'PAR1';
/** The length of the metadata and the mark of the end. */
const TAIL = 8;

async function footerOf(path: string): Promise<{ metadata: FileMetaData; size: number }> {
  const file = await asyncBufferFromFile(path);
  const { byteLength: size } = file;
  const tail = Buffer.from(await file.slice(Math.max(0, size - TAIL), size));
  if (tail.length < TAIL || tail.toString('latin1', TAIL - MAGIC.length) !== MAGIC)
    throw corrupt(path, undefined, 'the file is cut off, or no parquet: it does not end as such a file does');
  const metadata = await parquetMetadataAsync(file);
  const inGroups = metadata.row_groups.reduce((sum, { num_rows }) => sum + num_rows, 0n);
  if (inGroups !== metadata.num_rows)
    throw corrupt(path, undefined, `of ${metadata.num_rows} rows its row groups have ${inGroups}: the file is damaged`);
  return { metadata, size };
}

function textColumn(path: string, schema: SchemaTree, column: string, compat: boolean): SchemaTree[] {
  const found = schema.children.find(({ element }) => element.name === column);
  if (!found)
    throw noColumn(
      path,
      column,
      schema.children.map(({ element }) => element.name),
    );
  const { type, converted_type, logical_type } = found.element;
  const isString = converted_type === 'UTF8' || logical_type?.type === 'STRING';
  // Old writers did not say that their bytes are text; Hugging Face datasets does not guess.
  if (
    found.children.length === 0 &&
    type === 'BYTE_ARRAY' &&
    (isString || (!compat && !converted_type && !logical_type))
  )
    return [schema, found];
  const what = found.children.length ? 'nested' : [type, converted_type].filter(Boolean).join(' ');
  throw corrupt(path, undefined, `expected texts in the column ${column}, found ${what}`);
}

function* portionsOf(columns: unknown[][], first: number): Generator<Row[]> {
  const count = columns[0]!.length;
  for (let at = 0; at < count;) {
    const rows: Row[] = [];
    for (let bytes = 0; at < count && rows.length < ROWS && bytes < BYTES; at++) {
      const cells = columns.map((column) => column[at]);
      for (const cell of cells) bytes += cell instanceof Uint8Array ? cell.length : 0;
      rows.push(rowOf(cells, first + at));
    }
    yield rows;
  }
}

function rowOf(cells: unknown[], row: number): Row {
  const values: unknown[] = [];
  for (const cell of cells) {
    if (cell instanceof Uint8Array && !isUtf8(cell)) return badRow(row, 'not UTF-8');
    values.push(cell);
  }
  return { row, values };
}

/** Columns have pages of their own sizes: as many rows at a time as all have. */
async function* together(sources: AsyncGenerator<ArrayLike<unknown>>[], rows: number) {
  const current: { values: ArrayLike<unknown>; at: number }[] = sources.map(() => ({ values: [], at: 0 }));
  try {
    for (let done = 0; done < rows;) {
      for (const [index, source] of sources.entries()) {
        if (current[index]!.at < current[index]!.values.length) continue;
        const next = await source.next();
        if (next.done) throw new Error('the columns of a row group are of different lengths');
        current[index] = { values: next.value, at: 0 };
      }
      const count = Math.min(...current.map(({ values, at }) => values.length - at));
      yield current.map(({ values, at }) => Array.from({ length: count }, (_, i) => values[at + i]));
      for (const column of current) column.at += count;
      done += count;
    }
  } finally {
    for (const source of sources) await source.return(undefined);
  }
}
