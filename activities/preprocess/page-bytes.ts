/** The bytes of a parquet page as they come, decompressed, for pages that are too large to have in memory at once. */
import { createReadStream } from 'node:fs';
import { createBrotliDecompress } from 'node:zlib';
import type { CompressionCodec } from 'hyparquet';
import { filePortions } from './file-portions.js';
import { decompressed, gunzipped, PORTION, unzstandard } from './open-bytes.js';
import { unlz4 } from './unlz4.js';
import { unsnappy } from './unsnappy.js';

/** Bytes of a file from one place to another. */
type Span = [path: string, from: number, to: number];

/** `LZ4` is not there: it is an old name for several formats. */
const decompressors: Partial<Record<CompressionCodec, (...span: Span) => AsyncGenerator<Buffer>>> = {
  UNCOMPRESSED: filePortions,
  SNAPPY: (...span) => unsnappy(filePortions(...span)),
  GZIP: (...span) => gunzipped(portionsToKeep(...span)),
  ZSTD: (...span) => unzstandard(portionsToKeep(...span)),
  BROTLI: (...span) => decompressed(portionsToKeep(...span), createBrotliDecompress({ chunkSize: PORTION })),
  LZ4_RAW: (...span) => unlz4(filePortions(...span)),
};

export const isStreamed = (codec: CompressionCodec): boolean => codec in decompressors;

/** Decompressed; a portion is gone with the next. */
export const bytesOfPage = (path: string, from: number, to: number, codec: CompressionCodec): AsyncGenerator<Buffer> =>
  decompressors[codec]!(path, from, to);

/** For decompressors that are still at one when they ask for the next. */
async function* portionsToKeep(...[path, from, to]: Span): AsyncGenerator<Buffer> {
  if (from >= to) return;
  for await (const chunk of createReadStream(path, { start: from, end: to - 1, highWaterMark: PORTION }))
    yield chunk as Buffer;
}

export interface ByteQueue {
  take(count: number): Promise<Buffer>;
  /** `each` gets the bytes in portions, which are gone when it returns. */
  skip(count: number, each?: (bytes: Buffer) => Promise<void>): Promise<void>;
  close(): Promise<unknown>;
}

/** Takes exact numbers of bytes from what comes in portions. */
export function queueOf(source: AsyncGenerator<Buffer>): ByteQueue {
  let rest: Buffer = Buffer.alloc(0);
  const fill = async () => {
    // The next portion may come in the memory of this one.
    const kept = rest.length ? Buffer.from(rest) : undefined;
    const next = await source.next();
    if (next.done) throw new Error('a page ends within a text');
    rest = kept ? Buffer.concat([kept, next.value]) : next.value;
  };
  return {
    async take(count) {
      while (rest.length < count) await fill();
      const taken = Buffer.from(rest.subarray(0, count));
      rest = rest.subarray(count);
      return taken;
    },
    async skip(count, each) {
      for (let left = count; left > 0;) {
        if (rest.length === 0) await fill();
        const part = rest.subarray(0, left);
        await each?.(part);
        rest = rest.subarray(part.length);
        left -= part.length;
      }
    },
    close: () => source.return(undefined),
  };
}
