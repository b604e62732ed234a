/** What a matrix has found so far, a line a case, so that one that was broken off goes on where it was. */
import { appendFile, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Row } from './invariants.js';

export interface Results {
  /** Cases that are done. */
  rows: Row[];
  add(row: Row): Promise<void>;
  /** The matrix is through: the next one starts anew. Returns where its rows are kept. */
  close(): Promise<string>;
}

/** @param of what is tried on what: rows of another build, or of other cases, count for nothing */
export async function openResults(dir: string, of: { build: string; cases: string[] }): Promise<Results> {
  const path = join(dir, 'unfinished.jsonl');
  const head = JSON.stringify(of);
  await mkdir(dir, { recursive: true });
  const [first, ...lines] = (await readFile(path, 'utf8').catch(() => '')).split('\n').slice(0, -1);
  const rows = first === head ? lines.map((line) => JSON.parse(line) as Row) : [];
  if (first !== head) await writeFile(path, `${head}\n`);
  return {
    rows,
    add: async (row) => {
      rows.push(row);
      await appendFile(path, `${JSON.stringify(row)}\n`);
    },
    close: async () => {
      const last = join(dir, 'last.jsonl');
      await rename(path, last);
      return last;
    },
  };
}
