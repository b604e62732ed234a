/** A process of its own for npm `tokenizers`, whose 200 MB the encoding process then does not need: see ask-oracle.ts. */
import { readTokenizer } from './read-tokenizer.js';
import { createSlowEncoder } from './slow.js';

export interface OracleQuestion {
  /** Its directory. */
  tokenizer: string;
  texts: string[];
}

export type OracleAnswer = { ids: Int32Array[] } | { failed: string };

const answer = (message: OracleAnswer) => process.send!(message, () => process.disconnect());

process.once('message', ({ tokenizer, texts }: OracleQuestion) => {
  readTokenizer(tokenizer)
    .then(async (found) => {
      if (!found) throw new Error(`${tokenizer} has no tokenizer.json`);
      return createSlowEncoder(found.json).encode(texts);
    })
    .then((ids) => answer({ ids: ids.map((each) => Int32Array.from(each)) }))
    .catch((error: unknown) => answer({ failed: error instanceof Error ? error.message : String(error) }));
});
