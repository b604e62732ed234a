/** The texts of a page that is too large to decompress at once: one after the other, long ones to files. */
import { createReadStream } from 'node:fs';
import type { CompressionCodec } from 'hyparquet';
import { readRleBitPackedHybrid } from 'hyparquet/src/encoding.js';
import type { PageHeader } from 'hyparquet/src/types.js';
import { createGrowing, LONG } from './long-text.js';
import { gunzipped, PORTION, unzstandard } from './open-bytes.js';
import { unsnappy } from './unsnappy.js';

/** Up to this a page is decompressed in memory, which is quicker. */
const BIG = 8 * 2 ** 20;

const decompressors: Partial<Record<CompressionCodec, (source: AsyncGenerator<Buffer>) => AsyncGenerator<Buffer>>> = {
  UNCOMPRESSED: (source) => source,
  SNAPPY: unsnappy,
  GZIP: gunzipped,
  ZSTD: unzstandard,
};

export function isBigPage(header: PageHeader, codec: CompressionCodec): boolean {
  const encoding = header.data_page_header?.encoding ?? header.data_page_header_v2?.encoding;
  return header.uncompressed_page_size > BIG && encoding === 'PLAIN' && codec in decompressors;
}

export interface BigPage {
  path: string;
  /** Where the page is in the file, after its header. */
  at: number;
  header: PageHeader;
  codec: CompressionCodec;
  isOptional: boolean;
  scratch(name: string): string;
}

/** Values of rows `from` to `to` of the page: bytes, a `LongText`, or nothing. */
export async function* valuesOfBigPage(page: BigPage, from: number, to: number): AsyncGenerator<unknown> {
  const { path, header, codec, isOptional, scratch } = page;
  const v2 = header.data_page_header_v2;
  const rows = header.data_page_header?.num_values ?? v2?.num_values ?? 0;
  const end = page.at + header.compressed_page_size;
  const levels = (v2?.repetition_levels_byte_length ?? 0) + (v2?.definition_levels_byte_length ?? 0);
  const isCompressed = v2?.is_compressed !== false;
  const plain = queueOf(portionsOf(path, page.at, v2 ? page.at + levels : page.at));
  const decompress = decompressors[isCompressed ? codec : 'UNCOMPRESSED']!;
  const data = queueOf(decompress(portionsOf(path, page.at + levels, end)));
  try {
    let present: number[] | undefined;
    if (isOptional) {
      const bytes = v2 ? await plain.take(levels) : await data.take((await data.take(4)).readUInt32LE());
      present = Array.from<number>({ length: rows });
      readRleBitPackedHybrid(
        { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length), offset: 0 },
        1,
        present,
        bytes.length,
      );
    }
    for (let row = 0; row < to; row++) {
      if (present && !present[row]) {
        if (row >= from) yield null;
        continue;
      }
      const length = (await data.take(4)).readUInt32LE();
      if (row < from) await data.skip(length);
      else if (length <= LONG) yield await data.take(length);
      else {
        const growing = createGrowing(() => scratch('text'));
        await data.skip(length, (bytes) => growing.append(bytes));
        yield await growing.take();
      }
    }
  } finally {
    await plain.close();
    await data.close();
  }
}

async function* portionsOf(path: string, from: number, to: number): AsyncGenerator<Buffer> {
  if (from >= to) return;
  for await (const chunk of createReadStream(path, { start: from, end: to - 1, highWaterMark: PORTION }))
    yield chunk as Buffer;
}

/** Takes exact numbers of bytes from what comes in portions. */
function queueOf(source: AsyncGenerator<Buffer>) {
  let rest: Buffer = Buffer.alloc(0);
  const fill = async () => {
    // The next portion may come in the memory of this one.
    const kept = rest.length ? Buffer.from(rest) : undefined;
    const next = await source.next();
    if (next.done) throw new Error('a page ends within a text');
    rest = kept ? Buffer.concat([kept, next.value]) : next.value;
  };
  return {
    async take(count: number): Promise<Buffer> {
      while (rest.length < count) await fill();
      const taken = Buffer.from(rest.subarray(0, count));
      rest = rest.subarray(count);
      return taken;
    },
    async skip(count: number, each?: (bytes: Buffer) => Promise<void>): Promise<void> {
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
