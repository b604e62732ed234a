/** Computes the tables of a tokenizer, leaves them in a folder and ends: see tables-elsewhere.ts. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { keepPieces } from '../character-pieces.js';
import { loadFast } from './load-fast.js';
import { readTokenizer } from './read-tokenizer.js';

export interface TablesJob {
  /** Its directory. */
  tokenizer: string;
  tablesIn: string;
}

process.on('disconnect', () => process.exit(1));
process.once('message', ({ tokenizer, tablesIn }: TablesJob) => {
  readFile(join(tokenizer, 'tokenizer.json'))
    .then(async (json) => {
      await keepPieces(json, tablesIn);
      await loadFast((await readTokenizer(tokenizer))!.json, tablesIn);
    })
    .then(
      () => process.exit(0),
      () => process.exit(1),
    );
});
