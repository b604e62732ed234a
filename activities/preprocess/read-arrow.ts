/** Arrow, as a file or as the stream that Hugging Face datasets caches: a few rows at a time, however large a batch is. */
import { isUtf8 } from 'node:buffer';
import { open, type FileHandle } from 'node:fs/promises';
import { type BodyBuffer, openBuffer } from './arrow-buffers.js';
import { readLayout, textColumn, type Batch, type TextColumn } from './arrow-batches.js';
import { badRow } from './json-rows.js';
import type { LongText } from './long-text.js';
import { createGrowing, LONG } from './long-text.js';
import { PORTION } from './open-bytes.js';
import { corrupt, endOfRows, noColumn, rowsOfRange, type Reader, type Row } from './rows.js';

const ROWS = 1024;

export const arrowReader: Reader = {
  async *read({ path, columns, range, scratch }) {
    const file = await open(path, 'r');
    try {
      const { schema, batches, size } = await readLayout(file, path);
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
      for (const batch of batches) {
        const end = start + batch.header.length;
        const [first, last] = [Math.max(from, start) - start, Math.min(to, end) - start];
        if (first < last) {
          const places = placesIn(batch.header.variadicBufferCounts);
          for await (const { rows, row } of rowsOfBatch({ file, batch, places, first, last, scratch }))
            yield {
              rows: rows.map((cells, i) => rowOf(cells, start + row + i - from)),
              bytes: endOfRows(start + row + rows.length, total, size),
            };
        }
        start = end;
      }
    } finally {
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

type Cell = { bytes: Buffer } | { long: LongText } | { none: true };

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
}

/** As many rows at a time as all columns have texts for. */
async function* rowsOfBatch(part: Part): AsyncGenerator<{ rows: Cell[][]; row: number }> {
  const { places, first, last, scratch } = part;
  const columns: Texts[] = [];
  try {
    for (const place of places) columns.push(await openTexts(part, place));
    for (let row = first; row < last;) {
      const cells = await Promise.all(columns.map((texts) => textsFrom(texts, row, last, scratch)));
      const count = Math.min(...cells.map(({ length }) => length));
      yield { rows: Array.from({ length: count }, (_, i) => cells.map((column) => column[i]!)), row };
      row += count;
    }
  } finally {
    for (const { buffers } of columns) for (const buffer of buffers) await buffer.close();
  }
}

/** A column of a batch: which are there, where they end, the bytes. */
interface Texts {
  buffers: [BodyBuffer, BodyBuffer, BodyBuffer];
  hasNulls: boolean;
  offsetSize: 4 | 8;
}

async function openTexts({ file, batch, scratch }: Part, { node, buffer, offsetSize }: TextColumn): Promise<Texts> {
  const { header, body } = batch;
  const opened: BodyBuffer[] = [];
  try {
    for (const region of header.buffers.slice(buffer, buffer + 3))
      opened.push(await openBuffer(region, { file, body, compression: header.compression, scratch }));
  } catch (error) {
    for (const buffer of opened) await buffer.close();
    throw error;
  }
  const buffers = opened as Texts['buffers'];
  return { buffers, hasNulls: (header.nodes[node]?.nullCount ?? 0) > 0 && buffers[0].length > 0, offsetSize };
}

/** Texts from one row on: as many as are a megabyte together, one at least. */
async function textsFrom(
  { buffers: [present, ends, data], hasNulls, offsetSize }: Texts,
  row: number,
  last: number,
  scratch: (name: string) => string,
): Promise<Cell[]> {
  const count = Math.min(ROWS, last - row);
  const firstByte = Math.floor(row / 8);
  const bits = hasNulls ? await present.read(firstByte, Math.ceil((row + count) / 8) - firstByte) : undefined;
  const raw = await ends.read(row * offsetSize, (count + 1) * offsetSize);
  const end = (i: number) => (offsetSize === 4 ? raw.readInt32LE(4 * i) : Number(raw.readBigInt64LE(8 * i)));
  const first = end(0);
  let taken = 1;
  while (taken < count && end(taken + 1) - first <= PORTION) taken += 1;
  if (first < 0 || end(taken) < first || end(taken) > data.length)
    throw new Error('texts of a record batch end outside of it');
  const isNull = (i: number) => bits && !((bits[Math.floor((row + i) / 8) - firstByte]! >> ((row + i) % 8)) & 1);
  if (end(taken) - first > LONG)
    return [isNull(0) ? { none: true } : { long: await copyLong(data, first, end(1) - first, scratch) }];
  const bytes = await data.read(first, end(taken) - first);
  return Array.from({ length: taken }, (_, i): Cell =>
    isNull(i) ? { none: true } : { bytes: bytes.subarray(end(i) - first, end(i + 1) - first) },
  );
}

async function copyLong(
  data: BodyBuffer,
  at: number,
  length: number,
  scratch: (name: string) => string,
): Promise<LongText> {
  const growing = createGrowing(() => scratch('text'));
  for (let done = 0; done < length; done += PORTION)
    await growing.append(await data.read(at + done, Math.min(PORTION, length - done)));
  return (await growing.take()) as LongText;
}
