import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { Tokenizer } from 'tokenizers';
import { expect, test } from 'vitest';
import { makeCorpus, readSpeeches } from '../../infra/demo/corpus.js';
import { filesBelow } from '../../activities/artifact.js';
import { root } from '../../workers/config.js';
import { tempDir } from '../support/temp-dir.js';

const corpus = () => makeCorpus(join(root, '.cache/demo-hub'));
const model = async () => join(await corpus(), 'models/demo/qwen3-tiny');

test('the corpus is the same bytes wherever and whenever it is made', async () => {
  const digests = async (dir: string) =>
    Promise.all(
      (await filesBelow(dir)).map(async (path) => [
        path,
        createHash('sha256')
          .update(await readFile(join(dir, path)))
          .digest('hex'),
      ]),
    );
  const made = await digests(await makeCorpus(join(await tempDir(), 'hub')));
  expect(made).toEqual(await digests(await corpus()));
  expect(made.map(([path]) => path)).toEqual([
    'datasets/demo/sotu/data/train-00000-of-00002.parquet',
    'datasets/demo/sotu/data/train-00001-of-00002.parquet',
    'models/demo/qwen3-tiny/config.json',
    'models/demo/qwen3-tiny/model.safetensors',
    'models/demo/qwen3-tiny/tokenizer.json',
    'models/demo/qwen3-tiny/tokenizer_config.json',
    'recipe',
  ]);
});

test('the parquet files hold all speeches in order, in several row groups', async () => {
  const rows: unknown[] = [];
  for (const index of [0, 1]) {
    const file = await asyncBufferFromFile(
      join(await corpus(), `datasets/demo/sotu/data/train-0000${index}-of-00002.parquet`),
    );
    expect((await parquetMetadataAsync(file)).row_groups.length).toBeGreaterThan(3);
    rows.push(...(await parquetReadObjects({ file })));
  }
  expect(rows).toEqual((await readSpeeches()).map(({ text, year, name, party }) => ({ text, year, name, party })));
});

test('the cut tokenizer has 4,096 tokens, loses nothing of the text, and pads with another token than it ends with', async () => {
  const tokenizer = Tokenizer.fromFile(join(await model(), 'tokenizer.json'));
  expect(tokenizer.getVocabSize()).toBe(4096);
  expect(Object.values(tokenizer.getVocab()).sort((a, b) => a - b)).toEqual(
    Array.from({ length: 4096 }, (_, id) => id),
  );
  expect(tokenizer.tokenToId('<|endoftext|>')).toBe(4070);
  expect(tokenizer.tokenToId('<|im_end|>')).toBe(4072);
  const config = JSON.parse(await readFile(join(await model(), 'tokenizer_config.json'), 'utf8')) as object;
  expect(config).toMatchObject({ eos_token: '<|im_end|>', pad_token: '<|endoftext|>' });
  const texts = (await readSpeeches()).slice(-4).map(({ text }) => text);
  for (const text of [...texts, 'naïve 第一 😀 <|im_start|>user\r\n\t']) {
    const ids = (await tokenizer.encode(text)).getIds();
    expect(await tokenizer.decode(ids, false)).toBe(text.normalize('NFC'));
  }
});

test('the weights are a safetensors file of the sizes in the configuration', async () => {
  const bytes = await readFile(join(await model(), 'model.safetensors'));
  const end = 8 + Number(bytes.readBigUInt64LE());
  const { __metadata__: _, ...tensors } = JSON.parse(bytes.toString('utf8', 8, end)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  expect(Object.keys(tensors)).toHaveLength(3 + 4 * 11);
  expect(tensors['model.layers.3.self_attn.k_proj.weight']).toMatchObject({ dtype: 'BF16', shape: [32, 64] });
  expect(end + Math.max(...Object.values(tensors).map(({ data_offsets }) => data_offsets[1]))).toBe(bytes.length);
  const values = ({ data_offsets: [from, to] }: { data_offsets: [number, number] }) =>
    Array.from({ length: (to - from) / 2 }, (_, i) => {
      const word = Buffer.alloc(4);
      bytes.copy(word, 2, end + from + 2 * i, end + from + 2 * i + 2);
      return word.readFloatLE();
    });
  expect(new Set(values(tensors['model.norm.weight']!))).toEqual(new Set([1]));
  const embedding = values(tensors['model.embed_tokens.weight']!);
  const mean = embedding.reduce((sum, value) => sum + value, 0) / embedding.length;
  const deviation = Math.sqrt(embedding.reduce((sum, value) => sum + (value - mean) ** 2, 0) / embedding.length);
  expect(Math.abs(mean)).toBeLessThan(2e-4);
  expect(deviation).toBeCloseTo(0.02, 3);
});
