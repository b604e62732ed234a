/** The values of one column of one row group, page by page: a whole row group may be larger than memory. */
import type { FileHandle } from 'node:fs/promises';
import { crc32, gunzipSync } from 'node:zlib';
import type { ColumnMetaData, SchemaTree } from 'hyparquet';
import { type BigDictionary, INSTEAD, openBigDictionary } from './big-dictionary.js';
import { isBigDictionary, isBigPage, LARGEST_WHOLE, valuesOfBigPage } from './big-page.js';
import { compressors } from 'hyparquet-compressors';
import { filePortions } from './file-portions.js';
import { LongText } from './long-text.js';
import { bytesOfPage } from './page-bytes.js';
import { windowCheck } from './zstd-window.js';
import { parquetHeader, readPage } from 'hyparquet/src/column.js';
import { convert, DEFAULT_PARSERS } from 'hyparquet/src/convert.js';
import type { ColumnDecoder, DecodedArray, PageHeader } from 'hyparquet/src/types.js';

/** A page says of itself how large it is; what its frames say is not held against that before they are decoded. */
const safeCompressors: typeof compressors = {
  ...compressors,
  // Holds what comes of it against the checksum, which the package passes over; that reads what has no header, too.
  GZIP: (input, length) =>
    input[0] === 0x1f && input[1] === 0x8b
      ? gunzipSync(input, { maxOutputLength: Math.max(1, length) })
      : compressors.GZIP!(input, length),
  ZSTD: (input, length) => {
    windowCheck()(input);
    return compressors.ZSTD!(input, length);
  },
};

/** Texts of a dictionary in a file that are given on at once. */
const BYTES = 2 ** 20;

/** Headers hold the smallest and the largest value, so they have no largest size. */
const HEADER = 64 * 1024;

export interface ColumnChunk {
  path: string;
  file: FileHandle;
  schemaPath: SchemaTree[];
  metadata: ColumnMetaData;
  /** Rows of the row group to leave out, and where to stop. */
  from: number;
  to: number;
  /** A page of more bytes is not decompressed in memory where that can be helped. */
  big: number;
  /** Pages that have a checksum are held against it. */
  isChecked: boolean;
  scratch(name: string): string;
}

/** A flat column's values from row `from` to row `to` of its row group, texts as their bytes. */
export async function* pagesOf(chunk: ColumnChunk): AsyncGenerator<ArrayLike<unknown>> {
  const { path, file, schemaPath, metadata, from, to, scratch, big, isChecked } = chunk;
  const { codec } = metadata;
  const isOptional = schemaPath.at(-1)!.element.repetition_type === 'OPTIONAL';
  const decoder: ColumnDecoder = {
    pathInSchema: metadata.path_in_schema,
    element: schemaPath.at(-1)!.element,
    schemaPath,
    compressors: safeCompressors,
    utf8: false,
    ...metadata,
    // Decoded by whoever takes them, who can say which row is not UTF-8.
    parsers: { ...DEFAULT_PARSERS, stringFromBytes: (bytes: Uint8Array) => bytes },
  };
  let at = Number(metadata.dictionary_page_offset || metadata.data_page_offset);
  const end = at + Number(metadata.total_compressed_size);
  let dictionary: DecodedArray | undefined;
  let inFile: BigDictionary | undefined;
  let row = 0;
  try {
    while (row < to && at < end) {
      const { header, size } = await readHeader(file, at, end);
      const start = at + size;
      const rows = header.data_page_header?.num_values ?? header.data_page_header_v2?.num_rows ?? 0;
      at = start + header.compressed_page_size;
      if (header.type !== 'DICTIONARY_PAGE' && (rows === 0 || row + rows <= from)) {
        row += rows;
        continue;
      }
      const check = (bytes: Iterable<Buffer> | AsyncIterable<Buffer>) =>
        requireChecksum(isChecked ? header.crc : undefined, bytes);
      if (isBigDictionary(header, codec, big)) {
        await check(filePortions(path, start, at));
        const texts = header.dictionary_page_header?.num_values ?? 0;
        const content = bytesOfPage(path, start, at, codec);
        inFile = await openBigDictionary({ bytes: content, texts, scratch });
        dictionary = inFile.places;
        continue;
      }
      const [first, last] = [Math.max(0, from - row), Math.min(rows, to - row)];
      if (isBigPage(header, codec, big)) {
        await check(filePortions(path, start, at));
        const big = { path, at: start, header, codec, isOptional, scratch };
        for await (const value of valuesOfBigPage(big, first, last)) yield [value];
        row += rows;
        continue;
      }
      refuseLarge(header, metadata);
      const page = await readExactly(file, start, header.compressed_page_size);
      await check([page]);
      const reader = { view: new DataView(page.buffer, page.byteOffset, page.byteLength), offset: 0 };
      const { data } = readPage(reader, header, decoder, dictionary, undefined, 0);
      if (header.type === 'DICTIONARY_PAGE') {
        dictionary = convert(data!, decoder);
        continue;
      }
      if (data?.length !== rows) throw new Error(`a page of ${rows} rows holds ${data?.length}`);
      const values = first === 0 && last === rows ? data : data.slice(first, last);
      if (inFile && isOfDictionary(header)) yield* textsOf(values, inFile);
      else yield values;
      row += rows;
    }
    if (row < to) throw new Error(`rows ${row + 1} to ${to} of a row group are not there`);
    if (row > Number(metadata.num_values))
      throw new Error(`the pages of a row group of ${metadata.num_values} rows have ${row}`);
  } finally {
    await inFile?.close();
  }
}

/** Of a page as it lies in the file, after its header. Spark writes checksums, pyarrow where it is told to. */
async function requireChecksum(
  expected: number | undefined,
  bytes: Iterable<Buffer> | AsyncIterable<Buffer>,
): Promise<void> {
  if (expected === undefined) return;
  let sum = 0;
  for await (const portion of bytes) sum = crc32(portion, sum);
  if (sum !== expected >>> 0) throw new Error('a page is not that of its checksum: the file is damaged');
}

const isOfDictionary = ({ data_page_header, data_page_header_v2 }: PageHeader): boolean =>
  (data_page_header ?? data_page_header_v2)!.encoding.endsWith('_DICTIONARY');

/** Few at a time: rows may refer to the same long text many times. */
async function* textsOf(places: ArrayLike<unknown>, dictionary: BigDictionary) {
  let values: unknown[] = [];
  let size = 0;
  for (let i = 0; i < places.length; i++) {
    const place = places[i];
    const text = typeof place === 'number' ? await dictionary.textAt(place) : place;
    values.push(text);
    size += text instanceof LongText ? BYTES : ((text as Buffer | null)?.length ?? 0);
    if (size < BYTES && i + 1 < places.length) continue;
    yield values;
    [values, size] = [[], 0];
  }
}

/** What is here can only be had in memory as a whole. */
function refuseLarge(header: PageHeader, { codec, path_in_schema }: ColumnMetaData): void {
  const { compressed_page_size, uncompressed_page_size } = header;
  const size = Math.max(compressed_page_size, uncompressed_page_size);
  if (size <= LARGEST_WHOLE) return;
  const { encoding } = header.data_page_header ?? header.data_page_header_v2 ?? header.dictionary_page_header ?? {};
  throw new Error(
    `column ${path_in_schema.join('.')}: a page of ${size} bytes, ${codec}, ${encoding}, cannot be read in parts, and ${LARGEST_WHOLE} bytes is the most otherwise. ${INSTEAD}`,
  );
}

async function readHeader(file: FileHandle, at: number, end: number): Promise<{ header: PageHeader; size: number }> {
  for (let length = HEADER; ; length *= 4) {
    const bytes = await readExactly(file, at, Math.min(length, end - at));
    const reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset: 0 };
    try {
      return { header: parquetHeader(reader), size: reader.offset };
    } catch (error) {
      if (!(error instanceof RangeError) || bytes.length === end - at) throw error;
    }
  }
}

async function readExactly(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  for (let have = 0; have < length;) {
    const { bytesRead } = await file.read(bytes, have, length - have, at + have);
    if (bytesRead === 0) throw new Error(`the file ends at byte ${at + have}, before the end of a page`);
    have += bytesRead;
  }
  return bytes;
}
