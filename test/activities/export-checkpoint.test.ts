/** A checkpoint becomes a model that others can load, or nothing at all. */
import { createHash, randomUUID } from 'node:crypto';
import { appendFile, mkdir, readdir, readFile, rm, stat, statfs, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import S3rver from 's3rver';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { sealArtifact } from '../../activities/artifact.js';
import { sealShard, shardDir } from '../../activities/checkpoint-files.js';
import { createExportCheckpoint } from '../../activities/export-checkpoint.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { withSpace } from '../../activities/promised-space.js';
import { uploadModel } from '../../activities/upload-model.js';
import type { ExportCheckpointInput, Peer } from '../../workflows/contract.js';
import { configOf, tensorsOf } from '../../workflows/hugging-face.js';
import { presets } from '../../workflows/presets.js';
import { huggingFaceShapes } from '../../workflows/weight-shapes.js';
import { s3Environment } from '../support/s3-environment.js';
import { tempDir } from '../support/temp-dir.js';
import { run, serving, testNode } from '../support/test-node.js';

const CHECKPOINTS = 'series/s/checkpoints';
const DIR = 'exports/s/iter_0000030';
const TOKENIZER = 'models/t/tokenizer';
const CONFIG = configOf({ ...presets['qwen3-tiny'], layers: 1 });
const [FIRST, SECOND] = ['mp_rank_00_000', 'mp_rank_00_001'] as const;

/** A file of safetensors with these names, 4 bytes each. */
function weights(...names: string[]): Buffer {
  const entries = names.map((name, i) => [name, { dtype: 'F32', shape: [1], data_offsets: [4 * i, 4 * i + 4] }]);
  const header = Buffer.from(JSON.stringify({ __metadata__: { format: 'pt' }, ...Object.fromEntries(entries) }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, Buffer.alloc(4 * names.length, 7)]);
}

/** In a checkout's place: joins the shards of the iteration that the tracker names, and writes these weights. */
async function exporter(name: string, made: Record<string, Buffer>, script = ''): Promise<NodeDeps> {
  const mindspeedDir = await tempDir();
  for (const [file, bytes] of Object.entries(made)) await writeFile(join(mindspeedDir, file), bytes);
  const lines = [
    'echo "$@" >> calls; while [ "$1" != --load-dir ]; do shift; done; from=$2',
    'while [ "$1" != --save-dir ]; do shift; done; out=$2; cp *.safetensors $out/',
    'it=$(printf iter_%07d $(cat $from/latest_checkpointed_iteration.txt))',
    'cat $from/$it/*/model_optim_rng.pt > $out/joined.txt',
  ];
  await writeFile(join(mindspeedDir, 'convert_ckpt_v2.py'), [...lines, script].join('\n'));
  const deps = await testNode(name, { mindspeedDir, python: 'bash', env: { PATH: process.env['PATH']! } });
  await mkdir(join(deps.dataDir, TOKENIZER), { recursive: true });
  await writeFile(join(deps.dataDir, TOKENIZER, 'tokenizer.json'), '{}');
  // Of another model.
  await writeFile(join(deps.dataDir, TOKENIZER, 'config.json'), JSON.stringify({ ...CONFIG, hidden_size: 4096 }));
  await sealArtifact(deps.dataDir, TOKENIZER);
  return deps;
}

async function holding(deps: NodeDeps, shard: string, from: Peer[]) {
  const at = shardDir(CHECKPOINTS, 30, shard);
  await mkdir(join(deps.dataDir, at), { recursive: true });
  await writeFile(join(deps.dataDir, at, 'model_optim_rng.pt'), `${shard};`);
  await writeFile(join(deps.dataDir, at, 'distrib_optim.pt'), `optimizer of ${shard}`);
  const { digest, bytes } = await sealShard(deps.dataDir, at);
  return { shard, digest, bytes, from };
}

async function input(deps: NodeDeps, more: Partial<ExportCheckpointInput> = {}): Promise<ExportCheckpointInput> {
  const other = await testNode('n2');
  const own = await holding(deps, FIRST, [{ name: 'n1', url: 'http://127.0.0.1:9' }]);
  const theirs = await holding(other, SECOND, [await serving(other)]);
  return {
    ...{ series: 's', iteration: 30, shards: [own, theirs], dir: DIR, tokenizer: TOKENIZER, config: CONFIG },
    ...{ script: 'convert_ckpt_v2.py', args: ['--save-model-type', 'hf'], tensors: 2 },
    paths: { '--load-dir': `${DIR}.gathered`, '--hf-cfg-dir': TOKENIZER },
    ...more,
  };
}

const exporting = (deps: NodeDeps, what: ExportCheckpointInput) => run(createExportCheckpoint(deps), what);
const read = ({ dataDir }: NodeDeps, name: string) => readFile(join(dataDir, DIR, name), 'utf8');
const calls = async ({ mindspeedDir }: NodeDeps) =>
  (await readFile(join(mindspeedDir, 'calls'), 'utf8')).trim().split('\n').length;
async function truncateTo(path: string, bytes: number): Promise<void> {
  await writeFile(path, '');
  await truncate(path, bytes);
}
const digest = (text: string | Buffer) => createHash('sha256').update(text).digest('hex');
const BOTH = { 'model-00001-of-00001.safetensors': weights('a', 'b') };

describe('an export', () => {
  it("is made of shards of this node and of others, with the tokenizer and this model's configuration", async () => {
    const deps = await exporter('n1', BOTH);
    // Of an export that was never ended.
    await mkdir(join(deps.dataDir, 'exports/s/iter_0000020.gathered/iter_0000020'), { recursive: true });
    const exported = await exporting(deps, await input(deps));
    expect(exported).toMatchObject({ node: 'n1', path: join(deps.dataDir, DIR), iteration: 30, tensors: 2 });
    expect(await read(deps, 'joined.txt')).toBe(`${FIRST};${SECOND};`);
    expect(JSON.parse(await read(deps, 'config.json'))).toEqual({ ...CONFIG, torch_dtype: 'float32' });
    const sums = (await read(deps, 'SHA256SUMS')).trim().split('\n');
    expect(sums.map((line) => line.slice(66))).toEqual(
      ['config.json', 'joined.txt', 'model-00001-of-00001.safetensors', 'tokenizer.json'].sort(),
    );
    for (const line of sums)
      expect(line.slice(0, 64)).toBe(digest(await readFile(join(deps.dataDir, DIR, line.slice(66)))));
    // What was gathered is gone, our own shard is not.
    expect((await readdir(join(deps.dataDir, 'exports/s'))).sort()).toEqual(['iter_0000030', 'iter_0000030.log']);
    expect(await readFile(join(deps.dataDir, shardDir(CHECKPOINTS, 30, FIRST), 'model_optim_rng.pt'), 'utf8')).toBe(
      `${FIRST};`,
    );
  });

  it('is made once, and again where the checkpoint is another or a byte of it is wrong', async () => {
    const deps = await exporter('n1', BOTH);
    const what = await input(deps);
    const first = await exporting(deps, what);
    expect(await exporting(deps, what)).toEqual(first);
    expect(await calls(deps)).toBe(1);
    await writeFile(join(deps.dataDir, DIR, 'joined.txt'), 'x'.repeat(`${FIRST};${SECOND};`.length));
    expect(await exporting(deps, what)).toEqual(first);
    expect(await calls(deps)).toBe(2);
    const note = join(deps.dataDir, DIR, 'export.json');
    await writeFile(note, '#'.repeat((await readFile(note)).length));
    expect(await exporting(deps, what)).toEqual(first);
    await exporting(deps, { ...what, args: ['--other'] });
    expect(await calls(deps)).toBe(4);
  });

  it.each([
    ['a tensor short', { 'a.safetensors': weights('a') }, /there are 1 tensors and the model has 2; log: /],
    ['cut', { 'a.safetensors': weights('a', 'b').subarray(0, -1) }, /a\.safetensors has \d+ bytes and should have \d+/],
    [
      'of the same tensor twice',
      { 'a.safetensors': weights('a'), 'b.safetensors': weights('a') },
      /a is in a\.safetensors and in b/,
    ],
  ])('is none where what the converter wrote is %s, though it exits 0', async (_, made, message) => {
    const deps = await exporter('n1', made);
    const lastAttempt = { attempt: 5, retryPolicy: { maximumAttempts: 5 } };
    await expect(run(createExportCheckpoint(deps), await input(deps), lastAttempt)).rejects.toThrow(message);
    expect(await readdir(join(deps.dataDir, 'exports/s'))).toEqual(['iter_0000030.log']);
  });

  it('is made again where the tokenizer is another one', async () => {
    const deps = await exporter('n1', BOTH);
    const what = await input(deps);
    await exporting(deps, what);
    const tokenizer = 'models/u/tokenizer';
    await mkdir(join(deps.dataDir, tokenizer), { recursive: true });
    await writeFile(join(deps.dataDir, tokenizer, 'tokenizer.json'), '{"another": 1}');
    await sealArtifact(deps.dataDir, tokenizer);
    await exporting(deps, { ...what, tokenizer, paths: { ...what.paths, '--hf-cfg-dir': tokenizer } });
    expect(await read(deps, 'tokenizer.json')).toBe('{"another": 1}');
  });

  it("is taken from below the directory whose configuration the first converter reads, as 2.1.0's does", async () => {
    const nested = '; grep -q \'"torch_dtype":"bfloat16"\' <(tr -d " \\n" < $out/config.json) || exit 9';
    const deps = await exporter('n1', BOTH, `true ${nested}; mkdir $out/mg2hf; mv $out/*.safetensors $out/mg2hf/`);
    expect(await exporting(deps, await input(deps, { within: 'mg2hf' }))).toMatchObject({ tensors: 2 });
    expect((await readdir(join(deps.dataDir, DIR))).sort()).toContain('model-00001-of-00001.safetensors');
    expect(await readdir(join(deps.dataDir, DIR))).not.toContain('mg2hf');
  });

  it('gathers the weights alone, and does not mind what the optimizer is like', async () => {
    const deps = await exporter('n1', BOTH, `ls $from/$it/${SECOND} > $out/gathered.txt`);
    const what = await input(deps);
    await writeFile(join(deps.dataDir, shardDir(CHECKPOINTS, 30, FIRST), 'distrib_optim.pt'), 'damaged');
    await exporting(deps, what);
    expect(await read(deps, 'gathered.txt')).toBe('model_optim_rng.pt\n');
    expect(await read(deps, 'joined.txt')).toBe(`${FIRST};${SECOND};`);
  });

  it('is refused before anything is copied where there is no room for it, with what it needs', async () => {
    const deps = await exporter('n1', BOTH);
    const error = {
      ...{ type: 'EnvCheckFailed', nonRetryable: true },
      message: expect.stringMatching(
        /^n1: export of iteration 30 needs [\d.]+ GB and \/\S+ has [\d.]+ GB left\. Free space there/,
      ) as string,
    };
    await expect(exporting(deps, await input(deps, { modelBytes: 2 ** 50 }))).rejects.toMatchObject(error);
    expect(await readdir(join(deps.dataDir, 'exports/s'))).toEqual([]);
    await expect(calls(deps)).rejects.toThrow('ENOENT');
  });

  it('keeps the room for the model until it is converted, so that nobody else is given it', async () => {
    const deps = await exporter('n1', BOTH, 'touch begun; while [ ! -e go ]; do sleep 0.02; done');
    const going = exporting(deps, await input(deps, { modelBytes: 2 ** 30 }));
    onTestFinished(() => writeFile(join(deps.mindspeedDir, 'go'), ''));
    await vi.waitFor(() => stat(join(deps.mindspeedDir, 'begun')), 10_000);
    const { bavail, bsize } = await statfs(deps.dataDir);
    const bytes = bavail * bsize - 2 ** 28 - 2 ** 29;
    const other = withSpace(
      { path: deps.dataDir, bytes, left: () => bytes },
      { node: 'n1', name: 'copy' },
      () => going,
    );
    await expect(other).rejects.toThrow(/besides 1\.\d GB that other steps are bringing/);
    await writeFile(join(deps.mindspeedDir, 'go'), '');
    expect(await going).toMatchObject({ tensors: 2 });
  });

  it('is none where a tensor has another name or shape than the model gives it', async () => {
    const sizes = { ...presets['qwen3-tiny'], layers: 1, tied: true };
    const names = Object.keys(huggingFaceShapes(sizes));
    const deps = await exporter('n1', { 'a.safetensors': weights(...names.slice(1), 'other') });
    const what = await input(deps, { sizes, tensors: tensorsOf(sizes) });
    await expect(exporting(deps, what)).rejects.toThrow(
      /1 missing: model\.embed_tokens\.weight; 1 that the model does not have: other; 12 of another shape: .*\[1\] instead of/,
    );
    expect(await readdir(join(deps.dataDir, 'exports/s'))).not.toContain('iter_0000030');
  });

  it('goes on after a conversion that failed, and copies nothing again', async () => {
    const deps = await exporter('n1', BOTH, '[ -e seen ] || { touch seen; echo out of memory >&2; exit 137; }');
    const what = await input(deps);
    await expect(exporting(deps, what)).rejects.toThrow(/ended with exit code 137: out of memory; log: /);
    // The other node is gone by now.
    const [own, theirs] = what.shards;
    const alone = { ...what, shards: [own!, { ...theirs!, from: [{ name: 'n2', url: 'http://127.0.0.1:9' }] }] };
    expect(await exporting(deps, alone)).toMatchObject({ tensors: 2 });
  });
});

describe('an export that is to go elsewhere', () => {
  let port: number;
  beforeAll(async () => void (port = await s3Environment()));

  it('is in a directory, byte by byte, the digests last; what is wrong there is written again', async () => {
    const root = await tempDir();
    const deps = { ...(await exporter('n1', BOTH)), exportRoots: [root] };
    const to = join(root, 'models/mine');
    const what = await input(deps, { to: `file://${to}` });
    expect(await exporting(deps, what)).toMatchObject({ to: what.to });
    const names = await readdir(to);
    expect(names.sort()).toEqual([
      'SHA256SUMS',
      'config.json',
      'joined.txt',
      'model-00001-of-00001.safetensors',
      'tokenizer.json',
    ]);
    await appendFile(join(to, 'joined.txt'), '!');
    await rm(join(to, 'tokenizer.json'));
    await exporting(deps, what);
    expect(await readFile(join(to, 'joined.txt'), 'utf8')).toBe(`${FIRST};${SECOND};`);
    expect(await readdir(to)).toHaveLength(5);
    expect(await calls(deps)).toBe(1);
  });

  it('takes the place of another, whose list goes before anything else does, and what it alone has after that', async () => {
    const place = await tempDir();
    const model = async (version: string, names: string[], broken = false) => {
      const dir = await tempDir();
      let sums = '';
      for (const name of names) {
        await writeFile(join(dir, name), `${name} ${version}`);
        // A byte that the disk lost since: the upload ends there, as a crash would.
        const listed = broken && name === names.at(-1) ? '0'.repeat(64) : digest(Buffer.from(`${name} ${version}`));
        sums += `${listed}  ${name}\n`;
      }
      await writeFile(join(dir, 'SHA256SUMS'), sums);
      const { signal } = new AbortController();
      return { node: 'n1', dir, to: `file://${place}`, signal, tell: () => undefined };
    };
    await uploadModel(await model('one', ['a.safetensors', 'b.safetensors', 'c.safetensors']));
    await writeFile(join(place, 'notes.txt'), 'of a person');
    const two = ['a.safetensors', 'b.safetensors'];
    await expect(uploadModel(await model('two', two, true))).rejects.toThrow('b.safetensors');
    expect((await readdir(place)).sort()).toEqual(['SHA256SUMS.unfinished', ...two, 'notes.txt']);
    // A process that is killed leaves what it was writing, and perhaps what it was about to remove.
    for (const name of ['c.safetensors', `.b.safetensors.${randomUUID()}.tmp`, `.c.safetensors.${randomUUID()}.tmp`])
      await writeFile(join(place, name), 'of a killed one');
    await uploadModel(await model('three', ['a.safetensors']));
    expect((await readdir(place)).sort()).toEqual(['SHA256SUMS', 'a.safetensors', 'notes.txt']);
  });

  it('is refused where there is no room for it, and what is there stays', async () => {
    const [dir, place] = [await tempDir(), await tempDir()];
    await truncateTo(join(dir, 'a.safetensors'), 2 ** 43);
    await writeFile(join(dir, 'SHA256SUMS'), `${'0'.repeat(64)}  a.safetensors\n`);
    await writeFile(join(place, 'SHA256SUMS'), `${'1'.repeat(64)}  b.safetensors\n`);
    await writeFile(join(place, 'b.safetensors'), 'of another model');
    const { signal } = new AbortController();
    await expect(
      uploadModel({ node: 'n1', dir, to: `file://${place}`, signal, tell: () => undefined }),
    ).rejects.toThrow(/^n1: export to file:\/\S+ needs 8796\.1 GB and \S+ has/);
    expect((await readdir(place)).sort()).toEqual(['SHA256SUMS', 'b.safetensors']);
  });

  it('is refused before anything is made where the node names no such directory, wherever links lead', async () => {
    const [root, elsewhere] = [await tempDir(), await tempDir()];
    await symlink(elsewhere, join(root, 'link'));
    const deps = { ...(await exporter('n1', BOTH)), exportRoots: [root] };
    for (const place of [join(elsewhere, 'mine'), join(root, 'link/mine'), `${root}x`, '/etc/mine', deps.dataDir])
      await expect(exporting(deps, await input(deps, { to: `file://${place}` }))).rejects.toMatchObject({
        ...{ type: 'EnvCheckFailed', nonRetryable: true },
        message: expect.stringContaining('PRETRAIN_EXPORTS of n1') as string,
      });
    await expect(calls(deps)).rejects.toThrow('ENOENT');
    expect(await readdir(elsewhere)).toEqual([]);
  });

  it('is in a bucket, in parts where a file is large, and read back from there', async () => {
    const server = new S3rver({ port, address: '127.0.0.1', silent: true, directory: await tempDir() });
    await server.run();
    onTestFinished(() => server.close());
    const client = new S3Client({ forcePathStyle: true });
    await client.send(new CreateBucketCommand({ Bucket: 'models' }));
    const large = '; truncate -s 70M $out/large.bin; echo end >> $out/large.bin';
    const deps = await exporter('n1', BOTH, `true ${large}`);
    const what = await input(deps, { to: 's3://models/qwen/mine' });
    await exporting(deps, what);
    const stored = async (name: string) => {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: 'models', Key: `qwen/mine/${name}` }));
      return digest(Buffer.from(await Body!.transformToByteArray()));
    };
    for (const name of ['large.bin', 'config.json', 'SHA256SUMS'])
      expect(await stored(name)).toBe(digest(await readFile(join(deps.dataDir, DIR, name))));
    await client.send(new PutObjectCommand({ Bucket: 'models', Key: 'qwen/mine/config.json', Body: 'something else' }));
    const other = `${'0'.repeat(64)}  config.json\n${'0'.repeat(64)}  older.bin\n`;
    for (const [name, Body] of Object.entries({ SHA256SUMS: other, 'older.bin': 'x' }))
      await client.send(new PutObjectCommand({ Bucket: 'models', Key: `qwen/mine/${name}`, Body }));
    await exporting(deps, what);
    expect(await stored('config.json')).toBe(digest(await read(deps, 'config.json')));
    expect(await stored('SHA256SUMS')).toBe(digest(await read(deps, 'SHA256SUMS')));
    await expect(stored('older.bin')).rejects.toThrow('does not exist');
    await expect(exporting(deps, { ...what, to: 's3://missing/mine' })).rejects.toThrow(
      /s3:\/\/missing\/mine\/\S+: NoSuchBucket/,
    );
  });
});

it.each([
  // The first and the last as their published indexes have it; the converter writes no lm_head of tied weights.
  ['qwen3-8b', 399],
  ['qwen3-0.6b', 310],
  ['qwen3-30b-a3b', 18_867],
] as const)('%s has %i tensors', (preset, count) => {
  expect(tensorsOf(presets[preset])).toBe(count);
});
