/** Data files that were cut off, or of which one byte is another: refused by name, or read as what they are now. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { batchesOf } from '../../activities/preprocess/read-rows.js';
import { WHOLE } from '../../activities/preprocess/rows.js';
import { createJudge, dataFiles, documentsOf } from '../support/damaged-files.js';
import { tempDir } from '../support/temp-dir.js';

/** All bytes of small files; of larger ones some, and all at the end, where formats have what tells the rest. */
const placesOf = (length: number, most: number): number[] => {
  const step = Math.max(1, Math.ceil(length / most));
  return Array.from({ length }, (_, at) => at).filter((at) => at % step === 0 || at > length - 10);
};

// `npm run fuzz -- --only one-byte` takes all of them, with all that a byte can be.
describe.each(dataFiles.map((file) => [file.name, file] as const))('%s', (_, file) => {
  test('cut off anywhere is refused, or is the rows before that', async () => {
    const judge = createJudge(file, await tempDir());
    expect((await judge.whole()).length).toBeGreaterThan(2);
    const wrong: unknown[] = [];
    for (const at of placesOf(file.bytes.length, 30)) wrong.push(await judge.whenCut(at));
    expect(wrong.filter(Boolean)).toEqual([]);
  });

  test('with one byte changed is refused, or loses no document', async () => {
    const judge = createJudge(file, await tempDir());
    const wrong: unknown[] = [];
    for (const at of placesOf(file.bytes.length, 15))
      wrong.push(await judge.whenChanged(at, file.bytes[at]! ^ (1 << (at % 8))));
    expect(wrong.filter(Boolean)).toEqual([]);
  });
});

const fixture = (name: string): Buffer => readFileSync(join(import.meta.dirname, '../fixtures/preprocess', name));

async function read(name: string, bytes: Buffer, compat = false) {
  const path = join(await tempDir(), name);
  writeFileSync(path, bytes);
  if (!compat) return documentsOf(path);
  let rows = 0;
  for await (const batch of batchesOf({ path, columns: ['text'], range: WHOLE, compat, scratch: () => `${path}.tmp` }))
    rows += batch.rows.length;
  return { rows };
}

const changed = (bytes: Buffer, at: number, to: number): Buffer =>
  Buffer.concat([bytes.subarray(0, at), Buffer.of(to), bytes.subarray(at + 1)]);

describe('Arrow', () => {
  const stream = fixture('arrow/batches-stream.arrow');
  const file = fixture('arrow/batches-file.arrow');

  test('with a list that says it is endless takes no memory for it', async () => {
    // The number of columns of the first record batch: two.
    const at = stream.indexOf(Buffer.from('02000000040000000000000000000000', 'hex'));
    const before = process.memoryUsage().rss;
    expect(await read('a.arrow', changed(stream, at + 3, 0x40))).toEqual({
      refused: expect.stringMatching(/a\.arrow: the file is damaged: a list of 1073741826 entries/) as string,
    });
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20);
  });

  test('that goes on after the mark of its end is refused, but as MindSpeed-LLM reads it', async () => {
    const two = Buffer.concat([stream, stream]);
    expect(await read('a.arrow', two)).toEqual({
      refused: expect.stringContaining(`there are ${stream.length} bytes that nobody would read`) as string,
    });
    expect(await read('a.arrow', two, true)).toEqual({ rows: 8 });
  });

  test('whose end names fewer record batches than there are is refused, but as MindSpeed-LLM reads it', async () => {
    // Two blocks of 24 bytes, the first of which begins after the schema.
    const list = file.lastIndexOf(Buffer.from('02000000', 'hex'), file.length - 10 - 48);
    const places = Array.from({ length: list + 1 }, (_, at) => at).filter((at) => file.readUInt32LE(at) === 2);
    const outcomes = await Promise.all(places.slice(-3).map((at) => read('a.arrow', changed(file, at, 1))));
    expect(outcomes).toContainEqual({
      refused: expect.stringMatching(/its end names 1 record batches and 0 dictionaries; there are 2 and 0/) as string,
    });
  });
});

describe('parquet', () => {
  test('is held against the checksums of its pages, but as MindSpeed-LLM reads it', async () => {
    const bytes = fixture('parquet/checksums.parquet');
    const damaged = changed(bytes, bytes.indexOf('quotes'), 0x51);
    expect(await read('a.parquet', damaged)).toEqual({
      refused: expect.stringMatching(/a\.parquet: a page is not that of its checksum/) as string,
    });
    expect(await read('a.parquet', damaged, true)).toEqual({ rows: 8 });
  });

  test('whose footer names other numbers of rows than its row groups is refused', async () => {
    const bytes = fixture('parquet/plain.parquet');
    // Zigzag: eight rows of the file, four of each row group, in fields of 64 bits.
    const footer = bytes.length - 8 - bytes.readUInt32LE(bytes.length - 8);
    const at = bytes.indexOf(Buffer.from('1610', 'hex'), footer) + 1;
    expect(await read('a.parquet', changed(bytes, at, 8))).toEqual({
      refused: expect.stringMatching(/a\.parquet: of 4 rows its row groups have 8: the file is damaged/) as string,
    });
  });
});

test('a Zstandard frame is held against the size that it says it has, where it has no checksum', async () => {
  const bytes = fixture('zstd/sized.txt.zst');
  const outcomes = await Promise.all(
    [110, 113, 116].map((at) => read('a.txt.zst', changed(bytes, at, bytes[at]! ^ 4))),
  );
  expect(outcomes).toContainEqual({
    refused: expect.stringMatching(/a\.txt\.zst: a Zstandard frame that says it holds 315 bytes holds \d+: /) as string,
  });
});

test('the last record of a CSV file without an end of its line may not have fewer fields, but as MindSpeed-LLM reads it', async () => {
  const csv = (end: string) => Buffer.from(`text,n\none,1\ntwo${end}`);
  expect(await read('a.csv', csv(''))).toEqual({
    refused: expect.stringMatching(/a\.csv, row 2: cut off: 1 of 2 fields, and no end of the line/) as string,
  });
  for (const end of ['\n', '\r', ',2', ','])
    expect(await read('a.csv', csv(end))).toEqual({ documents: ['one', 'two'] });
  expect(await read('a.csv', csv(''), true)).toEqual({ rows: 2 });
  expect(await read('a.csv', Buffer.from(' \n'))).toEqual({
    refused: expect.stringMatching(/there is no header/) as string,
  });
});
