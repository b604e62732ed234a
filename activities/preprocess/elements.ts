/** Numbers in files, as typed arrays of a bounded size. */
import { createReadStream } from 'node:fs';

/** Whole elements, whatever the stream's own portions. */
export async function* elementsOf(path: string, from: number, to: number): AsyncGenerator<Buffer> {
  if (from >= to) return;
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of createReadStream(path, { start: from, end: to - 1, highWaterMark: 2 ** 20 })) {
    const bytes = rest.length ? Buffer.concat([rest, chunk as Buffer]) : (chunk as Buffer);
    const whole = bytes.length - (bytes.length % 8);
    rest = bytes.subarray(whole);
    if (whole) yield bytes.subarray(0, whole);
  }
  if (rest.length) yield rest;
}

export const asInt32s = (chunk: Buffer): Int32Array => new Int32Array(copyOf(chunk));

export const asInt64s = (chunk: Buffer): BigInt64Array => new BigInt64Array(copyOf(chunk));

export const bytesOf = ({ buffer, byteOffset, byteLength }: Int32Array | BigInt64Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);

/** A typed array must begin at a multiple of its element's size, which a buffer of a pool need not. */
const copyOf = ({ buffer, byteOffset, length }: Buffer): ArrayBuffer =>
  buffer.slice(byteOffset, byteOffset + length) as ArrayBuffer;
