/** The slow path, and the judge of the fast one: npm `tokenizers`, which is Hugging Face's own. */
import { Tokenizer } from 'tokenizers';
import { collectYoung } from './collect-young.js';

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
    async encode(texts) {
      const ids: number[][] = [];
      for (const portion of portions(texts)) {
        for (const encoding of await tokenizer.encodeBatch(portion)) ids.push(encoding.getIds());
        collectYoung();
      }
      return ids;
    },
    idOf: (token) => tokenizer.tokenToId(token) ?? undefined,
  };
}

/** Characters that are given to the library together, if they are of several texts: it takes up to a kilobyte for each. */
const TOGETHER = 64 * 1024;

function* portions(texts: string[]): Generator<string[]> {
  let portion: string[] = [];
  let characters = 0;
  for (const text of texts) {
    if (characters + text.length > TOGETHER && portion.length > 0) {
      yield portion;
      [portion, characters] = [[], 0];
    }
    portion.push(text);
    characters += text.length;
  }
  if (portion.length > 0) yield portion;
}
