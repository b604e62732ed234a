/** What a node has before each deed, what it is asked, and what passes for complete there. */
import { randomFillSync } from 'node:crypto';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isFile, readArtifact, sealArtifact, verifyArtifact } from '../../../activities/artifact.js';
import { iterationsIn, readTracker, sealShard, shardDir, TRACKER } from '../../../activities/checkpoint-files.js';
import { startFileService, type FileService } from '../../../activities/file-service.js';
import { grantAccess } from '../../../activities/grants.js';
import { readPart, type HeldPart } from '../../../activities/held-part.js';
import { unsafeStart } from '../../../activities/launch-checks.js';
import { checkpointsIn } from '../../../activities/list-checkpoints.js';
import { noCounts } from '../../../activities/preprocess/counts.js';
import { createTextLook } from '../../../activities/preprocess/figures.js';
import { openPair } from '../../../activities/preprocess/pair-writer.js';
import { knownDigests, pairName, SUMMARY, summaryOf, type Summary } from '../../../activities/preprocess/summary.js';
import type {
  Artifact,
  MergeShardsInput,
  Peer,
  PreprocessShardInput,
  ReplicateCheckpointInput,
  RestoreCheckpointInput,
  SyncFilesInput,
} from '../../../workflows/contract.js';
import { presets } from '../../../workflows/presets.js';
import { root } from '../../../workers/config.js';
import { makeCorpus, readSpeeches } from '../../../infra/demo/corpus.js';
import type { Deed } from './deeds.js';

export interface Scene {
  deed: Deed;
  /** The node's data directory as it is before. */
  before: string;
  input: unknown;
  /** How long what is under way goes on at most where most of the work is another process's; two milliseconds without. */
  latestMs?: number;
  /** What is to be the same at the end, below the data directory. */
  dir: string;
  /** What its readers would take for complete in a data directory, and is not. */
  wrong(dataDir: string): Promise<string[]>;
}

const BLOCK = 2 ** 17;
const TREE = 'series/s/checkpoints';
const [FIRST, SECOND, THIRD] = ['mp_rank_00_000', 'mp_rank_00_001', 'mp_rank_00_002'] as const;
const TOKEN = 3;

/** One peer has everything, and serves it until it is closed. */
export async function openScenes(at: string): Promise<{ scenes: Scene[]; close(): Promise<void> }> {
  const origin = join(at, 'n1');
  await mkdir(origin, { recursive: true });
  const service: FileService = await startFileService({ name: 'n1', dataDir: origin, host: '127.0.0.1', port: 0 });
  const token = await grantAccess(origin, { run: 'r', series: 's' });
  const from: Peer[] = [{ name: 'n1', url: `http://127.0.0.1:${service.port}`, token }];
  const before = (deed: Deed) => join(at, 'before', deed);
  for (const iteration of [5, 10]) {
    await save(origin, iteration, FIRST);
    await sealShard(origin, shardDir(TREE, iteration, FIRST), { token: TOKEN });
  }
  for (const shard of [SECOND, THIRD]) {
    await save(origin, 10, shard);
    await sealShard(origin, shardDir(TREE, 10, shard), { token: TOKEN });
  }
  await writeFile(join(origin, TREE, TRACKER), '10');
  const scenes = [
    await preprocessing(before('shard')),
    await transfer(origin, before('transfer'), from),
    await merge(origin, before('merge'), from),
    await replication(before('replication'), from[0]!),
    await restore(origin, before('restore'), from),
  ];
  return { scenes, close: service.close };
}

const noise = (bytes: number): Buffer => randomFillSync(Buffer.alloc(bytes));

async function transfer(origin: string, before: string, from: Peer[]): Promise<Scene> {
  const dir = 'datasets/k';
  await mkdir(join(origin, dir, 'deep'), { recursive: true });
  await mkdir(before, { recursive: true });
  for (const [name, bytes] of Object.entries({ 'p.bin': 1_500_000, 'p.idx': 200_000, 'deep/empty': 0, 'deep/a': 9 }))
    await writeFile(join(origin, dir, name), noise(bytes));
  const artifact = await sealArtifact(origin, dir, undefined, { block: BLOCK });
  const input: SyncFilesInput = { artifact, from };
  return { deed: 'transfer', before, input, dir, wrong: (dataDir) => wrongIn(dataDir, artifact) };
}

/** It has text and tokenizer, and makes one of three shards. */
async function preprocessing(before: string): Promise<Scene> {
  const [text, tokenizer] = ['datasets/k/input', 'models/t/tokenizer'];
  const hub = await makeCorpus(join(root, '.cache/demo-hub'));
  await cp(join(hub, 'models/demo/qwen3-tiny'), join(before, tokenizer), { recursive: true });
  await mkdir(join(before, text), { recursive: true });
  const lines = (await readSpeeches()).map(({ text }) => JSON.stringify({ text }));
  await writeFile(join(before, text, 'a.jsonl'), lines.join('\n'));
  for (const dir of [text, tokenizer]) await sealArtifact(before, dir);
  const input: PreprocessShardInput = {
    ...{ key: 'k', shard: 1, of: 3, input: text, files: ['a.jsonl'], slice: { index: 1, of: 3 }, tokenizer },
    ...{ keys: ['text'], appendEod: true, vocabSize: presets['qwen3-tiny'].vocab },
  };
  const dir = 'datasets/k/shards/00001-of-00003';
  return { deed: 'shard', before, input, dir, latestMs: 2_000, wrong: (dataDir) => wrongIn(dataDir, { dir }) };
}

const VOCABULARY = 151_000;

/** A pair of one key with what lies beside it. */
async function shard(dataDir: string, number: number): Promise<Artifact> {
  const dir = `datasets/m/shards/${number}`;
  await mkdir(join(dataDir, dir), { recursive: true });
  const writer = await openPair(join(dataDir, dir, pairName('text')));
  const lengths = Array.from({ length: 3_000 }, (_, i) => 1 + ((i * 7 + number) % 90));
  const ids = new Int32Array(lengths.reduce((sum, length) => sum + length)).map((_, i) => i % VOCABULARY);
  await writer.add(ids, lengths);
  const look = createTextLook({ vocabSize: VOCABULARY });
  let end = 0;
  for (const [row, tokens] of lengths.entries()) {
    look.whole(ids.subarray(end, (end += tokens)));
    look.document({ file: `${number}.jsonl`, row: row + 1, tokens });
  }
  const parts = { keys: { text: look.figures() } };
  const pairs = { text: await writer.finish() };
  const counts = { ...noCounts(['text']), rows: lengths.length, onlyDates: [] };
  const summary: Summary = { made: String(number), keys: summaryOf(pairs), counts, parts };
  await writeFile(join(dataDir, dir, SUMMARY), JSON.stringify(summary));
  const known = knownDigests(pairs);
  return sealArtifact(dataDir, dir, [...known.keys(), SUMMARY], { known, block: BLOCK });
}

/** Of three shards one is here, the others are elsewhere. */
async function merge(origin: string, before: string, from: Peer[]): Promise<Scene> {
  const shards = [await shard(origin, 0), await shard(before, 1), await shard(origin, 2)];
  const parts = shards.map((artifact) => ({ artifact, from }));
  const input: MergeShardsInput = { key: 'm', keys: ['text'], shards: parts, lineage: { like: 'l', name: 'n' } };
  const wrong = async (dataDir: string) => {
    const merged = await wrongIn(dataDir, { dir: 'datasets/m' });
    const others = await Promise.all(shards.map((artifact) => wrongIn(dataDir, artifact)));
    return [...merged, ...others.flat()];
  };
  return { deed: 'merge', before, input, dir: 'datasets/m', wrong };
}

/** What a trainer writes of one shard. */
async function save(dataDir: string, iteration: number, name: string): Promise<void> {
  const dir = join(dataDir, shardDir(TREE, iteration, name));
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'model_optim_rng.pt'), noise(400_000));
  await writeFile(join(dir, 'distrib_optim.pt'), noise(300_000));
}

/** It wrote a shard, has to copy another, and has an older iteration that goes then. */
async function replication(before: string, master: Peer): Promise<Scene> {
  await save(before, 5, SECOND);
  await sealShard(before, shardDir(TREE, 5, SECOND), { token: TOKEN });
  await save(before, 10, SECOND);
  const input: ReplicateCheckpointInput = {
    ...{ run: 'r', series: 's', generation: 1, token: TOKEN, task: 'n2', after: 5, until: 10, patienceSeconds: 60 },
    ...{ master, seals: [SECOND], copies: [{ shard: FIRST, from: master }] },
    reportTo: { workflowId: 'w', runId: 'r' },
  };
  return { deed: 'replication', before, input, dir: TREE, wrong: wrongShards };
}

/** It has one shard, half of another, and two newer iterations; its tracker names the newest. Of a third it needs the model. */
async function restore(origin: string, before: string, from: Peer[]): Promise<Scene> {
  for (const iteration of [15, 20]) {
    await save(before, iteration, FIRST);
    await sealShard(before, shardDir(TREE, iteration, FIRST), { token: TOKEN });
  }
  await mkdir(join(before, shardDir(TREE, 10, SECOND)), { recursive: true });
  await writeFile(join(before, shardDir(TREE, 10, SECOND), 'model_optim_rng.pt'), noise(1000));
  await writeFile(join(before, TREE, TRACKER), '20');
  const held = (await checkpointsIn(origin, TREE)).find(({ iteration }) => iteration === 10)!;
  const shards = held.shards.map((one) => ({
    ...{ ...one, from },
    ...(one.shard === THIRD && { modelOnly: true as const }),
  }));
  const input: RestoreCheckpointInput = { dir: TREE, iteration: 10, shards, setAsideNewer: true };
  const wrong = async (dataDir: string) => {
    const part = await readPart(dataDir, shardDir(TREE, 10, THIRD));
    const found = [...(await wrongShards(dataDir)), ...(await wrongInPart(dataDir, part))];
    const launch = { script: ['--load', TREE, '--save', TREE], loads: 10 };
    if ((await unsafeStart(dataDir, launch)) !== undefined) return found;
    const newer = (await iterationsIn(dataDir, TREE)).filter((iteration) => iteration > 10);
    const there = (await checkpointsIn(dataDir, TREE)).find(({ iteration }) => iteration === 10)?.shards ?? [];
    const all = [...there.map(({ digest }) => digest), part?.digest];
    const lacks = shards.filter(({ digest }) => !all.includes(digest));
    return [
      ...found,
      ...newer.map((iteration) => `a launch may begin, beside iteration ${iteration}`),
      ...lacks.map(({ shard }) => `a launch may begin, without ${shard}`),
    ];
  };
  return { deed: 'restore', before, input, dir: TREE, wrong };
}

async function wrongInPart(dataDir: string, part: HeldPart | undefined): Promise<string[]> {
  const dir = shardDir(TREE, 10, THIRD);
  const files = part?.manifest.files.filter(({ path }) => part.has(path)) ?? [];
  const isRight = await Promise.all(files.map((file) => isFile(join(dataDir, dir, file.path), file)));
  return files.flatMap(({ path }, index) => (isRight[index] ? [] : [`${dir}/${path}`]));
}

/** @param digest of the only content that is right, if it is known before */
async function wrongIn(dataDir: string, { dir, digest }: Pick<Artifact, 'dir'> & { digest?: string }) {
  const claimed = await readArtifact(dataDir, dir);
  if (!claimed) return [];
  const bad = (await verifyArtifact(dataDir, dir)) ?? [];
  const isOther = digest !== undefined && claimed.digest !== digest;
  return [...bad.map((path) => `${dir}/${path}`), ...(isOther ? [`${dir} is another`] : [])];
}

async function wrongShards(dataDir: string): Promise<string[]> {
  const found: string[] = [];
  for (const { iteration, shards } of await checkpointsIn(dataDir, TREE))
    for (const { shard, digest } of shards)
      found.push(...(await wrongIn(dataDir, { dir: shardDir(TREE, iteration, shard), digest })));
  const tracked = await readTracker(dataDir, TREE);
  if (tracked !== undefined && !(await iterationsIn(dataDir, TREE)).includes(tracked))
    found.push(`the tracker names iteration ${tracked}, which is not there`);
  return found;
}
