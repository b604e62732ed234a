/** A process of its own for npm `tokenizers`, whose 200 MB the encoding process then does not need: see ask-oracle.ts. */
import { readFile } from 'node:fs/promises';
import { createSlowEncoder } from './slow.js';

export interface OracleQuestion {
  /** Path of a tokenizer.json. */
  tokenizer: string;
  texts: string[];
}

export type OracleAnswer = { ids: Int32Array[] } | { failed: string };

const answer = (message: OracleAnswer) => process.send!(message, () => process.disconnect());

process.once('message', ({ tokenizer, texts }: OracleQuestion) => {
  readFile(tokenizer)
    .then(async (json) => createSlowEncoder(json).encode(texts))
    .then((ids) => answer({ ids: ids.map((each) => Int32Array.from(each)) }))
    .catch((error: unknown) => answer({ failed: error instanceof Error ? error.message : String(error) }));
});
