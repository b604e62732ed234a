/** The buffers of a record batch, which are compressed one by one: long ones are decompressed to a file of their own. */
import { open, rm, type FileHandle } from 'node:fs/promises';
import type { BatchHeader } from './arrow-messages.js';
import { readExactly } from './arrow-batches.js';
import { PORTION, unzstandard } from './open-bytes.js';
import { unlz4Frames } from './unlz4-frames.js';

/** Up to this a buffer is kept in memory. */
export const SHORT = 2 * 2 ** 20;
/** Before each compressed buffer: how long it is decompressed, or that it is as it is. */
const LENGTH = 8;
const AS_IT_IS = -1n;

export interface BodyBuffer {
  length: number;
  read(at: number, length: number): Promise<Buffer>;
  close(): Promise<void>;
}

export interface BodyOptions {
  file: FileHandle;
  /** Where the body of the batch begins. */
  body: number;
  compression: BatchHeader['compression'];
  scratch(name: string): string;
}

const decompressors = [unlz4Frames, unzstandard];

export async function openBuffer(
  region: { offset: number; length: number },
  options: BodyOptions,
): Promise<BodyBuffer> {
  const { file, body, compression, scratch } = options;
  const at = body + region.offset;
  if (!compression || region.length === 0) return partOf(file, at, region.length);
  const length = (await readExactly(file, at, LENGTH)).readBigInt64LE();
  const start = at + LENGTH;
  if (length === AS_IT_IS) return partOf(file, start, region.length - LENGTH);
  const decompress = decompressors[compression.type];
  if (!decompress) throw new Error(`the record batches are compressed in a way that is not known, ${compression.type}`);
  const portions = decompress(portionsOf(file, start, at + region.length));
  return length <= SHORT ? inMemory(portions, Number(length)) : inFile(portions, Number(length), scratch('buffer'));
}

/** For what is read often, and not in order. */
export async function inMemoryIfShort(buffer: BodyBuffer): Promise<BodyBuffer> {
  if (buffer.length > SHORT) return buffer;
  const whole = await buffer.read(0, buffer.length);
  await buffer.close();
  return bufferOf(whole);
}

const partOf = (file: FileHandle, start: number, length: number): BodyBuffer => ({
  length,
  read: (at, count) => readExactly(file, start + at, count),
  close: async () => undefined,
});

async function* portionsOf(file: FileHandle, from: number, to: number): AsyncGenerator<Buffer> {
  for (let at = from; at < to; at += PORTION) yield await readExactly(file, at, Math.min(PORTION, to - at));
}

async function inMemory(portions: AsyncGenerator<Buffer>, length: number): Promise<BodyBuffer> {
  const whole = Buffer.alloc(length);
  await fill(portions, length, (portion, at) => void portion.copy(whole, at));
  return bufferOf(whole);
}

const bufferOf = (whole: Buffer): BodyBuffer => ({
  length: whole.length,
  async read(at, count) {
    if (at < 0 || at + count > whole.length) throw pastEnd();
    return whole.subarray(at, at + count);
  },
  close: async () => undefined,
});

async function inFile(portions: AsyncGenerator<Buffer>, length: number, path: string): Promise<BodyBuffer> {
  const file = await open(path, 'w+');
  try {
    // Nothing is left of it when the process is killed.
    await rm(path);
    await fill(portions, length, async (portion, at) => {
      for (let done = 0; done < portion.length;)
        done += (await file.write(portion, done, portion.length - done, at + done)).bytesWritten;
    });
  } catch (error) {
    await file.close();
    throw error;
  }
  return { ...partOf(file, 0, length), close: () => file.close() };
}

async function fill(
  portions: AsyncGenerator<Buffer>,
  length: number,
  put: (portion: Buffer, at: number) => Promise<void> | void,
): Promise<void> {
  let at = 0;
  for await (const portion of portions) {
    if (at + portion.length > length) throw pastEnd();
    await put(portion, at);
    at += portion.length;
  }
  if (at < length) throw new Error('a compressed buffer of a record batch ends too early');
}

const pastEnd = () => new Error('a buffer of a record batch goes past its end');
