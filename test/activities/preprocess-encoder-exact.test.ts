/** The fast path gives npm `tokenizers`' ids: every one, on texts made to break it, on random ones and on real ones. */
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { excerptsOf, type Joint } from '../../activities/preprocess/encoder/excerpt.js';
import { firstDifference } from '../../activities/preprocess/encoder/oracle.js';
import { adversarial, odd, sweep } from '../support/encoder/adversarial.js';
import { type Both, compare, idsOf, loadBoth, readTokenizer } from '../support/encoder/compare.js';
import { code, locales, speeches, translations } from '../support/encoder/corpus.js';
import { createRandom } from '../support/encoder/random.js';
import { changedQwen3, QWEN3, variants } from '../support/encoder/tokenizers.js';

// npm `tokenizers` takes its time, and more where other tests run beside it.
vi.setConfig({ testTimeout: 300_000 });

describe("Qwen3's own tokenizer", () => {
  let both: Both;
  beforeAll(async () => void (both = await loadBoth(await readTokenizer(QWEN3))));

  // All 40,418 of them: npx tsx test/activities/encoder-fuzz.ts
  test('every fourth of the adversarial texts: characters in three contexts, text that is not NFC, added tokens, long runs', async () => {
    const some = createRandom(7);
    const chosen = [...adversarial(both.added)].filter(() => some.chance(0.25));
    expect(chosen.length).toBeGreaterThan(9_500);
    expect(await compare(both, chosen)).toMatchObject({ texts: chosen.length, differing: [] });
  });

  // The whole million: npx tsx test/activities/encoder-fuzz.ts --count 1000000
  test('3,000 random texts', async () => {
    expect((await compare(both, odd(both.added, 1, 3_000))).differing).toEqual([]);
  });

  test('speeches, messages of programs in dozens of languages, and code', async () => {
    const thinned = (documents: string[]) => documents.filter((_, index) => index % 3 === 0);
    const texts = [
      ...thinned(await speeches()),
      ...thinned(await translations()),
      ...(await locales()),
      ...thinned(await code()),
    ];
    const compared = await compare(both, texts);
    expect(compared.differing).toEqual([]);
    expect(compared.bytes).toBeGreaterThan(3_000_000);
  });

  test('a document of several pieces is cut where that changes nothing', async () => {
    const long = (await speeches()).slice(0, 80).join('');
    const spaceless = (await translations())
      .join('')
      .replace(/\p{ASCII}+/gu, '')
      .repeat(2);
    const numbers = Array.from({ length: 250_000 }, (_, i) => (i % 7 === 0 ? `${i}\n` : `${i * 7919}, `)).join('');
    const odds = [...odd(both.added, 2, 9_000)].join('');
    for (const text of [long, spaceless, numbers, odds]) expect(Buffer.byteLength(text)).toBeGreaterThan(2 ** 20);
    expect((await compare(both, [long, spaceless, numbers, odds])).differing).toEqual([]);
  });

  test('what is told of the seams of a document, and of any other place in it, is what npm tokenizers makes of it', async () => {
    const text = [...(await speeches()).slice(0, 60), ...odd(both.added, 8, 1_000)].join('');
    const bytes = Buffer.from(text);
    const { jointIn, excerptAt } = excerptsOf(both.fast);
    const joints: Joint[] = [];
    const ids = idsOf((take) => {
      const document = both.fast.open(take, (joint) => void joints.push(joint));
      document.write(bytes);
      document.end();
    });
    expect(joints.length).toBeGreaterThan(1);
    const random = createRandom(8);
    const places = [0, bytes.length, ...Array.from({ length: 30 }, () => random.below(bytes.length))];
    joints.push(...places.map((byte) => jointIn(bytes, Int32Array.from(ids), byte)));
    const excerpts = joints.map((joint) => excerptAt(joint)!);
    expect(firstDifference(excerpts, await both.slow.encode(excerpts.map(({ text }) => text)))).toBeUndefined();
    for (const { text: part } of excerpts) {
      expect(part.length).toBeGreaterThan(100);
      expect(text).toContain(part);
    }
  });

  test('a document that comes in chunks, cut inside characters and tokens, has the same ids', async () => {
    const text = [...odd(both.added, 3, 6_000)].join('');
    const bytes = Buffer.from(text);
    const [whole] = await both.slow.encode([text]);
    const random = createRandom(4);
    const ids = idsOf((take) => {
      const document = both.fast.open(take);
      for (let at = 0; at < bytes.length;) {
        const next = at + random.below(random.chance(0.01) ? 500_000 : 900);
        document.write(bytes.subarray(at, next));
        at = Math.min(next, bytes.length);
      }
      document.end();
    });
    expect(ids).toEqual(whole);
  });
});

describe.each(Object.entries(variants))('with %s', (_, change) => {
  test('the ids are the same as well', async () => {
    const both = await loadBoth(await changedQwen3(change));
    const thinned = (texts: Iterable<string>) => [...texts].filter((_, index) => index % 16 === 0);
    const texts = [
      ...odd(both.added, 5, 500),
      ...thinned(sweep('a')),
      ...thinned(sweep('12 ')),
      ...(await locales()).slice(0, 20),
    ];
    expect((await compare(both, texts)).differing).toEqual([]);
  });
});
