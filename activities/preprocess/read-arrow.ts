/** Arrow, as a file or as the stream that Hugging Face datasets caches: a few rows at a time, however large a batch is. */
import { isUtf8 } from 'node:buffer';
import { open, type FileHandle } from 'node:fs/promises';
import { readExactly, readLayout, textColumn, type Batch, type TextColumn } from './arrow-batches.js';
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
        if (batch.header.compression)
          throw corrupt(
            path,
            undefined,
            `the record batches of the column ${columns[0]} are compressed, which is not read: write parquet, or without compression`,
          );
        const places = placesIn(batch.header.variadicBufferCounts);
        const end = start + batch.header.length;
        const last = Math.min(to, end) - start;
        for (let row = Math.max(from, start) - start; row < last;) {
          const parts = await Promise.all(places.map((place) => textsFrom(file, batch, place, row, last, scratch)));
          const count = Math.min(...parts.map(({ length }) => length));
          yield {
            rows: Array.from({ length: count }, (_, i) =>
              rowOf(
                parts.map((part) => part[i]!),
                start + row + i - from,
              ),
            ),
            bytes: endOfRows(start + row + count, total, size),
          };
          row += count;
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

/** Texts from one row of a batch on: as many as are a megabyte together, one at least. */
async function textsFrom(
  file: FileHandle,
  { header, body }: Batch,
  { node, buffer, offsetSize }: TextColumn,
  row: number,
  last: number,
  scratch: (name: string) => string,
): Promise<Cell[]> {
  const count = Math.min(ROWS, last - row);
  const [present, ends, data] = [0, 1, 2].map((i) => header.buffers[buffer + i]!) as [Region, Region, Region];
  const hasNulls = (header.nodes[node]?.nullCount ?? 0) > 0 && present.length > 0;
  const firstByte = Math.floor(row / 8);
  const bits = hasNulls
    ? await readExactly(file, body + present.offset + firstByte, Math.ceil((row + count) / 8) - firstByte)
    : undefined;
  const raw = await readExactly(file, body + ends.offset + row * offsetSize, (count + 1) * offsetSize);
  const end = (i: number) => (offsetSize === 4 ? raw.readInt32LE(4 * i) : Number(raw.readBigInt64LE(8 * i)));
  const first = end(0);
  let taken = 1;
  while (taken < count && end(taken + 1) - first <= PORTION) taken += 1;
  if (first < 0 || end(taken) < first || end(taken) > data.length)
    throw new Error('texts of a record batch end outside of it');
  const at = body + data.offset;
  const isNull = (i: number) => bits && !((bits[Math.floor((row + i) / 8) - firstByte]! >> ((row + i) % 8)) & 1);
  if (end(taken) - first > LONG)
    return [isNull(0) ? { none: true } : { long: await copyLong(file, at + first, end(1) - first, scratch) }];
  const bytes = await readExactly(file, at + first, end(taken) - first);
  return Array.from({ length: taken }, (_, i): Cell =>
    isNull(i) ? { none: true } : { bytes: bytes.subarray(end(i) - first, end(i + 1) - first) },
  );
}

interface Region {
  offset: number;
  length: number;
}

async function copyLong(
  file: FileHandle,
  at: number,
  length: number,
  scratch: (name: string) => string,
): Promise<LongText> {
  const growing = createGrowing(() => scratch('text'));
  for (let done = 0; done < length; done += PORTION)
    await growing.append(await readExactly(file, at + done, Math.min(PORTION, length - done)));
  return (await growing.take()) as LongText;
}
