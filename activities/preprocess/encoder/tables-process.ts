/** Computes the tables of a tokenizer, leaves them in a folder and ends: see tables-elsewhere.ts. */
import { readFile } from 'node:fs/promises';
import { keepPieces } from '../character-pieces.js';
import { loadFast } from './load-fast.js';

export interface TablesJob {
  /** Path of a tokenizer.json. */
  tokenizer: string;
  tablesIn: string;
}

process.on('disconnect', () => process.exit(1));
process.once('message', ({ tokenizer, tablesIn }: TablesJob) => {
  readFile(tokenizer)
    .then(async (json) => {
      await keepPieces(json, tablesIn);
      await loadFast(json, tablesIn);
    })
    .then(
      () => process.exit(0),
      () => process.exit(1),
    );
});
