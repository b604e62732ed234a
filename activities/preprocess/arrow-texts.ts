/** Texts of a column of an Arrow record batch: a few at a time, however large it is. */
import type { BatchHeader } from './arrow-messages.js';
import { type BodyBuffer, type BodyOptions, openBuffer } from './arrow-buffers.js';
import type { LongText } from './long-text.js';
import { createGrowing, LONG } from './long-text.js';
import { PORTION } from './open-bytes.js';

export const ROWS = 1024;

export type Cell = { bytes: Buffer } | { long: LongText } | { none: true };

/** A column of a batch: which are there, where they end, the bytes. */
export interface Texts {
  buffers: [BodyBuffer, BodyBuffer, BodyBuffer];
  hasNulls: boolean;
  offsetSize: 4 | 8;
}

/** Where a column is in a batch. */
export interface Place {
  node: number;
  buffer: number;
}

export async function openTexts(
  header: BatchHeader,
  { node, buffer, offsetSize }: Place & { offsetSize: 4 | 8 },
  options: BodyOptions,
): Promise<Texts> {
  const buffers = (await openBuffers(header.buffers.slice(buffer, buffer + 3), options)) as Texts['buffers'];
  return { buffers, hasNulls: hasNulls(header, node, buffers[0]), offsetSize };
}

export const hasNulls = ({ nodes }: BatchHeader, node: number, present: BodyBuffer): boolean =>
  (nodes[node]?.nullCount ?? 0) > 0 && present.length > 0;

export async function openBuffers(regions: BatchHeader['buffers'], options: BodyOptions): Promise<BodyBuffer[]> {
  const opened: BodyBuffer[] = [];
  try {
    for (const region of regions) opened.push(await openBuffer(region, options));
  } catch (error) {
    await closeAll(opened);
    throw error;
  }
  return opened;
}

export async function closeAll(buffers: BodyBuffer[]): Promise<void> {
  for (const buffer of buffers) await buffer.close();
}

/** Which of some rows have a value, counted from the first of them. */
export async function presence(present: BodyBuffer, row: number, count: number): Promise<(i: number) => boolean> {
  const firstByte = Math.floor(row / 8);
  const bits = await present.read(firstByte, Math.ceil((row + count) / 8) - firstByte);
  return (i) => ((bits[Math.floor((row + i) / 8) - firstByte]! >> ((row + i) % 8)) & 1) === 1;
}

/** Texts from one row on: as many as are a megabyte together, one at least. */
export async function textsFrom(
  { buffers: [present, ends, data], hasNulls, offsetSize }: Texts,
  row: number,
  last: number,
  scratch: (name: string) => string,
): Promise<Cell[]> {
  const count = Math.min(ROWS, last - row);
  const isThere = hasNulls ? await presence(present, row, count) : () => true;
  const raw = await ends.read(row * offsetSize, (count + 1) * offsetSize);
  const end = (i: number) => (offsetSize === 4 ? raw.readInt32LE(4 * i) : Number(raw.readBigInt64LE(8 * i)));
  const first = end(0);
  let taken = 1;
  while (taken < count && end(taken + 1) - first <= PORTION) taken += 1;
  if (first < 0 || end(taken) < first || end(taken) > data.length)
    throw new Error('texts of a record batch end outside of it');
  if (end(taken) - first > LONG)
    return [isThere(0) ? { long: await copyLong(data, first, end(1) - first, scratch) } : { none: true }];
  const bytes = await data.read(first, end(taken) - first);
  return Array.from({ length: taken }, (_, i): Cell =>
    isThere(i) ? { bytes: bytes.subarray(end(i) - first, end(i + 1) - first) } : { none: true },
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
