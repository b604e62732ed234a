/**
 * The dictionary of a parquet column whose page is too large to have in memory: its texts wait in a file, and are read
 * when rows refer to them. pyarrow puts the first 1,024 texts of each row group there, however long they are.
 */
import { readSync } from 'node:fs';
import { open, rm, type FileHandle } from 'node:fs/promises';
import { createGrowing, LONG, type LongText } from './long-text.js';

/** Four bytes before each say how long it is, so more are too many small ones to be a page of texts. */
const MOST = 4 * 2 ** 20;
const COPY = 2 ** 20;
const LENGTH = 4;

export interface BigDictionary {
  /** What hyparquet gives for a text: its place here. */
  readonly places: Int32Array;
  /** A text up to `LONG`, or a longer one in a file of its own. */
  textAt(place: number): Promise<Buffer | LongText>;
  close(): Promise<void>;
}

export interface BigDictionaryOptions {
  /** As in an uncompressed page: a length of four bytes before each text. */
  bytes: AsyncIterable<Buffer>;
  texts: number;
  scratch(name: string): string;
}

export async function openBigDictionary({ bytes, texts, scratch }: BigDictionaryOptions): Promise<BigDictionary> {
  if (texts > MOST) throw new Error(`a dictionary of ${texts} texts is too large: ${MOST} is the most. ${INSTEAD}`);
  const path = scratch('dictionary');
  const file = await open(path, 'w+');
  try {
    // Nothing is left of it when the process is killed.
    await rm(path);
    const ends = await write(file, bytes, texts);
    const startOf = (place: number) => (place === 0 ? 0 : ends[place - 1]!) + LENGTH;
    return {
      places: Int32Array.from({ length: texts }, (_, place) => place),
      textAt: (place) => textOf(file, startOf(place), ends[place]!, scratch),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** What to do about a page that cannot be read in bounded memory. */
export const INSTEAD =
  'Write the file again with smaller pages and compression that is read in parts: in pyarrow, write_table(…, use_dictionary=False, compression="zstd")';

/** @returns where each text ends */
async function write(file: FileHandle, bytes: AsyncIterable<Buffer>, texts: number): Promise<Float64Array> {
  const ends = new Float64Array(texts);
  let [count, before, next] = [0, 0, 0];
  const length = Buffer.alloc(LENGTH);
  for await (const portion of bytes) {
    // `next` is where the next length is; it may lie across portions.
    while (count < texts && next < before + portion.length) {
      const from = Math.max(next, before);
      const to = Math.min(next + LENGTH, before + portion.length);
      portion.copy(length, from - next, from - before, to - before);
      if (to < next + LENGTH) break;
      next += LENGTH + length.readUInt32LE();
      ends[count++] = next;
    }
    for (let at = 0; at < portion.length;) at += (await file.write(portion, at)).bytesWritten;
    before += portion.length;
  }
  if (count < texts || next !== before) throw new Error(`a dictionary of ${texts} texts does not have their length`);
  return ends;
}

async function textOf(
  file: FileHandle,
  start: number,
  end: number,
  scratch: (name: string) => string,
): Promise<Buffer | LongText> {
  if (end - start <= LONG) return readAt(file, Buffer.allocUnsafe(end - start), start);
  const growing = createGrowing(() => scratch('text'));
  const buffer = Buffer.allocUnsafe(COPY);
  try {
    for (let at = start; at < end; at += COPY)
      await growing.append(readAt(file, buffer.subarray(0, Math.min(COPY, end - at)), at));
    return await growing.take();
  } catch (error) {
    await growing.discard();
    throw error;
  }
}

/** At once: it is in the system's memory, and a promise for each of many short texts would take longer. */
function readAt(file: FileHandle, into: Buffer, from: number): Buffer {
  for (let have = 0; have < into.length;) {
    const read = readSync(file.fd, into, have, into.length - have, from + have);
    if (read === 0) throw new Error('a temporary file was cut off while it was read');
    have += read;
  }
  return into;
}
