/** What the fast path is held against: drawn over all of an input, with the ids that were written, however long a text is. */
import { beforeAll, describe, expect, test } from 'vitest';
import { encodeLong } from '../../activities/preprocess/encode-long.js';
import type { Encoder } from '../../activities/preprocess/encode.js';
import { loadEncoder } from '../../activities/preprocess/encode.js';
import { createSample } from '../../activities/preprocess/sample.js';
import { join } from 'node:path';
import { makeCorpus } from '../../infra/demo/corpus.js';
import { root } from '../../workers/config.js';
import { speeches } from '../support/encoder/corpus.js';

describe('a sample of texts', () => {
  let encoder: Encoder;
  let text: string;
  beforeAll(async () => {
    encoder = await loadEncoder(join(await makeCorpus(join(root, '.cache/demo-hub')), 'models/demo/qwen3-tiny'));
    text = (await speeches()).slice(0, 40).join('\n');
  });
  const sampleWith = (...offers: [text: string | Uint8Array, ids: Int32Array][]) => {
    const sample = createSample(encoder.excerpts!);
    for (const [text, ids] of offers) sample.offer(text, ids);
    return sample.texts();
  };
  const idsOf = async (text: string) => Int32Array.from((await encoder.encode([text]))[0]!);

  test('has of a long one a part, and the ids that it was given as a part of it', async () => {
    const ids = await idsOf(text);
    const all = sampleWith(...Array.from({ length: 20 }, (): [Buffer, Int32Array] => [Buffer.from(text), ids]));
    expect(new Set(all.map((one) => one.text)).size).toBeGreaterThan(15);
    for (const { text: part, ids } of all) {
      expect(part.length).toBeLessThanOrEqual(4096);
      expect(ids).toEqual([...(await idsOf(part))]);
    }
  });

  test.each([
    ['wrong', (ids: Int32Array) => ids.map((id) => id + 1)],
    ['one too few', (ids: Int32Array) => ids.slice(1)],
    ['one too many', (ids: Int32Array) => Int32Array.from([5, ...ids])],
  ])('shows ids of a long one that are %s, though by itself any part would have the right ones', async (_, spoil) => {
    const wrong = spoil(await idsOf(text));
    for (const { text: part, ids } of sampleWith([text, wrong], [Buffer.from(text), wrong]))
      expect(ids).not.toEqual([...(await idsOf(part))]);
  });

  test('has of one that is encoded in pieces what is around the seams', async () => {
    const sample = createSample(encoder.excerpts!);
    let long = '';
    while (long.length < 3.5 * 2 ** 20) long += text;
    const pieces = Math.ceil(Buffer.byteLength(long) / 2 ** 20);
    for await (const _ of encodeLong(encoder, long, sample));
    const all = sample.texts();
    expect(all).toHaveLength(pieces - 1);
    for (const { text: part, ids } of all) {
      expect(part.length).toBeGreaterThan(2048);
      expect(ids).toEqual([...(await idsOf(part))]);
    }
  });

  test('has of one that cannot be cut near a place the text around it alone', () => {
    const text = `a ${'='.repeat(20_000)} b`;
    const [only] = sampleWith([text, new Int32Array(4)]);
    expect(only!.text).toMatch(/^(a )?=+$/);
  });

  test('is drawn from all of an input, 64 texts of however many', async () => {
    const sample = createSample(encoder.excerpts!);
    for (let i = 0; i < 3000; i++) sample.offer(String(i), Int32Array.of(i));
    const numbers = sample.texts().map(({ text }) => Number(text));
    expect(new Set(numbers).size).toBe(64);
    expect(numbers.filter((number) => number >= 1500).length).toBeGreaterThan(20);
  });
});
