/** A dataset's text lies on a node once when it is made, and is there again when it is needed again. */
import { gzipSync } from 'node:zlib';
import { mkdir, readdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { sealArtifact } from '../../activities/artifact.js';
import { createDataActivities } from '../../activities/data-activities.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { makeCorpus } from '../../infra/demo/corpus.js';
import { startHub } from '../../infra/demo/hub.js';
import { tempDir } from '../support/temp-dir.js';
import { root } from '../../workers/config.js';
import { run, testNode } from '../support/test-node.js';

const DIR = 'datasets/k';
const TOKENIZER = 'models/t/tokenizer';

/** A hub with a table of two texts and the demo's tokenizer. */
async function hub(): Promise<string> {
  const at = await tempDir();
  await mkdir(join(at, 'datasets/a/text'), { recursive: true });
  await writeFile(join(at, 'datasets/a/text/one.jsonl'), '{"text":"call me Ishmael"}\n{"text":"some years ago"}\n');
  await writeFile(join(at, 'datasets/a/text/two.jsonl.gz'), gzipSync('{"text":"never mind how long"}'));
  const { url, close } = await startHub({ root: at });
  onTestFinished(close);
  return url;
}

/** Fetches, preprocesses and merges, as a run does. */
async function make(node: NodeDeps): Promise<string> {
  const { listSource, fetchFiles, preprocessShard, mergeShards } = createDataActivities(node);
  const { resolved, files } = await run(listSource, { source: 'hf://datasets/a/text@main/*.jsonl' });
  const key = 'k';
  const input = `${DIR}/input/1`;
  await run(fetchFiles, { source: resolved, files, dir: input });
  const { artifact } = await run(preprocessShard, {
    ...{ key, shard: 0, of: 1, input, files: ['one.jsonl'], slice: { index: 0, of: 1 } },
    ...{ tokenizer: TOKENIZER, keys: ['text'], appendEod: true, vocabSize: 200_000 },
  });
  const merged = await run(mergeShards, { key, keys: ['text'], shards: [{ artifact, from: [] }] });
  return merged.artifact.digest;
}

async function node(): Promise<NodeDeps> {
  const tokenizer = join(await makeCorpus(join(root, '.cache/demo-hub')), 'models/demo/qwen3-tiny');
  const deps = await testNode('n1', { hfEndpoint: await hub(), sourceRoots: [root] });
  const { listSource, fetchFiles } = createDataActivities(deps);
  const source = `file://${tokenizer}/tokenizer*`;
  const { resolved, files } = await run(listSource, { source });
  await run(fetchFiles, { source: resolved, files, dir: TOKENIZER });
  return deps;
}

const stored = ({ dataDir }: NodeDeps) => readdir(join(dataDir, 'files/sha256')).catch(() => []);
const tree = ({ dataDir }: NodeDeps, dir = DIR) => readdir(join(dataDir, dir)).then((names) => names.sort());

it('loses its input and shards, in the content store too, and is whole; damaged, it is made again', async () => {
  const deps = await node();
  const { findArtifact, removeParts } = createDataActivities(deps);
  const before = (await stored(deps)).length;
  const digest = await make(deps);
  expect(await run(findArtifact, { dir: DIR })).toMatchObject({ artifact: { digest }, parts: true });
  expect((await stored(deps)).length).toBe(before + 1);

  expect((await run(removeParts, { dir: DIR })).bytes).toBeGreaterThan(53);
  expect(await tree(deps, `${DIR}/input`)).toEqual([]);
  expect(await tree(deps, `${DIR}/shards`)).toEqual([]);
  expect((await stored(deps)).length).toBe(before);
  const found = await run(findArtifact, { dir: DIR, prove: true });
  expect(found).toMatchObject({ artifact: { digest } });
  expect(found).not.toHaveProperty('parts');

  await truncate(join(deps.dataDir, DIR, 'prefix_text_document.bin'), 1);
  expect(await run(findArtifact, { dir: DIR })).toEqual({ damaged: true });
  expect(await make(deps)).toBe(digest);
});

/** Something that is whole, with fetched input beside it. */
async function fetched(deps: NodeDeps, ...keys: string[]): Promise<void> {
  const { listSource, fetchFiles } = createDataActivities(deps);
  const { resolved, files } = await run(listSource, { source: 'hf://datasets/a/text@main/*.gz' });
  for (const key of keys) await run(fetchFiles, { source: resolved, files, dir: `datasets/${key}/input/1` });
  await writeFile(join(deps.dataDir, DIR, 'prefix.bin'), 'tokens');
}

it('keeps its parts for as long as it is not whole', async () => {
  const deps = await testNode('n1', { hfEndpoint: await hub(), sourceRoots: [root] });
  const { removeParts } = createDataActivities(deps);
  await fetched(deps, 'k');
  expect(await run(removeParts, { dir: DIR })).toEqual({ bytes: 0 });
  expect(await tree(deps, `${DIR}/input/1`)).toContain('two.jsonl.gz');
  await sealArtifact(deps.dataDir, DIR, ['prefix.bin']);
  expect((await run(removeParts, { dir: DIR })).bytes).toBeGreaterThan(0);
  expect(await stored(deps)).toEqual([]);
});

it('leaves what another dataset is being made of', async () => {
  const deps = await testNode('n1', { hfEndpoint: await hub(), sourceRoots: [root] });
  const { removeParts } = createDataActivities(deps);
  await fetched(deps, 'k', 'other');
  await sealArtifact(deps.dataDir, DIR, ['prefix.bin']);
  expect((await run(removeParts, { dir: DIR })).bytes).toBeGreaterThan(0);
  expect(await stored(deps)).toHaveLength(1);
  expect(await tree(deps, 'datasets/other/input/1')).toContain('two.jsonl.gz');
});
