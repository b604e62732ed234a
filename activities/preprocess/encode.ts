/** Text to token ids, by the tokenizer's own `tokenizer.json`. */
import { join } from 'node:path';
import { Tokenizer } from 'tokenizers';
import { readIfThere, readJson } from '../atomic.js';
import { failure, reasonOf } from '../failures.js';

export interface Encoder {
  /** The id that ends a document; `undefined` where the tokenizer names no end-of-sequence token. */
  eod: number | undefined;
  encode(texts: string[]): Promise<ArrayLike<number>[]>;
}

export async function loadEncoder(dir: string): Promise<Encoder> {
  const file = join(dir, 'tokenizer.json');
  const json = await readIfThere(file);
  if (!json)
    throw unusable(file, 'there is no such file; the native engine needs it (or set preprocess.engine to "mindspeed")');
  let tokenizer: Tokenizer;
  try {
    tokenizer = Tokenizer.fromString(json.toString('utf8'));
    // As transformers does, whatever the file says.
    tokenizer.disableTruncation();
    tokenizer.disablePadding();
  } catch (error) {
    throw unusable(file, reasonOf(error));
  }
  const eos = await eosToken(dir);
  const eod = eos === undefined ? null : tokenizer.tokenToId(eos);
  return {
    eod: eod ?? undefined,
    encode: async (texts) => (await tokenizer.encodeBatch(texts)).map((encoding) => encoding.getIds()),
  };
}

/** Not a constant: chat models end with another token than base models. */
async function eosToken(dir: string): Promise<string | undefined> {
  type Config = { eos_token?: string | { content: string } | null };
  const config = await readJson<Config>(join(dir, 'tokenizer_config.json'));
  const token = config?.eos_token ?? undefined;
  return typeof token === 'object' ? token.content : token;
}

const unusable = (file: string, why: string) =>
  failure('InvalidInput', `tokenizer ${file}: ${why}`, { nonRetryable: true });
