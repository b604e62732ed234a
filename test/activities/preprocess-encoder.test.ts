/** Which way an encoder goes, what it says of it, and what it leaves behind. */
import { cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  describeDifference,
  type Encoder,
  ensureTables,
  loadEncoder,
  NotEncodable,
} from '../../activities/preprocess/encode.js';
import { encodeInPieces, PIECE } from '../../activities/preprocess/encode-pieces.js';
import { type Config } from '../../activities/preprocess/encoder/read-tokenizer.js';
import { specialIds } from '../../activities/preprocess/tokenizer-facts.js';
import { makeCorpus } from '../../infra/demo/corpus.js';
import { root } from '../../workers/config.js';
import { loadFast } from '../../activities/preprocess/encoder/load-fast.js';
import { recogniseShape, type TokenizerJson } from '../../activities/preprocess/encoder/shape.js';
import { loadProgram } from '../../activities/preprocess/encoder/wasm.js';
import { speeches } from '../support/encoder/corpus.js';
import { compare, idsOf, loadBoth, readTokenizer } from '../support/encoder/compare.js';
import { createRandom } from '../support/encoder/random.js';
import { changedQwen3, QWEN3, sequence, special, template } from '../support/encoder/tokenizers.js';
import { makeTablesWrong } from '../support/encoder/wrong-tables.js';
import { tempDir } from '../support/temp-dir.js';

const FAST = { kind: 'fast' };
const textsOf = (texts: string[]) => texts.map((text) => ({ text }));

/** Those of Qwen3, which take seconds to compute. */
let tables: string;
beforeAll(async () => {
  tables = await mkdtemp(join(tmpdir(), 'tables-'));
  await ensureTables(QWEN3, tables);
});
afterAll(() => rm(tables, { recursive: true }));

async function copyOfTables(): Promise<string> {
  const dir = await tempDir();
  await cp(tables, dir, { recursive: true });
  return dir;
}

async function tokenizerDir(json: string | Buffer): Promise<string> {
  const dir = await tempDir();
  await writeFile(join(dir, 'tokenizer.json'), json);
  await cp(join(QWEN3, 'tokenizer_config.json'), join(dir, 'tokenizer_config.json'));
  return dir;
}

describe('an encoder of Qwen3', () => {
  let encoder: Encoder;
  beforeAll(async () => void (encoder = await loadEncoder(QWEN3, { tablesIn: tables })));

  test("goes the fast way, and knows the tokenizer's own end of sequence", () => {
    expect(encoder.path).toEqual(FAST);
    expect(encoder.eod).toBe(151_645);
  });

  test('gives the ids of a batch end to end, of strings and of UTF-8 alike', async () => {
    const { ids, ends } = await encoder.encodeBatch(['Hello world', Buffer.from('中文'), '', '<|im_end|>é']);
    expect([...ids]).toEqual([9707, 1879, 104811, 151645, 963]);
    expect(ends).toEqual([2, 3, 3, 5]);
  });

  test('keeps the ids of an earlier call of encode', async () => {
    const [first] = await encoder.encode(['Hello world']);
    await encoder.encode(['something else']);
    expect([...Array.from(first!)]).toEqual([9707, 1879]);
  });

  test('refuses bytes that are not UTF-8, naming the document, and goes on', async () => {
    const latin = Buffer.from([0x63, 0x61, 0x66, 0xe9]);
    const refused = encoder.encodeBatch(['fine', latin]);
    await expect(refused).rejects.toThrow(NotEncodable);
    await expect(refused).rejects.toMatchObject({ document: 1, message: 'not UTF-8, between the bytes 0 and 4' });
    await expect(encoder.encodeBatch([Buffer.from('中').subarray(0, 2)])).rejects.toThrow('not UTF-8');
    expect([...(await encoder.encodeBatch(['Hello world'])).ids]).toEqual([9707, 1879]);
  });

  test('refuses more than 4 MiB of one character, which has no place to cut, and goes on', async () => {
    await expect(encoder.encodeBatch(['x '.repeat(1000) + '='.repeat(5_000_000)])).rejects.toThrow(
      /^the 4194304 bytes from byte 1999 on are characters of one kind, without a space/,
    );
    expect([...(await encoder.encodeBatch(['Hello world'])).ids]).toEqual([9707, 1879]);
  });

  test('does not grow with what it has seen', async () => {
    const random = createRandom(1);
    const word = () =>
      Array.from({ length: 4 + random.below(24) }, () => String.fromCharCode(97 + random.below(26))).join('');
    const words = () => Array.from({ length: 100_000 }, word).join(' ');
    await encoder.encodeBatch([words()]);
    const before = process.memoryUsage().arrayBuffers;
    const text = words();
    for (const again of [text, words(), words(), words(), text]) await encoder.encodeBatch([again]);
    // About half a million different words went through a cache that holds fewer, which forgot and is still right.
    expect(await encoder.checkAgainstOracle([{ text }])).toBeUndefined();
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8e6);
  });

  test('agrees with npm tokenizers on a sample, and stays on the fast way', async () => {
    expect(await encoder.checkAgainstOracle(textsOf((await speeches()).slice(0, 20)))).toBeUndefined();
    expect(encoder.path).toEqual(FAST);
  });
});

describe('tables that are kept', () => {
  const tablesIn = async (dir: string) =>
    (await readdir(dir)).filter((name) => name.endsWith('.tables')).map((name) => join(dir, name));

  test('make the next encoder quicker, and it gives the same ids', async () => {
    const dir = await copyOfTables();
    const cpuOf = async <T>(work: () => Promise<T>): Promise<[T, number]> => {
      const start = process.cpuUsage();
      const done = await work();
      const { user, system } = process.cpuUsage(start);
      return [done, user + system];
    };
    const [first, made] = await cpuOf(() => loadEncoder(QWEN3));
    const [file] = await tablesIn(dir);
    const { mtimeMs } = await stat(file!);
    const [second, read] = await cpuOf(() => loadEncoder(QWEN3, { tablesIn: dir }));
    expect(read).toBeLessThan(made / 4);
    expect(second.path).toEqual(FAST);
    expect(second.eod).toBe(first.eod);
    const texts = (await speeches()).slice(0, 20);
    expect(await second.encode(texts)).toEqual(await first.encode(texts));
    expect((await stat(file!)).mtimeMs).toBe(mtimeMs);
  });

  test.each([
    ['cut short', (bytes: Buffer) => bytes.subarray(0, bytes.length / 2)],
    ['empty', () => Buffer.alloc(0)],
    ['changed in one bit', (bytes: Buffer) => (bytes.set([bytes[2_000_000]! ^ 1], 2_000_000), bytes)],
  ])('and are %s are made anew', async (_, damage) => {
    const dir = await copyOfTables();
    const [file] = await tablesIn(dir);
    const whole = await readFile(file!);
    await writeFile(file!, damage(Buffer.from(whole)));
    const encoder = await loadEncoder(QWEN3, { tablesIn: dir });
    expect([...(await encoder.encodeBatch(['Hello world'])).ids]).toEqual([9707, 1879]);
    expect(await tablesIn(dir)).toEqual([file]);
    expect(digest(await readFile(file!))).toBe(digest(whole));
  });

  test('belong to one content of tokenizer.json', async () => {
    const dir = await copyOfTables();
    const other = await tokenizerDir(await changedQwen3((json) => void json.added_tokens.pop()));
    await rm(join(other, 'tokenizer_config.json'));
    const encoder = await loadEncoder(other, { tablesIn: dir });
    expect(await tablesIn(dir)).toHaveLength(2);
    expect((await encoder.encodeBatch(['</think>'])).ids.length).toBeGreaterThan(1);
  });

  test('cannot be kept where a file stands in the way, which costs time only', async () => {
    const dir = join(await tempDir(), 'tables');
    await writeFile(dir, 'not a folder');
    expect((await loadEncoder(QWEN3, { tablesIn: dir })).path).toEqual(FAST);
  });
});

test('an id that differs stops the fast way, with both sequences and the text, and the rest is encoded right', async () => {
  const dir = await copyOfTables();
  const right = await loadEncoder(QWEN3, { tablesIn: dir });
  // That of " world".
  await makeTablesWrong(dir, 1879);
  const wrong = await loadEncoder(QWEN3, { tablesIn: dir });
  expect(wrong.path).toEqual(FAST);
  const sample = ['all is well', 'Hello world, hello'];
  const difference = await wrong.checkAgainstOracle(textsOf(sample));
  expect(difference).toMatchObject({ index: 1, text: 'Hello world, hello', at: 1 });
  expect(difference?.slow).toEqual([9707, 1879, 11, 23811]);
  expect(difference?.fast).toEqual([9707, 1880, 11, 23811]);
  const reason = describeDifference(difference!);
  expect(reason).toBe(
    `fast and npm tokenizers' ids differ from id 1 on: [9707 1880 11 23811], expected [9707 1879 11 23811], in the text "Hello world, hello"`,
  );
  expect(wrong.path).toEqual({ kind: 'slow', reason });
  expect(await wrong.encode(sample)).toEqual(await right.encode(sample));
  // The next process computes tables of its own.
  expect(await (await loadEncoder(QWEN3, { tablesIn: dir })).encode(sample)).toEqual(await right.encode(sample));
});

test('what was found right once is known by text and ids, and not asked again', async () => {
  const dir = await copyOfTables();
  const tokenizer = await tokenizerDir(await readTokenizer(QWEN3));
  const encoder = await loadEncoder(tokenizer, { tablesIn: dir });
  expect(await encoder.checkAgainstOracle(textsOf(['Hello world']))).toBeUndefined();
  // Whoever is asked now cannot answer.
  await rm(join(tokenizer, 'tokenizer.json'));
  expect(await encoder.checkAgainstOracle([{ text: 'Hello world', ids: [9707, 1879] }])).toBeUndefined();
  for (const other of [{ text: 'Hello' }, { text: 'Hello world', ids: [9707, 1880] }])
    await expect(encoder.checkAgainstOracle([other])).rejects.toThrow('tokenizer.json');
});

test('on the slow way, batches, UTF-8 and chunks give what they give on the fast one', async () => {
  const dir = await tokenizerDir(await readTokenizer(QWEN3));
  const path = join(dir, 'tokenizer_config.json');
  const config = JSON.parse(await readFile(path, 'utf8')) as Config;
  config.added_tokens_decoder!['151643']!.lstrip = true;
  await writeFile(path, JSON.stringify(config));
  const slow = await loadEncoder(dir);
  expect(slow.path).toEqual({ kind: 'slow', reason: 'added token "<|endoftext|>" has lstrip' });
  expect(slow.eod).toBe(151_645);
  const { ids, ends } = await slow.encodeBatch(['Hello world', Buffer.from('中文'), '']);
  expect([[...ids], ends]).toEqual([
    [9707, 1879, 104811],
    [2, 3, 3],
  ]);
  await expect(slow.encodeBatch(['', Buffer.from([0xff])])).rejects.toMatchObject({
    document: 1,
    message: 'not UTF-8',
  });
  const taken: number[] = [];
  const document = slow.open((portion) => taken.push(...portion));
  for (const byte of Buffer.from('Hello 中文')) await document.write(Uint8Array.of(byte));
  await document.end();
  expect(taken).toEqual([...(await slow.encodeBatch(['Hello 中文'])).ids]);
});

describe('on the slow way a long text is cut, and has the ids that it has as a whole, with a tokenizer', () => {
  const ids = { '<s>': 0, '</s>': 1, '\u2581some': 2, '\u2581words': 3, some: 4, words: 5, '<unk>': 6, '\u2581': 7 };
  const around = {
    ...{ type: 'TemplateProcessing', pair: [sequence, { Sequence: { id: 'B', type_id: 1 } }] },
    special_tokens: Object.fromEntries(['<s>', '</s>'].map((id, n) => [id, { id, ids: [n], tokens: [id] }])),
  };
  const words = { model: { type: 'WordLevel', vocab: ids, unk_token: '<unk>' }, pre_tokenizer: { type: 'Whitespace' } };
  const spaces = { type: 'Metaspace', replacement: '\u2581', prepend_scheme: 'always', split: true };
  const behind = { ...around, single: [sequence, special('</s>')] };

  test.each<[what: string, json: object]>([
    ['that puts nothing around it', words],
    ['that puts a token before it', { ...words, post_processor: { ...around, single: [special('<s>'), sequence] } }],
    ['that puts a token behind it, as T5 does', { ...words, post_processor: behind }],
    [
      'that puts tokens before and behind it, as BERT does',
      { ...words, post_processor: { ...around, single: [special('<s>'), special('<s>'), sequence, special('</s>')] } },
    ],
    ['that puts a space before it', { ...words, pre_tokenizer: spaces, post_processor: behind }],
  ])('%s', async (_, json) => {
    const slow = await loadEncoder(await tokenizerDir(JSON.stringify({ version: '1.0', ...json })));
    let longest = 0;
    const encode: Encoder['encode'] = (texts) => {
      longest = Math.max(longest, ...texts.map(({ length }) => length));
      return slow.encode(texts);
    };
    const text = 'some words some '.repeat(PIECE / 7);
    const found: number[] = [];
    for await (const part of encodeInPieces({ ...slow, encode }, [text]))
      for (const id of Array.from(part)) found.push(id);
    expect(longest).toBeLessThan(2 * PIECE);
    expect(
      Buffer.from(Int32Array.from(found).buffer).equals(
        Buffer.from(Int32Array.from((await slow.encode([text]))[0]!).buffer),
      ),
    ).toBe(true);
  });
});

test('ids that do not follow the order of the merges are those of the vocabulary', async () => {
  const dir = join(await makeCorpus(join(root, '.cache/demo-hub')), 'models/demo/qwen3-tiny');
  const json = JSON.parse((await readTokenizer(dir)).toString('utf8')) as { model: { vocab: Record<string, number> } };
  const { vocab } = json.model;
  [vocab['Ġthe'], vocab['Ġof']] = [vocab['Ġof']!, vocab['Ġthe']!];
  const both = await loadBoth(Buffer.from(JSON.stringify(json)));
  const texts = (await speeches()).slice(0, 5);
  expect(idsOf((take) => both.fast.encodeText(' the of', take))).toEqual([vocab['Ġthe'], vocab['Ġof']]);
  expect((await compare(both, texts)).differing).toEqual([]);
});

describe('what tokenizer_config.json says of tokens', () => {
  let tiny: string;
  beforeAll(async () => void (tiny = join(await makeCorpus(join(root, '.cache/demo-hub')), 'models/demo/qwen3-tiny')));

  async function changed(change: (config: Config) => void, map?: Config): Promise<string> {
    const dir = await tempDir();
    await cp(join(tiny, 'tokenizer.json'), join(dir, 'tokenizer.json'));
    const config = JSON.parse(await readFile(join(tiny, 'tokenizer_config.json'), 'utf8')) as Config;
    change(config);
    await writeFile(join(dir, 'tokenizer_config.json'), JSON.stringify(config));
    if (map) await writeFile(join(dir, 'special_tokens_map.json'), JSON.stringify(map));
    return dir;
  }
  const endOfTurn = (config: Config) => config.added_tokens_decoder!['4072']!;

  // Ids of transformers 4.57.1.
  test.each<[what: string, text: string, expected: number[], change: (config: Config) => void]>([
    [
      'adds one',
      'hello <doc> world',
      [71, 301, 385, 220, 4096, 1879],
      (config) => (config.added_tokens_decoder!['9000'] = { ...endOfTurn(config), content: '<doc>' }),
    ],
    [
      'lets one take the space before it',
      ' a <|im_end|>b',
      [264, 4072, 65],
      (config) => (endOfTurn(config).lstrip = true),
    ],
  ])('%s: the ids are those of transformers, and the judge agrees', async (_, text, expected, change) => {
    const tablesIn = await tempDir();
    const dir = await changed(change);
    for (const encoder of [await loadEncoder(dir), await loadEncoder(dir, { tablesIn })]) {
      expect(Array.from((await encoder.encode([text]))[0]!)).toEqual(expected);
      expect(await encoder.checkAgainstOracle([{ text }])).toBeUndefined();
      expect(encoder.warnings).toEqual([]);
    }
  });

  test('where it lists none, tokenizer.json says which are special, and special_tokens_map.json what ends a document', async () => {
    const dir = await changed(
      (config) => {
        delete config.added_tokens_decoder;
        delete config.eos_token;
      },
      { eos_token: '<|im_start|>' },
    );
    expect(await specialIds(dir)).toEqual(await specialIds(tiny));
    expect((await specialIds(dir)).has(4070)).toBe(true);
    expect((await loadEncoder(dir)).eod).toBe(4071);
  });

  test.each<[field: string, value: unknown]>([
    ['added_tokens_decoder', { 9: '<doc>' }],
    ['eos_token', 7],
    ['additional_special_tokens', ['<a>', {}]],
  ])('%s that has something else for a token is refused by name', async (field, value) => {
    const dir = await changed((config) => Object.assign(config, { [field]: value }));
    const message = expect.stringMatching(`tokenizer_config.json: ${field}: expected a token`) as string;
    await expect(loadEncoder(dir)).rejects.toMatchObject({ type: 'InvalidInput', nonRetryable: true, message });
  });

  test.each<[what: string, change: Config, warning: RegExp]>([
    ['a class that is not known', { tokenizer_class: 'GemmaTokenizer' }, /the class GemmaTokenizer/],
    ['markers that are to be text', { split_special_tokens: true }, /split_special_tokens/],
  ])('%s makes a warning', async (_, change, warning) => {
    const { warnings } = await loadEncoder(await changed((config) => Object.assign(config, change)));
    expect(warnings).toEqual([expect.stringMatching(warning)]);
  });
});

test('a tokenizer.json that is none is refused by name', async () => {
  const refused = { type: 'InvalidInput', nonRetryable: true };
  for (const json of ['{"model":', '{}', '[]'])
    await expect(loadEncoder(await tokenizerDir(json))).rejects.toMatchObject({
      ...refused,
      message: expect.stringMatching(/^tokenizer .*\/tokenizer\.json: /) as string,
    });
});

describe('a shape that the fast way does not know', () => {
  const plain = (): TokenizerJson & Record<string, unknown> => ({
    added_tokens: [],
    normalizer: { type: 'NFC' },
    pre_tokenizer: structuredClone(known.pre_tokenizer),
    post_processor: null,
    model: { type: 'BPE', vocab: { a: 0 }, merges: [] },
  });
  let known: { pre_tokenizer: { pretokenizers: Record<string, unknown>[] } };
  beforeAll(async () => {
    known = JSON.parse((await readTokenizer(QWEN3)).toString('utf8')) as typeof known;
  });
  const token = { id: 1, content: '<x>', single_word: false, lstrip: false, rstrip: false, normalized: false };
  type Change = (json: ReturnType<typeof plain>) => void;
  const steps = (json: ReturnType<typeof plain>) => (json.pre_tokenizer as typeof known.pre_tokenizer).pretokenizers;

  test('differs in something from one that it knows', () => {
    expect(recogniseShape(plain())).toMatchObject({ shape: { nfc: true, splitter: 'qwen', added: [] } });
  });

  test.each<[string, Change]>([
    ['model.type is "WordPiece"', (json) => (json.model!.type = 'WordPiece')],
    ['model.dropout is 0.1', (json) => (json.model!.dropout = 0.1)],
    ['model.byte_fallback is true', (json) => (json.model!.byte_fallback = true)],
    ['model.unk_token is "<unk>"', (json) => (json.model!.unk_token = '<unk>')],
    ['model.fuse_unk is true', (json) => (json.model!.fuse_unk = true)],
    ['model.continuing_subword_prefix is "##"', (json) => (json.model!.continuing_subword_prefix = '##')],
    ['model.end_of_word_suffix is "</w>"', (json) => (json.model!.end_of_word_suffix = '</w>')],
    ['normalizer is {"type":"NFKC"}', (json) => (json.normalizer = { type: 'NFKC' })],
    ['pre_tokenizer is {"type":"Metaspace"}', (json) => (json.pre_tokenizer = { type: 'Metaspace' })],
    ['pre_tokenizer.pattern is not one', (json) => (steps(json)[0]!['pattern'] = { Regex: '\\s+' })],
    ['pre_tokenizer.behavior is "Removed"', (json) => (steps(json)[0]!['behavior'] = 'Removed')],
    ['pre_tokenizer.add_prefix_space is not false', (json) => (steps(json)[1]!['add_prefix_space'] = true)],
    ['pre_tokenizer.pattern is not one', (json) => (steps(json)[1]!['use_regex'] = true)],
    ['pre_tokenizer.pattern is not one', (json) => steps(json).shift()],
    ['added token "<x>" has rstrip', (json) => (json.added_tokens = [{ ...token, rstrip: true }])],
    ['added token "<x>" has single_word', (json) => (json.added_tokens = [{ ...token, single_word: true }])],
    ['added token "<x>" has the id 7, where 1 was expected', (json) => (json.added_tokens = [{ ...token, id: 7 }])],
    ['an added token is empty', (json) => (json.added_tokens = [{ ...token, content: '' }])],
    ['post_processor is {"type":"RobertaProcessing"}', (json) => (json.post_processor = { type: 'RobertaProcessing' })],
    [
      'post_processor.single has {"SpecialToken":{"id":"<bos>"',
      (json) => (json.post_processor = template([special('<bos>'), sequence])),
    ],
  ])('%s: says so', (reason, change) => {
    const json = plain();
    change(json);
    expect(recogniseShape(json)).toEqual({ reason: expect.stringContaining(reason) as string });
  });

  test.each<[string, (json: Required<TokenizerJson>) => void]>([
    [
      'model.vocab has no token for the byte 33',
      ({ model }) => {
        model.vocab['no byte'] = model.vocab['!']!;
        delete model.vocab['!'];
      },
    ],
    ['model.merges[151387] is there twice', ({ model }) => void model.merges.push(model.merges[0]!)],
    [
      'model.merges[0] is of tokens that model.vocab does not have',
      ({ model }) => void model.merges.unshift(['!', 'é!']),
    ],
    [
      'model.ignore_merges is true, and more tokens than can be known are not what their merges make',
      ({ model }) => {
        model.ignore_merges = true;
        model.merges = model.merges.slice(0, 100_000);
      },
    ],
  ])('%s: is encoded by npm tokenizers', async (reason, change) => {
    // npm tokenizers itself refuses merges of unknown tokens: the reason is asked for before.
    const loaded = await loadFast(await changedQwen3((json) => change(json)));
    expect(loaded).toEqual({ reason: expect.stringContaining(reason) as string });
  });
});

test('the program is there, made by npm run build', async () => {
  expect((await loadProgram())?.digest).toMatch(/^[0-9a-f]{64}$/);
});

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
