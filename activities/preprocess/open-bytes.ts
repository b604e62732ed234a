/** The bytes of a file as they come, decompressed where its name says so, in portions of bounded size. */
import { createReadStream } from 'node:fs';
import { extname } from 'node:path';
import type { Transform } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Decompress } from 'fzstd';
import { windowCheck } from './zstd-window.js';

export const PORTION = 2 ** 20;

const COMPRESSED = ['.gz', '.zst'];

/** Name without what only says how it is compressed. */
export const plainName = (path: string): string => (isCompressed(path) ? path.slice(0, -extname(path).length) : path);

/** Such a file can be read from its beginning only. */
export const isCompressed = (path: string): boolean => COMPRESSED.includes(extname(path));

export interface Bytes {
  portions: AsyncIterable<Buffer>;
  /** Bytes of the file that were read so far. */
  read(): number;
}

export function openBytes(path: string, from = 0): Bytes {
  let read = from;
  const source = async function* () {
    for await (const chunk of createReadStream(path, { start: from, highWaterMark: PORTION })) {
      read += (chunk as Buffer).length;
      yield chunk as Buffer;
    }
  };
  const portions =
    extname(path) === '.gz' ? gunzipped(source()) : extname(path) === '.zst' ? unzstandard(source()) : source();
  return { portions, read: () => read };
}

export const gunzipped = (source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> =>
  decompressed(source, createGunzip({ chunkSize: PORTION }));

export async function* decompressed(source: AsyncGenerator<Buffer>, through: Transform): AsyncGenerator<Buffer> {
  const feeding = (async () => {
    for await (const chunk of source)
      if (!through.write(chunk)) await new Promise<void>((resolve) => void through.once('drain', resolve));
    through.end();
  })().catch((error: unknown) => void through.destroy(error as Error));
  try {
    for await (const chunk of through) yield chunk as Buffer;
    await feeding;
  } finally {
    through.destroy();
    await source.return(undefined);
  }
}

export async function* unzstandard(source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  let ready: Buffer[] = [];
  const stream = new Decompress((chunk) => {
    // The decoder goes on using its window: a view of it would change under the reader.
    if (chunk.length) ready.push(Buffer.from(chunk));
  });
  const check = windowCheck();
  for await (const chunk of source) {
    check(chunk);
    stream.push(chunk);
    yield* ready;
    ready = [];
  }
  stream.push(new Uint8Array(0), true);
  yield* ready;
}
