import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readerOf, readingFile } from '../../activities/preprocess/read-rows.js';
import { rangesOfSlice, type Row } from '../../activities/preprocess/rows.js';
import { tempDir } from '../support/temp-dir.js';

test('slices take every row of every file once, in order, whatever their number', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(50), { minLength: 1, maxLength: 6 }), fc.integer({ min: 1, max: 40 }), (counts, of) => {
      const taken = Array.from({ length: of }, (_, index) => rangesOfSlice(counts, { index, of })).flatMap((ranges) =>
        ranges.flatMap(({ from, to }, file) =>
          Array.from({ length: Math.max(0, to - from) }, (_, i) => `${file}:${from + i}`),
        ),
      );
      expect(taken).toEqual(counts.flatMap((count, file) => Array.from({ length: count }, (_, i) => `${file}:${i}`)));
    }),
  );
});

async function rowsOf(name: string, content: string | Buffer, columns: string[], from = 0, to = Infinity) {
  const path = join(await tempDir(), name);
  await writeFile(path, content);
  const rows: Row[] = [];
  for await (const part of readerOf(path).read(path, columns, { from, to })) rows.push(...part);
  return { count: await readerOf(path).count(path), rows: rows.map(({ row, values }) => [row, ...values]) };
}

test('a line may end in any of three ways, also where a read ends, and the last need not', async () => {
  const long = 'é'.repeat(2 ** 19 - 1);
  const text = `${long}x\r\nsecond\rthird\n\nlast`;
  const { count, rows } = await rowsOf('a.txt', text, ['text']);
  expect(count).toBe(5);
  expect(rows).toEqual([
    [0, `${long}x`],
    [1, 'second'],
    [2, 'third'],
    [3, ''],
    [4, 'last'],
  ]);
  expect((await rowsOf('a.txt', text, ['text'], 1, 3)).rows).toEqual([
    [1, 'second'],
    [2, 'third'],
  ]);
  expect((await rowsOf('a.txt', 'one\n', ['text'])).count).toBe(1);
  expect((await rowsOf('a.txt', '', ['text'])).rows).toEqual([]);
});

test('a row of a JSON lines file is its line, blank ones included', async () => {
  const { count, rows } = await rowsOf('a.jsonl', '{"t":"a"}\n\n{"t":"b","u":1}\n', ['t', 'u']);
  expect([count, rows]).toEqual([
    3,
    [
      [0, 'a', undefined],
      [2, 'b', 1],
    ],
  ]);
});

test('CSV fields may hold commas, quotes and line ends, and an empty one is nothing', async () => {
  const csv = 'id,text\r\n1,"a, ""b""\r\nc"\r\n2,\r\n3,""\r\n4,plain';
  const { count, rows } = await rowsOf('a.csv', csv, ['text', 'id']);
  expect([count, rows]).toEqual([
    4,
    [
      [0, 'a, "b"\r\nc', '1'],
      [1, undefined, '2'],
      [2, '', '3'],
      [3, 'plain', '4'],
    ],
  ]);
});

test.each(['a.csv', 'a.json', 'a.jsonl', 'a.txt'])(
  '%s that is not UTF-8 is corrupt, and says which file',
  async (name) => {
    const path = join(await tempDir(), name);
    await writeFile(path, Buffer.from('["text\xe9",\n', 'latin1'));
    const reading = readingFile(path, () => readerOf(path).read(path, ['text'], { from: 0, to: 9 }).next());
    await expect(reading).rejects.toMatchObject({
      type: 'DataCorrupt',
      nonRetryable: true,
      message: expect.stringContaining(path) as string,
    });
  },
);
