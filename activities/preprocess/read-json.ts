/** `.json`: one array of objects, which is read whole, or lines. */
import { open, readFile, stat } from 'node:fs/promises';
import { jsonLinesReader, rowOf } from './read-lines.js';
import { corrupt, type Reader, type Row } from './rows.js';

/** The longest string that V8 makes is a little more. */
const LARGEST_ARRAY = 500_000_000;

export const jsonReader: Reader = {
  async count(path) {
    return (await isArray(path)) ? (await readArray(path)).length : jsonLinesReader.count(path);
  },
  async *read(path, columns, range) {
    if (!(await isArray(path))) {
      yield* jsonLinesReader.read(path, columns, range);
      return;
    }
    const values = await readArray(path);
    const rows: Row[] = [];
    for (let row = range.from; row < Math.min(range.to, values.length); row++)
      rows.push(rowOf(values[row], path, row, columns));
    yield rows;
  },
};

async function isArray(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4096));
    return /^\ufeff?\s*\[/.test(buffer.toString('utf8', 0, bytesRead));
  } finally {
    await file.close();
  }
}

async function readArray(path: string): Promise<unknown[]> {
  const { size } = await stat(path);
  if (size > LARGEST_ARRAY)
    throw corrupt(path, undefined, `an array of ${size} bytes is too large: write one object a line`);
  const text = new TextDecoder('utf-8', { fatal: true }).decode(await readFile(path));
  return JSON.parse(text) as unknown[];
}
