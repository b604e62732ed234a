/** The bytes of a file as they come, decompressed where its name says so, in portions of bounded size. */
import { createReadStream } from 'node:fs';
import { extname } from 'node:path';
import { createGunzip, type BrotliDecompress, type Gunzip } from 'node:zlib';
import { Decompress } from 'fzstd';
import xxhash from 'xxhash-wasm';
import { createFrames } from './zstd-frames.js';

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

type Decompressor = Gunzip | BrotliDecompress;

export const gunzipped = (source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> =>
  decompressed(source, createGunzip({ chunkSize: PORTION }));

/**
 * What is compressed may be followed by zeros, which blocks of a disk are filled up with.
 *
 * @throws Error where anything else follows: what it is nobody would read
 */
export async function* decompressed(source: AsyncGenerator<Buffer>, through: Decompressor): AsyncGenerator<Buffer> {
  /** What it was given and need not have read, and how many bytes before that. */
  let [given, before]: [Buffer[], number] = [[], 0];
  let goOn = () => {};
  for (const event of ['drain', 'end', 'close']) through.on(event, () => goOn());
  const feeding = (async () => {
    for (let next = await source.next(); !next.done; next = await source.next()) {
      given.push(next.value);
      // At the end of its data it takes no more, and does not say so to whoever writes.
      if (through.readableEnded || through.destroyed) return;
      if (through.write(next.value)) continue;
      await new Promise<void>((resolve) => (goOn = resolve));
      if (through.readableEnded || through.destroyed) return;
      [given, before] = [[], before + given.reduce((sum, { length }) => sum + length, 0)];
    }
    through.end();
  })().catch((error: unknown) => void through.destroy(error as Error));
  try {
    for await (const chunk of through) yield chunk as Buffer;
    await feeding;
    requireZeros(Buffer.concat(given).subarray(through.bytesWritten - before));
    for await (const chunk of source) requireZeros(chunk);
  } finally {
    through.destroy();
    await source.return(undefined);
  }
}

function requireZeros(rest: Buffer): void {
  if (rest.some((byte) => byte !== 0))
    throw new Error('after the end of the compressed data there is something else: the file is damaged');
}

/** What `zstd` asks for up to `--ultra -20`; with more a process would take more than it may. */
const MOST_WINDOW = 32 * 2 ** 20;

/** Compressed bytes that are decoded at once: a thousand times as many may come of them. */
const FED = 64 * 1024;

export async function* unzstandard(source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const { create64 } = await xxhash();
  let ready: Buffer[] = [];
  const open = () => {
    const hash = create64();
    let bytes = 0;
    const decoder = new Decompress((chunk) => {
      if (!chunk.length) return;
      hash.update(chunk);
      bytes += chunk.length;
      // The decoder goes on using its window: a view of it would change under the reader.
      ready.push(Buffer.from(chunk));
    });
    return { decoder, hash, bytes: () => bytes };
  };
  const frames = createFrames(MOST_WINDOW);
  let frame = open();
  for await (const chunk of source)
    for (const { bytes, isLast, checksum, size } of frames.take(chunk)) {
      for (let at = 0; at < bytes.length; at += FED) {
        const end = Math.min(at + FED, bytes.length);
        frame.decoder.push(bytes.subarray(at, end), isLast && end === bytes.length);
        yield* ready;
        ready = [];
      }
      if (!isLast) continue;
      // RFC 8878, section 3.1.1: the four lower bytes of it.
      if (checksum !== undefined && Number(frame.hash.digest() & 0xffffffffn) !== checksum)
        throw new Error('what is in a Zstandard frame is not that of its checksum: the file is damaged');
      if (size !== undefined && BigInt(frame.bytes()) !== size)
        throw new Error(
          `a Zstandard frame that says it holds ${size} bytes holds ${frame.bytes()}: the file is damaged`,
        );
      frame = open();
    }
  frames.end();
}
