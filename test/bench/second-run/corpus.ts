/** A hub's data set of real text that can grow by a file: the demo's speeches over and over, no line twice the same. */
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { makeCorpus, readSpeeches } from '../../../infra/demo/corpus.js';
import { root } from '../../../workers/config.js';

const ROWS_IN_GROUP = 24;

export interface GrowingCorpus {
  /** For `startHub`. */
  root: string;
  /** Writes the next file, of so many bytes of text, after all others in order of names. */
  add(bytes: number): Promise<void>;
}

export async function growingCorpus(dir: string): Promise<GrowingCorpus> {
  await cp(join(await makeCorpus(join(root, '.cache/demo-hub')), 'models'), join(dir, 'models'), { recursive: true });
  const data = join(dir, 'datasets/demo/sotu/data');
  await mkdir(data, { recursive: true });
  const speeches = (await readSpeeches()).map(({ text }) => text);
  let [files, rows] = [0, 0];
  return {
    root: dir,
    async add(wanted) {
      const texts: string[] = [];
      for (let bytes = 0; bytes < wanted; rows++) {
        const text = numbered(speeches[rows % speeches.length]!, rows);
        texts.push(text);
        bytes += Buffer.byteLength(text);
      }
      const columnData = [{ name: 'text', data: texts, type: 'STRING' as const }];
      const name = `part-${String(files++).padStart(5, '0')}.parquet`;
      await writeFile(join(data, name), Buffer.from(parquetWriteBuffer({ columnData, rowGroupSize: ROWS_IN_GROUP })));
    },
  };
}

const numbered = (text: string, row: number): string =>
  text
    .split('\n')
    .map((line, number) => `${row}.${number} ${line}`)
    .join('\n');
