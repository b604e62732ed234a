/** Arrow, as a file or as the stream that Hugging Face datasets caches: a few rows at a time, however large a batch is. */
import { isUtf8 } from 'node:buffer';
import { open, type FileHandle } from 'node:fs/promises';
import { readLayout, requireWhole, textColumn, type Batch, type TextColumn } from './arrow-batches.js';
import { createDictionaries, type DictionaryTexts, openNumbers } from './arrow-dictionary.js';
import { type Cell, closeAll, openTexts, textsFrom } from './arrow-texts.js';
import { badRow } from './json-rows.js';
import { corrupt, endOfRows, noColumn, rowsOfRange, type Reader, type Row } from './rows.js';

export const arrowReader: Reader = {
  async *read({ path, columns, range, scratch, compat }) {
    const file = await open(path, 'r');
    const known = createDictionaries(file, scratch);
    try {
      const layout = await readLayout(file, path);
      if (!compat) await requireWhole(file, path, layout);
      const { schema, batches, dictionaries, size } = layout;
      const placesIn = (views: readonly number[]) =>
        columns.map((column) => {
          const place = textColumn(schema, column, views);
          if (!('found' in place)) return place;
          const names = schema.fields.map(({ name }) => name);
          if (!names.includes(column)) throw noColumn(path, column, names);
          throw corrupt(
            path,
            undefined,
            `expected texts in the column ${column}, found ${place.found}: cast it to string or large_string`,
          );
        });
      placesIn([]);
      const total = batches.reduce((sum, { header }) => sum + header.length, 0);
      const { from, to } = rowsOfRange(total, size, range);
      let start = 0;
      for (const [index, batch] of batches.entries()) {
        const end = start + batch.header.length;
        const [first, last] = [Math.max(from, start) - start, Math.min(to, end) - start];
        const places = placesIn(batch.header.variadicBufferCounts);
        requireRows(batch, places);
        if (first < last) {
          const before = dictionaries.filter(({ from }) => from <= index);
          const textsOf = (place: TextColumn) => known.of(place, before);
          for await (const { rows, row } of rowsOfBatch({ file, batch, places, first, last, scratch, textsOf }))
            yield {
              rows: rows.map((cells, i) => rowOf(cells, start + row + i - from)),
              bytes: endOfRows(start + row + rows.length, total, size),
            };
        }
        start = end;
      }
    } finally {
      await known.close();
      await file.close();
    }
  },

  async rowsBefore(path, from) {
    const file = await open(path, 'r');
    try {
      const { batches, size } = await readLayout(file, path);
      const total = batches.reduce((sum, { header }) => sum + header.length, 0);
      return rowsOfRange(total, size, { from, to: from }).from;
    } finally {
      await file.close();
    }
  },
};

function requireRows({ header }: Batch, places: TextColumn[]): void {
  for (const { node } of places)
    if (header.nodes[node]?.length !== header.length)
      throw new Error(
        `a record batch of ${header.length} rows has ${header.nodes[node]?.length ?? 'nothing'} in a column: the file is damaged`,
      );
}

function rowOf(cells: Cell[], row: number): Row {
  if (cells.some((cell) => 'bytes' in cell && !isUtf8(cell.bytes))) return badRow(row, 'not UTF-8');
  const values = cells.map((cell) => ('bytes' in cell ? cell.bytes : 'long' in cell ? cell.long : null));
  return { row, values };
}

interface Part {
  file: FileHandle;
  batch: Batch;
  places: TextColumn[];
  /** Rows of the batch, and where to stop. */
  first: number;
  last: number;
  scratch(name: string): string;
  /** The dictionary of a column. */
  textsOf: (place: TextColumn) => Promise<DictionaryTexts>;
}

/** As many rows at a time as all columns have texts for. */
async function* rowsOfBatch(part: Part): AsyncGenerator<{ rows: Cell[][]; row: number }> {
  const { places, first, last } = part;
  const columns: Column[] = [];
  try {
    for (const place of places) columns.push(await openColumn(part, place));
    for (let row = first; row < last;) {
      const cells = await Promise.all(columns.map(({ from }) => from(row, last)));
      const count = Math.min(...cells.map(({ length }) => length));
      yield { rows: Array.from({ length: count }, (_, i) => cells.map((column) => column[i]!)), row };
      row += count;
    }
  } finally {
    for (const { close } of columns) await close();
  }
}

interface Column {
  /** Texts from one row on, one at least. */
  from(row: number, last: number): Promise<Cell[]>;
  close(): Promise<void>;
}

async function openColumn({ file, batch, scratch, textsOf }: Part, place: TextColumn): Promise<Column> {
  const { header, body } = batch;
  const options = { file, body, compression: header.compression, scratch };
  if (place.dictionary) {
    const texts = await textsOf(place);
    const numbers = await openNumbers(header, place, options);
    return { from: (row, last) => texts.from(numbers, row, last), close: () => closeAll(numbers.buffers) };
  }
  const texts = await openTexts(header, place, options);
  return { from: (row, last) => textsFrom(texts, row, last, scratch), close: () => closeAll(texts.buffers) };
}
