import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ApplicationFailure } from '@temporalio/common';
import { tableFromArrays, tableToIPC } from 'apache-arrow';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { batchesOf } from '../../../activities/preprocess/read-rows.js';
import { WHOLE } from '../../../activities/preprocess/rows.js';
import { mutated } from '../mutate.js';
import type { Target } from '../target.js';

const texts = ['plain', 'ünï 漢字 😀', '', 'with "quotes", commas\nand lines', '<|endoftext|>', 'x'.repeat(3000)];
const jsonl = texts.map((text) => `${JSON.stringify({ text, n: 1 })}\n`).join('');
const parquet = (codec: 'SNAPPY' | 'UNCOMPRESSED') =>
  Buffer.from(
    parquetWriteBuffer({ columnData: [{ name: 'text', data: texts, type: 'STRING' }], rowGroupSize: 2, codec }),
  );
/** As `zstd -19` writes the same lines; Node learnt that after the oldest one that is supported. */
const zstandard = Buffer.from(
  'KLUv/WRpC30DAEQFeyJ0ZXh0IjoicGxhaW4iLCJuIjoxfQrDvG7DryDmvKLlrZcg8J+YgHdpdGggXCJxdW90ZXNcIiwgY29tbWFzXG5hbmQgbGluZXM8fGVuZG9mfD54CADNgwXQDudfoRzHtIyu8r6mBxrlVy1mE7uk/Rk=',
  'base64',
);

const seeds: Record<string, Buffer[]> = {
  'a.jsonl': [Buffer.from(jsonl)],
  'a.json': [Buffer.from(JSON.stringify(texts.map((text) => ({ text })))), Buffer.from(jsonl)],
  'a.csv': [Buffer.from(`n,text\n${texts.map((text) => `1,"${text.replaceAll('"', '""')}"\n`).join('')}`)],
  'a.txt': [Buffer.from(texts.join('\n'))],
  'a.parquet': [parquet('SNAPPY'), parquet('UNCOMPRESSED')],
  'a.arrow': (['file', 'stream'] as const).map((kind) =>
    Buffer.from(tableToIPC(tableFromArrays({ text: texts }), kind)),
  ),
  'a.jsonl.gz': [gzipSync(jsonl)],
  'a.jsonl.zst': [zstandard],
};

let dir: string | undefined;

/** A file of data is read to its end, or refused as what it is: corrupt, or without the column. */
export const rows: Target<Buffer>[] = Object.entries(seeds).map(([name, good]) => ({
  name: `rows-${name}`,
  inputs: mutated(good),
  async check(bytes) {
    dir ??= mkdtempSync(join(tmpdir(), 'fuzz-rows-'));
    const path = join(dir, name);
    writeFileSync(path, bytes);
    const options = { path, columns: ['text'], range: WHOLE, compat: false, scratch: () => `${path}.tmp` };
    try {
      for await (const { rows } of batchesOf(options))
        for (const { row } of rows) if (!Number.isSafeInteger(row)) throw new TypeError(`row ${row}`);
    } catch (error) {
      const refused = error instanceof ApplicationFailure && ['DataCorrupt', 'InvalidInput'].includes(error.type ?? '');
      if (!refused || !error.message.includes(path)) throw error;
    }
  },
  close() {
    if (dir) rmSync(dir, { recursive: true, force: true });
    dir = undefined;
    return Promise.resolve();
  },
}));
