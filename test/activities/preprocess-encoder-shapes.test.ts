/** Tokenizers that cut texts in other ways than Qwen's: each gives npm `tokenizers`' ids on the fast path too. */
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { byteLevelAlphabet } from '../../activities/preprocess/encoder/byte-level.js';
import { adversarial, odd } from '../support/encoder/adversarial.js';
import { type Both, compare, idsOf, loadBoth, readTokenizer } from '../support/encoder/compare.js';
import { locales, translations } from '../support/encoder/corpus.js';
import { DEEPSEEK3, GPT2, LLAMA3 } from '../support/encoder/tokenizers.js';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

// In full: npx tsx test/activities/encoder-fuzz.ts --tokenizer <directory>
describe.each([
  ['Llama 3', LLAMA3],
  ['GPT-2', GPT2],
  ['DeepSeek V3', DEEPSEEK3],
])("%s's own tokenizer", (_, dir) => {
  let both: Both;
  beforeAll(async () => void (both = await loadBoth(await readTokenizer(dir))));

  test('gives the same ids for a slice of the adversarial texts, random and real ones', async () => {
    const thinned = (texts: Iterable<string>) => [...texts].filter((_, index) => index % 16 === 3);
    const texts = [
      ...thinned(adversarial(both.added)),
      ...odd(both.added, 8, 500),
      ...thinned(await translations()),
      ...thinned(await locales()),
    ];
    expect(texts.length).toBeGreaterThan(3_000);
    expect((await compare(both, texts)).differing).toEqual([]);
  });

  test('cuts long texts where that changes nothing', async () => {
    const spaceless = (await translations()).join('').replace(/[\p{ASCII}\s]+/gu, '');
    const long = [
      [...odd(both.added, 9, 8_000)].join(''),
      spaceless.repeat(Math.ceil(1_200_000 / Buffer.byteLength(spaceless))),
    ];
    for (const text of long) expect(Buffer.byteLength(text)).toBeGreaterThan(2 ** 20);
    expect((await compare(both, long)).differing).toEqual([]);
  });

  test.runIf(dir === LLAMA3)(
    'has words that no merges make, whole by themselves, and not as parts of others',
    async () => {
      const json = (await readTokenizer(dir)).toString('utf8');
      const { vocab } = (JSON.parse(json) as { model: { vocab: Record<string, number> } }).model;
      const byteOf = new Map(byteLevelAlphabet.map((char, byte) => [char, byte]));
      const words = Object.keys(vocab)
        .filter((word) => vocab[word]! > 100_000 && vocab[word]! % 4 === 0)
        .map((word) => Buffer.from(Array.from(word, (char) => byteOf.get(char)!)).toString('utf8'))
        .filter((word) => !word.includes('\ufffd'));
      expect(words.length).toBeGreaterThan(5_000);
      // No piece of the vocabulary lies across a boundary with these, so that the word beside them is encoded apart.
      const parts = words.flatMap((word) => [`鷗${word.trim()}鷗鷗鷗鷗鷗`, `${word}ꙮꙮꙮꙮꙮ${word.trim()}`]);
      expect((await compare(both, [...words, ...parts, ...words])).differing).toEqual([]);
      const ids = idsOf((take) => both.fast.encodeText(' việc', take));
      expect(ids).toEqual([vocab['Ġviá»ĩc']]);
    },
  );
});
