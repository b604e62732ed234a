import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { Dictionary, Int32, Table, tableToIPC, Utf8, vectorFromArray } from 'apache-arrow';
import fc from 'fast-check';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openBuffer } from '../../activities/preprocess/arrow-buffers.js';
import { LONG, LongText } from '../../activities/preprocess/long-text.js';
import { batchesOf, readerOf } from '../../activities/preprocess/read-rows.js';
import { unlz4 } from '../../activities/preprocess/unlz4.js';
import { isText, rangesOfSlice, stringOf, WHOLE, type ByteRange, type Row } from '../../activities/preprocess/rows.js';
import { sameColumns } from '../../activities/preprocess/same-columns.js';
import { tempDir } from '../support/temp-dir.js';

/** Small files of every format with their number of rows; sizes and rows such that parts end anywhere. */
const texts = fc.array(fc.string({ unit: fc.constantFrom('a', 'é', '漢', '😀', ' ', '"', ',', '\\', '{', ']') }), {
  minLength: 1,
  maxLength: 12,
});
const lines = (rows: string[], end: string, last: boolean) =>
  rows
    .map((row) => row + end)
    .join('')
    .slice(0, last ? undefined : -1);
/** Two batches, columns before the text, one of them nested. */
const arrowTable = (rows: string[]) => {
  const make = (part: string[]) => {
    const other = vectorFromArray(part.map((_, n) => ({ a: n, b: [n, n] })));
    return new Table({ n: vectorFromArray(part.map((_, n) => n)), other, text: vectorFromArray(part, new Utf8()) });
  };
  const half = Math.ceil(rows.length / 2);
  return half === rows.length ? make(rows) : make(rows.slice(0, half)).concat(make(rows.slice(half)));
};
const csvField = (text: string) => `"${text.replaceAll('"', '""')}\n"`;
const writers: Record<string, (rows: string[], last: boolean) => string | Buffer> = {
  'a.jsonl': (rows, last) =>
    lines(
      rows.map((text) => JSON.stringify({ n: 1, text })),
      '\n',
      last,
    ),
  'a.json': (rows) =>
    JSON.stringify(
      rows.map((text) => ({ text })),
      undefined,
      1,
    ),
  'a.txt': (rows, last) =>
    lines(
      rows.map((text) => `${text}.`),
      '\r\n',
      last,
    ),
  'b.txt': (rows, last) =>
    lines(
      rows.map((text) => `${text}.`),
      '\r',
      last,
    ),
  'a.csv': (rows, last) =>
    `n,text\n${lines(
      rows.map((text) => `a"b,${csvField(text)}`),
      '\n',
      last,
    )}`,
  // Line ends that a part may begin within, and blank lines, one of them with the comma that pandas takes for its end.
  'b.csv': (rows, last) =>
    `\ufeff \r"n",text\r\n${lines(
      rows.map(
        (text, n) => `${['', '\t', '\r', ' \r,', '\n'][n % 5]}a"b,${csvField(text)}${['\r', '\n', '\r\n'][n % 3]}`,
      ),
      '\r',
      last,
    )}`,
  'a.parquet': (rows) =>
    Buffer.from(parquetWriteBuffer({ columnData: [{ name: 'text', data: rows, type: 'STRING' }], rowGroupSize: 3 })),
  'a.arrow': (rows) => Buffer.from(tableToIPC(arrowTable(rows), 'file')),
  'b.arrow': (rows) => Buffer.from(tableToIPC(arrowTable(rows), 'stream')),
  'a.jsonl.gz': (rows) =>
    gzipSync(
      lines(
        rows.map((text) => JSON.stringify({ text })),
        '\n',
        true,
      ),
    ),
};

test.each(Object.keys(writers))('parts of %s have every row once, in order, however many there are', async (name) => {
  const dir = await tempDir();
  const path = join(dir, name);
  await fc.assert(
    fc.asyncProperty(texts, fc.boolean(), fc.integer({ min: 2, max: 40 }), async (rows, last, of) => {
      await writeFile(path, writers[name]!(rows, last));
      const { size } = await stat(path);
      const [whole] = await readAll(path, WHOLE);
      expect(whole).toHaveLength(rows.length);
      const parts: unknown[] = [];
      for (let index = 0; index < of; index++) {
        const [range] = rangesOfSlice([size], { index, of }) as [ByteRange];
        const [values, numbers] = await readAll(path, range);
        const before = range.from < range.to ? await readerOf(path).rowsBefore(path, range.from) : 0;
        if (values.length) expect(numbers[0]! + before).toBe(parts.length);
        parts.push(...values);
      }
      expect(parts).toEqual(whole);
    }),
    { numRuns: 60 },
  );
});

async function readAll(path: string, range: ByteRange): Promise<[values: unknown[], rows: number[]]> {
  const rows: Row[] = [];
  const options = { path, columns: ['text'], range, compat: false, scratch: () => `${path}.tmp` };
  for await (const batch of batchesOf(options)) rows.push(...batch.rows);
  expect(rows.filter(({ problem }) => problem !== undefined)).toEqual([]);
  return [rows.map(({ values }) => shown(values[0])), rows.map(({ row }) => row)];
}

async function rowsOf(name: string, content: string | Buffer, columns: string[], range = WHOLE) {
  const { rows } = await readDirectory(name, content, columns, { range });
  return rows;
}

/** Rows, and the files that are left beside the input. */
async function readDirectory(
  name: string,
  content: string | Buffer,
  columns: string[],
  { range = WHOLE, compat = false } = {},
) {
  const dir = await tempDir();
  const path = join(dir, name);
  await writeFile(path, content);
  const rows: Row[] = [];
  let count = 0;
  const scratch = (kind: string) => join(dir, `${kind}-${count++}.tmp`);
  for await (const batch of batchesOf({ path, columns, range, compat, scratch })) rows.push(...batch.rows);
  const found = rows.map(({ row, values, problem }) => [
    row,
    ...(problem === undefined ? values.map(shown) : [new Error(problem)]),
  ]);
  for (const value of rows.flatMap(({ values }) => values)) if (value instanceof LongText) await value.discard();
  return { rows: found, left: (await readdir(dir)).filter((file) => file !== name) };
}

const shown = (value: unknown): unknown =>
  value instanceof LongText ? `${value.bytes} bytes` : isText(value) ? stringOf(value) : value;

test.each(['a.parquet', 'a.arrow'])('how far a part of %s is goes by its rows, from where it begins', async (name) => {
  const path = join(await tempDir(), name);
  await writeFile(
    path,
    writers[name]!(
      Array.from({ length: 5000 }, (_, n) => `text ${n}`),
      true,
    ),
  );
  const { size } = await stat(path);
  const range = rangesOfSlice([size], { index: 1, of: 2 })[0]!;
  const told: number[] = [];
  const options = { path, columns: ['text'], range, compat: false, scratch: () => `${path}.tmp` };
  for await (const { bytes } of batchesOf(options)) told.push(bytes);
  expect(told.length).toBeGreaterThan(1);
  expect(told[0]).toBeGreaterThan(range.from);
  expect(told[0]).toBeLessThan(range.from + size / 4);
  expect(told).toEqual(told.toSorted((a, b) => a - b));
  expect(told.at(-1)).toBe(size);
});

test('a line may end in any of three ways, also where a read ends, and the last need not', async () => {
  const long = 'é'.repeat(2 ** 19 - 1);
  const text = `${long}x\r\nsecond\rthird\n\nlast`;
  expect(await rowsOf('a.txt', text, ['text'])).toEqual([
    [0, `${long}x`],
    [1, 'second'],
    [2, 'third'],
    [3, ''],
    [4, 'last'],
  ]);
  expect(await rowsOf('a.txt', 'one\n', ['text'])).toEqual([[0, 'one']]);
  expect(await rowsOf('a.txt', '', ['text'])).toEqual([]);
});

test('a row of a JSON lines file is its line, blank ones included', async () => {
  expect(await rowsOf('a.jsonl', '{"t":"a"}\n\n{"t":"b","u":1}\n', ['t', 'u'])).toEqual([
    [0, 'a', undefined],
    [2, 'b', 1],
  ]);
});

test('CSV fields may hold commas, quotes and line ends, and an empty one is nothing', async () => {
  const csv = 'id,text\r\n1,"a, ""b""\r\nc"\r\n2,\r\n3,""\r\n4,plain';
  expect(await rowsOf('a.csv', csv, ['text', 'id'])).toEqual([
    [0, 'a, "b"\r\nc', '1'],
    [1, undefined, '2'],
    [2, '', '3'],
    [3, 'plain', '4'],
  ]);
});

test.each<[what: string, content: string, expected: string[]]>([
  ['a carriage return alone ends a record', 'text\nabc\rdef\nghi\n', ['abc', 'def', 'ghi']],
  ['carriage returns end all records', 'text\rabc\r def\r', ['abc', ' def']],
  ['a line of spaces is blank', 'text\nabc\n   \ndef\n ', ['abc', 'def']],
  ['a line of a tab is blank', 'text\nabc\n\t\ndef\n', ['abc', 'def']],
  ['a line of spaces and a comma is not', 'text,n\n ,\n  \n1\n', [' ', '1']],
  ['a quote after spaces is one of the text', 'text\n  "abc"\n"  "\n', ['  "abc"', '  ']],
  ['a comma after a blank line that a carriage return ends is gone', 'text,n\n1,x\n\r,abc\n2,y\n', ['1', 'abc', '2']],
  ['a byte order mark stands before a header in quotes', '\ufeff"text","n"\n"abc","1"\n', ['abc']],
  ['blank lines stand before the header', '\n \r\ntext\nabc\n', ['abc']],
])('CSV as pandas reads it: %s', async (_, content, expected) => {
  expect(await rowsOf('a.csv', content, ['text'])).toEqual(expected.map((text, row) => [row, text]));
});

test.each(['\r\n', '\rb,1\r\n', '\r\r,'])('a read of a CSV file may end within %j', async (end) => {
  const first = 'x'.repeat(2 ** 20 - 'text,n\n'.length - 1);
  const rows = (await rowsOf('a.csv', `text,n\n${first}${end}last,2\n`, ['text'])).map(([, text]) => text);
  expect(rows).toEqual([first, ...(end.includes('b') ? ['b'] : []), 'last']);
});

test.each(['a.csv', 'a.jsonl', 'a.txt'])(
  'a row of %s that is not UTF-8 is a bad row, the others are good',
  async (name) => {
    const row = { 'a.csv': 'TEXT', 'a.jsonl': '{"text":"TEXT"}', 'a.txt': 'TEXT' }[name]!;
    const rows = ['ok', 't\xe9xt', 'good'].map((text) => `${row.replace('TEXT', text)}\n`).join('');
    const content = Buffer.from((name === 'a.csv' ? 'text\n' : '') + rows, 'latin1');
    expect(await rowsOf(name, content, ['text'])).toEqual([
      [0, 'ok'],
      [1, new Error('not UTF-8')],
      [2, 'good'],
    ]);
  },
);

describe('pages of parquet that are large', () => {
  /** An LZ4 block of one literal, without a match. */
  const lz4 = (input: Uint8Array) => {
    const more = input.length - 15;
    const length = more < 0 ? [] : [Buffer.alloc(Math.floor(more / 255), 255), Buffer.of(more % 255)];
    return Buffer.concat([Buffer.of(Math.min(input.length, 15) << 4), ...length, input]);
  };
  const long = 'some words, '.repeat(1_400_000);

  async function rowsOf(
    codec: 'LZ4_RAW' | 'LZ4' | 'BROTLI',
    encoding: 'PLAIN' | 'RLE_DICTIONARY' | 'DELTA_LENGTH_BYTE_ARRAY',
  ) {
    const dir = await tempDir();
    const path = join(dir, 'a.parquet');
    const compressors = {
      LZ4_RAW: lz4,
      LZ4: lz4,
      BROTLI: (input: Uint8Array) => brotliCompressSync(input, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }),
    };
    await writeFile(
      path,
      Buffer.from(
        parquetWriteBuffer({
          columnData: [{ name: 'text', data: [long], type: 'STRING', encoding }],
          codec,
          compressors,
          statistics: false,
        }),
      ),
    );
    const found: unknown[] = [];
    const options = {
      path,
      columns: ['text'],
      range: WHOLE,
      compat: false,
      scratch: (name: string) => join(dir, name),
    };
    for await (const { rows } of batchesOf(options)) for (const { values } of rows) found.push(...values);
    return found as LongText[];
  }

  test.each(['LZ4_RAW', 'BROTLI'] as const)('are read in parts where they are compressed by %s', async (codec) => {
    for (const encoding of ['PLAIN', 'RLE_DICTIONARY'] as const) {
      const [text] = await rowsOf(codec, encoding);
      expect((await readFile(text!.path, 'utf8')) === long).toBe(true);
    }
  });

  test.each([
    ['LZ4', 'PLAIN'],
    ['BROTLI', 'DELTA_LENGTH_BYTE_ARRAY'],
  ] as const)('are refused with what to do where they cannot be read in parts: %s, %s', async (codec, encoding) => {
    await expect(rowsOf(codec, encoding)).rejects.toThrow(
      new RegExp(`a\\.parquet: column text: a page of 168\\d+ bytes, ${codec}, ${encoding}, .*use_dictionary=False`),
    );
  });
});

test.each([1, 7, 2 ** 16])('an LZ4 block is decoded the same when it comes in portions of %i bytes', async (size) => {
  // As liblz4 makes it: matches that overlap what they make, one longer than all that is kept of it, and literals.
  const end =
    '1df111776f72647320616e64203031323334353637383920736f6d65206f746865722020001f780100ff19014c01073c01c02c2030313233343536373839';
  const block = Buffer.concat([Buffer.from('2f61620200', 'hex'), Buffer.alloc(5490, 255), Buffer.from(end, 'hex')]);
  const expected = `${'ab'.repeat(700_000)}words and 0123456789 some other words${'x'.repeat(300)} and other words, 0123456789`;
  async function* portions() {
    for (let at = 0; at < block.length; at += size) yield block.subarray(at, at + size);
  }
  let text = '';
  for await (const part of unlz4(portions())) text += part.toString();
  expect(text === expected).toBe(true);
});

test.each([
  [1, 0],
  [8, 8],
])('dictionaries of %i columns of parquet, of 2.4 MB each, are in memory or in files: %i', async (columns, inFiles) => {
  const path = join(await tempDir(), 'a.parquet');
  const data = ['a', 'b', 'a'].map((text) => text.repeat(1_200_000));
  const columnData = Array.from({ length: columns }, (_, n) => {
    return { name: `k${n}`, data, type: 'STRING' as const, encoding: 'RLE_DICTIONARY' as const };
  });
  await writeFile(path, Buffer.from(parquetWriteBuffer({ columnData, dictionarySize: 2 ** 22, statistics: false })));
  const files: string[] = [];
  const scratch = (name: string) => `${path}.${files.push(name)}`;
  const options = { path, columns: columnData.map(({ name }) => name), range: WHOLE, compat: false, scratch };
  const rows: Row[] = [];
  for await (const batch of batchesOf(options)) rows.push(...batch.rows);
  expect(files).toEqual(Array.from({ length: inFiles }, () => 'dictionary'));
  expect(rows).toHaveLength(3);
  for (const [index, { values }] of rows.entries())
    expect(values.every((value) => isText(value) && stringOf(value) === data[index])).toBe(true);
});

describe('what is longer than memory', () => {
  /** 40 MB with line ends, quotes and characters of several bytes, so that every reader has something to get wrong. */
  const long = 'a long "text", of many\\ wörds; 漢字 😀\n'.repeat(900_000);
  const bytes = (text: string) => Buffer.from(text);
  const parquet = (codec: 'SNAPPY' | 'UNCOMPRESSED', data = ['before', long, null, 'after'], more = {}) =>
    Buffer.from(parquetWriteBuffer({ columnData: [{ name: 'text', data, type: 'STRING', ...more }], codec }));
  /** As pyarrow writes texts unless told otherwise. */
  const inDictionary = ['before', long, null, 'after', 'before', long];
  const oneLine = long.replaceAll('\n', ' ');

  test.each<[name: string, content: () => Buffer, expected: (string | null)[]]>([
    [
      'a.jsonl',
      () => bytes(['before', long, 'after'].map((text) => `${JSON.stringify({ text, n: { text: 1 } })}\n`).join('')),
      ['before', long, 'after'],
    ],
    [
      'a.json',
      () => bytes(JSON.stringify(['before', long, 'after'].map((text) => ({ n: [text.length], text })))),
      ['before', long, 'after'],
    ],
    ['a.csv', () => bytes(`n,text\n1,before\n2,${csvField(long)}\n3,after\n`), ['before', `${long}\n`, 'after']],
    ['a.txt', () => bytes(`before\n${oneLine}\r\nafter`), ['before', oneLine, 'after']],
    ['a.parquet', () => parquet('SNAPPY'), ['before', long, null, 'after']],
    ['b.parquet', () => parquet('UNCOMPRESSED'), ['before', long, null, 'after']],
    ['c.parquet', () => parquet('SNAPPY', inDictionary, { encoding: 'RLE_DICTIONARY' }), inDictionary],
    [
      'a.arrow',
      () => Buffer.from(tableToIPC(arrowTable(['before', long, 'after']), 'stream')),
      ['before', long, 'after'],
    ],
  ])(
    'a text of 40 MB in %s goes through a file, and the rows around it are there',
    { timeout: 120_000 },
    async (name, content, expected) => {
      const dir = await tempDir();
      const path = join(dir, name);
      await writeFile(path, content());
      let count = 0;
      const scratch = () => join(dir, `${count++}.tmp`);
      const found: unknown[] = [];
      for await (const { rows } of batchesOf({ path, columns: ['text'], range: WHOLE, compat: false, scratch }))
        for (const { values, problem } of rows) {
          const [value] = values;
          if (!(value instanceof LongText)) found.push(problem ?? shown(value));
          else {
            let text = '';
            for await (const part of value.texts()) text += part;
            found.push(text);
            await value.discard();
          }
        }
      expect(found.map((text) => (typeof text === 'string' ? text.length : text))).toEqual(
        expected.map((text) => text?.length ?? null),
      );
      expect(found.every((text, index) => text === expected[index])).toBe(true);
      expect(await readdir(dir)).toEqual([name]);
    },
  );
});

test.each([
  ['{"text":"a","te\\u0078t":"b"}', new Error('the field text is there twice')],
  ['{"te\\u0078t":"b","n":{"text":"c"}}', 'b'],
  ['{"text":"a \\u0078 te\\u0078t"}', 'a x text'],
  ['\u00a0', new Error('not JSON')],
  ['\u2028', new Error('not JSON')],
])('the line %j is one row, or a bad one', async (line, expected) => {
  const rows = await rowsOf('a.jsonl', `${line}\n \t\r\n{"text":"z"}\n`, ['text']);
  if (expected instanceof Error)
    expect(rows[0]).toEqual([
      0,
      expect.objectContaining({ message: expect.stringContaining(expected.message) as string }),
    ]);
  else expect(rows[0]).toEqual([0, expected]);
  expect(rows[1]).toEqual([2, 'z']);
});

test('a first line above 4 MiB may begin with a byte order mark', async () => {
  const long = 'word '.repeat(LONG / 4);
  expect(await rowsOf('a.jsonl', `\ufeff{"text":"${long}"}\n`, ['text'])).toEqual([[0, `${long.length} bytes`]]);
  expect(await rowsOf('a.jsonl', `{"text":"a"}\n\ufeff{"text":"${long}"}\n`, ['text'])).toEqual([
    [0, 'a'],
    [1, expect.objectContaining({ message: expect.stringMatching(/^not JSON/) as string })],
  ]);
});

test('an array of texts is read as MindSpeed-LLM does, however long they are, and one that is not UTF-8 is a bad row', async () => {
  const long = 'word '.repeat(LONG / 4);
  const [before, after] = [`["a","${long}","`, '","z"]'].map((text) => Buffer.from(text));
  const content = Buffer.concat([before!, Buffer.from('t\xe9xt', 'latin1'), after!]);
  const { rows } = await readDirectory('a.json', content, ['text'], { compat: true });
  expect(rows).toEqual([
    [0, 'a'],
    [1, `${long.length} bytes`],
    [2, new Error('not UTF-8')],
    [3, 'z'],
  ]);
});

describe('Arrow that pyarrow wrote', () => {
  const read = async (name: string) =>
    rowsOf('a.arrow', await readFile(join(import.meta.dirname, '../fixtures/preprocess/arrow', name)), ['text']);

  test('is read behind columns of views, whose buffers are of any number, and from before version 0.15', async () => {
    const rows = (...texts: (string | null)[]) => texts.map((text, row) => [row, text]);
    expect(await read('views.arrow')).toEqual(rows('one', 'two', null, 'four'));
    expect(await read('before-0.15.arrow')).toEqual(rows('one', 'two', 'three'));
  });

  test.each(['lz4.arrow', 'zstd.arrow'])('is read where its batches are compressed: %s', async (name) => {
    const rows = (await read(name)).map(([, text]) => text as string | null);
    expect(rows.slice(0, 4)).toEqual(['one', 'two', null, 'four']);
    expect(rows[4]).toMatch(/^[\w+/]{600}$/);
    expect(rows.slice(5)).toEqual(['a line of words '.repeat(15_000), 'five', '']);
  });

  test('may have buffers as they are in a compressed batch', async () => {
    const path = join(await tempDir(), 'body');
    await writeFile(path, Buffer.from('before\xff\xff\xff\xff\xff\xff\xff\xfftexts', 'latin1'));
    const file = await open(path, 'r');
    onTestFinished(() => file.close());
    const options = { file, body: 2, compression: { type: 1 }, scratch: () => path };
    const buffer = await openBuffer({ offset: 4, length: 13 }, options);
    expect([buffer.length, String(await buffer.read(1, 4))]).toEqual([5, 'exts']);
  });

  test('is read through files where a buffer or a text is too long for memory', async () => {
    const content = await readFile(join(import.meta.dirname, '../fixtures/preprocess/arrow/long.arrow'));
    const { rows, left } = await readDirectory('a.arrow', content, ['text']);
    expect(rows).toEqual([
      [0, 'before'],
      [1, `${'word '.repeat(2_000_000).length} bytes`],
      [2, 'after'],
    ]);
    expect(left).toEqual([]);
  });

  test.each([
    ['dictionary.arrow', ['one', 'two', 'one']],
    ['dictionary-file.arrow', ['one', 'two', null, '四', '', null, 'one', '', '四']],
    ['dictionary-deltas.arrow', ['one', 'two', 'three', null, 'one', '四', 'three']],
    ['dictionary-file-deltas.arrow', ['one', 'two', 'three', 'two']],
    ['dictionary-replaced.arrow', ['one', 'two', 'again', 'other']],
  ])('has the texts of its dictionary, as pyarrow has them, in parts as well: %s', async (name, texts) => {
    expect(await read(name)).toEqual(texts.map((text, row) => [row, text]));
    const path = join(import.meta.dirname, '../fixtures/preprocess/arrow', name);
    const { size } = await stat(path);
    const found: unknown[] = [];
    for (let from = 0; from < size; from += 300) {
      const options = { path, columns: ['text'], scratch: () => '', compat: false };
      for await (const { rows } of batchesOf({ ...options, range: { from, to: Math.min(size, from + 300) } }))
        for (const { values } of rows) found.push(isText(values[0]) ? stringOf(values[0]) : null);
    }
    expect(found.map((text) => text || null)).toEqual(texts.map((text) => text || null));
  });

  test('is refused as a stream that has no mark of its end, which may be cut off between batches, but as MindSpeed-LLM reads it', async () => {
    const content = Buffer.from(tableToIPC(arrowTable(['one', 'two']), 'stream')).subarray(0, -8);
    await expect(rowsOf('a.arrow', content, ['text'])).rejects.toThrow(
      /no mark of its end after 2 record batches, so that more may have been cut off/,
    );
    const { rows } = await readDirectory('a.arrow', content, ['text'], { compat: true });
    expect(rows.map(([, text]) => text)).toEqual(['one', 'two']);
  });

  test('has long texts of a dictionary through files, and short ones beside them, in order', async () => {
    const long = 'word '.repeat(LONG / 4);
    const texts = ['a', long, 'b', 'a', long, 'x'.repeat(700_000), 'x'.repeat(700_000)];
    const table = new Table({ text: vectorFromArray(texts, new Dictionary(new Utf8(), new Int32())) });
    const { rows, left } = await readDirectory('a.arrow', Buffer.from(tableToIPC(table, 'stream')), ['text']);
    const told = texts.map((text, row) => [row, text === long ? `${long.length} bytes` : text]);
    expect([rows, left]).toEqual([told, []]);
  });

  test('is refused where a number is none of its dictionary, and where a dictionary is of no texts', async () => {
    const content = await readFile(join(import.meta.dirname, '../fixtures/preprocess/arrow/dictionary.arrow'));
    const at = content.indexOf(Buffer.from('00000000010000000000000000000000', 'hex'));
    content.writeInt32LE(7, at + 4);
    await expect(rowsOf('a.arrow', content, ['text'])).rejects.toThrow(
      /a record batch has the number 7, which is none/,
    );
    const numbers = new Table({ text: vectorFromArray([1, 2], new Dictionary(new Int32(), new Int32())) });
    await expect(rowsOf('a.arrow', Buffer.from(tableToIPC(numbers)), ['text'])).rejects.toThrow(
      /in the column text, found Dictionary.*: cast it to string/,
    );
  });
});

test('the name of a field may lie across two portions of a file', async () => {
  const dir = await tempDir();
  const line = (n: number) => `{"标题":"${'x'.repeat(n)}","text":"a"}\n`;
  const paths = ['a.jsonl', 'b.jsonl'].map((name) => join(dir, name));
  await writeFile(paths[0]!, line(1));
  // The next line's first character of several bytes begins one byte before the portion's end.
  await writeFile(paths[1]!, line(2 ** 20 - Buffer.byteLength(line(0)) - 3) + line(1));
  await sameColumns(paths);
  await writeFile(paths[1]!, line(1).replace('标题', '标签'));
  await expect(sameColumns(paths)).rejects.toThrow(/b\.jsonl: there is a field 标签, which .*a\.jsonl does not have/);
});

describe('a CSV record above 4 MiB', () => {
  const long = 'word '.repeat(LONG / 4);
  const read = (content: string | Buffer, columns = ['a', 'b'], compat = true) =>
    readDirectory('a.csv', content, columns, { compat });

  test('is a bad row for a short field that is not UTF-8, as a short record is', async () => {
    const record = (text: string) =>
      Buffer.concat([Buffer.from('a,b\nc'), Buffer.of(0xe9), Buffer.from(`,"${text}"\n`)]);
    const bad = { rows: [[0, new Error('not UTF-8')]], left: [] };
    expect(await read(record('short'))).toEqual(bad);
    expect(await read(record(long))).toEqual(bad);
  });

  test('has no value in NA and in an empty text, for MindSpeed-LLM', async () => {
    const content = (text: string) => `a,b\nNA,"${text}"\n"",${text}\n`;
    const rows = (none: unknown[], text: string) => none.map((value, row) => [row, value, text]);
    expect((await read(content('short'))).rows).toEqual(rows([undefined, undefined], 'short'));
    expect((await read(content(long))).rows).toEqual(rows([undefined, undefined], `${long.length} bytes`));
    expect((await read(content(long), ['a', 'b'], false)).rows).toEqual(rows(['NA', ''], `${long.length} bytes`));
  });

  test('keeps carriage returns within quotes, and is over at one outside of them', async () => {
    expect((await read(`a,b\n"x\r","${long}\r"\r1,2\n`)).rows).toEqual([
      [0, 'x\r', `${long.length + 1} bytes`],
      [1, '1', '2'],
    ]);
  });

  test('with too many fields is a bad row and leaves no file', async () => {
    expect(await read(`text\n"${long}",more\n`, ['text'])).toEqual({
      rows: [[0, new Error('2 fields, where the header has 1')]],
      left: [],
    });
  });
});

test.each([
  ['only escapes', '\\u00e9\\ud83d\\ude00'.repeat(500_000), 'é😀'.repeat(500_000)],
  ['backslashes and quotes', '\\\\\\"'.repeat(1_500_000), '\\"'.repeat(1_500_000)],
  ['characters of two halves', '😀'.repeat(1_500_000), '😀'.repeat(1_500_000)],
])('a long text of %s is decoded across portions', async (_, raw, text) => {
  const dir = await tempDir();
  const path = join(dir, 'a.jsonl');
  await writeFile(path, `{"id":["\\"}"],"text":"${raw}","more":{"text":"inner"}}\n{"text":"x"}\n`);
  const found: unknown[] = [];
  const scratch = (kind: string) => join(dir, `${kind}-${found.length}.tmp`);
  for await (const { rows } of batchesOf({ path, columns: ['text'], range: WHOLE, compat: false, scratch }))
    found.push(...rows.map(({ values, problem }) => problem ?? values[0]));
  let whole = '';
  if (found[0] instanceof LongText) for await (const part of found[0].texts()) whole += part;
  else whole = String(found[0]);
  expect([whole === text, found[1]]).toEqual([true, 'x']);
});

test.each([
  ['cut off', '{"text":"TEXT', 'not JSON: a text is not closed'],
  ['without its last bracket', '{"text":"TEXT"', /^not JSON/],
  ['with half a character', '{"text":"TEXT\\ud83d"}', 'a long text is not valid Unicode'],
  ['with an escape that is none', '{"text":"TEXT\\x"}', /^not JSON: in a long text/],
  ['with the key twice', '{"text":"TEXT","text":"b"}', 'the field text is there twice'],
  ['without the key', '{"other":"TEXT"}', 'no problem'],
])('a long row %s is a bad row and leaves no file', async (_, row, problem) => {
  const dir = await tempDir();
  const path = join(dir, 'a.jsonl');
  await writeFile(path, `${row.replace('TEXT', 'long '.repeat(2_000_000))}\n{"text":"after"}\n`);
  let count = 0;
  const scratch = () => join(dir, `${count++}.tmp`);
  const found: Row[] = [];
  for await (const { rows } of batchesOf({ path, columns: ['text'], range: WHOLE, compat: false, scratch }))
    found.push(...rows);
  expect(found[0]!.problem ?? 'no problem').toMatch(problem);
  expect(found[1]!.values).toEqual(['after']);
  expect(await readdir(dir)).toEqual(['a.jsonl']);
});

describe('a .gz file', () => {
  const member = (text: string) => gzipSync(`{"text":"${text}"}\n`);
  const read = async (...parts: Buffer[]) =>
    (await rowsOf('a.jsonl.gz', Buffer.concat(parts), ['text'])).map(([, text]) => text);

  test.each([100, 2_500_000])(
    'may end with %i zeros, as files do that were made before they were filled',
    async (n) => {
      expect(await read(member('a'), member('b'), Buffer.alloc(n))).toEqual(['a', 'b']);
    },
  );

  test.each([100, 2_500_000])(
    'is refused where something follows %i zeros, of which nothing would be read',
    async (n) => {
      await expect(read(member('a'), Buffer.alloc(n), member('b'))).rejects.toThrow(/a\.jsonl\.gz: after the end/);
    },
  );
});

describe('a .zst file', () => {
  const LINE = Buffer.from('{"text":"a"}\n');
  /** Descriptor, window or size, and one block of a line as it is. */
  const frame = (...header: number[]): Buffer =>
    Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, ...header, (LINE.length << 3) | 1, 0, 0]), LINE]);
  const [small, whole, skipped] = [
    frame(0, 0x08),
    frame(0x20, LINE.length),
    Buffer.from('502a4d18020000000102', 'hex'),
  ];

  test('is read through all its frames, also those that are to be skipped', async () => {
    const rows = await rowsOf('a.jsonl.zst', Buffer.concat([small, skipped, whole, small]), ['text']);
    expect(rows.map(([row]) => row)).toEqual([0, 1, 2]);
  });

  test('is refused where its text is not that of its checksum, and where it is cut off', async () => {
    // As `zstd -19 --check` writes the six lines of test/fuzz/targets/rows.ts.
    const checked = Buffer.from(
      'KLUv/WRpC30DAEQFeyJ0ZXh0IjoicGxhaW4iLCJuIjoxfQrDvG7DryDmvKLlrZcg8J+YgHdpdGggXCJxdW90ZXNcIiwgY29tbWFzXG5hbmQgbGluZXM8fGVuZG9mfD54CADNgwXQDudfoRzHtIyu8r6mBxrlVy1mE7uk/Rk=',
      'base64',
    );
    const read = (...parts: Buffer[]) => rowsOf('a.jsonl.zst', Buffer.concat(parts), ['text']);
    expect((await read(checked, small, checked)).map(([, text]) => text).slice(5, 8)).toEqual([
      'x'.repeat(3000),
      'a',
      'plain',
    ]);
    const turned = (at: number) => checked.map((byte, index) => (index === at ? byte ^ 1 : byte)) as Buffer;
    for (const at of [checked.indexOf('plain'), checked.length - 1])
      await expect(read(small, turned(at), small)).rejects.toThrow(/not that of its checksum/);
    for (const length of [5, 30, checked.length - 5, checked.length - 1])
      await expect(read(small, checked.subarray(0, length))).rejects.toThrow(/cut off within Zstandard frame 2/);
    await expect(read()).rejects.toThrow(/cut off: there is not one/);
    expect(await read(skipped)).toEqual([]);
  });

  test.each([
    ['a window of 2 GB', frame(0, 21 << 3), 2048],
    ['a window beyond all numbers of 32 bits', frame(0, 0xf8), 2_199_023_255_552 / 2 ** 20],
    ['contents of 3 GB in one piece', frame(0xa0, 0, 0, 0, 0xc0), 3072],
  ])('is refused where a later frame asks for %s, before that is taken', async (_, large, mb) => {
    const before = process.memoryUsage().arrayBuffers;
    const reading = rowsOf('a.jsonl.zst', Buffer.concat([small, skipped, whole, large]), ['text']);
    await expect(reading).rejects.toThrow(`a window of ${mb} MB, and 32 MB is the most`);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 2 ** 20);
  });
});
