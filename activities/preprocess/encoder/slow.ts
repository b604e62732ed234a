/** The slow path, and the judge of the fast one: npm `tokenizers`, which is Hugging Face's own. */
import { Tokenizer } from 'tokenizers';

export interface SlowEncoder {
  encode(texts: string[]): Promise<number[][]>;
  idOf(token: string): number | undefined;
}

/** Throws where the library does: it takes a second for a large vocabulary. */
export function createSlowEncoder(json: Buffer): SlowEncoder {
  const tokenizer = Tokenizer.fromString(json.toString('utf8'));
  // As transformers does, whatever the file says.
  tokenizer.disableTruncation();
  tokenizer.disablePadding();
  return {
    encode: async (texts) => (await tokenizer.encodeBatch(texts)).map((encoding) => encoding.getIds()),
    idOf: (token) => tokenizer.tokenToId(token) ?? undefined,
  };
}
