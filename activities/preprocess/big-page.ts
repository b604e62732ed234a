/** The texts of a page that is too large to decompress at once: one after the other, long ones to files. */
import type { CompressionCodec } from 'hyparquet';
import { readRleBitPackedHybrid } from 'hyparquet/src/encoding.js';
import type { PageHeader } from 'hyparquet/src/types.js';
import { createGrowing, LONG } from './long-text.js';
import { bytesOfPage, isStreamed, queueOf } from './page-bytes.js';

/** Up to this a page is decompressed in memory, which is quicker; and up to that the pages of all columns together. */
const BIG = 8 * 2 ** 20;
const ALL = 16 * 2 ** 20;
/** Up to this what cannot be decompressed or decoded in parts is decompressed in memory. */
export const LARGEST_WHOLE = 16 * 2 ** 20;

/** @param columns that are read at a time */
export const bigPage = (columns: number): number => Math.min(BIG, ALL / columns);

export function isBigPage(header: PageHeader, codec: CompressionCodec, big: number): boolean {
  const { encoding } = header.data_page_header ?? header.data_page_header_v2 ?? {};
  return header.uncompressed_page_size > big && encoding === 'PLAIN' && isStreamed(codec);
}

export const isBigDictionary = (
  { type, uncompressed_page_size }: PageHeader,
  codec: CompressionCodec,
  big: number,
): boolean => type === 'DICTIONARY_PAGE' && uncompressed_page_size > big && isStreamed(codec);

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
  const plain = queueOf(bytesOfPage(path, page.at, v2 ? page.at + levels : page.at, 'UNCOMPRESSED'));
  const data = queueOf(bytesOfPage(path, page.at + levels, end, isCompressed ? codec : 'UNCOMPRESSED'));
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
