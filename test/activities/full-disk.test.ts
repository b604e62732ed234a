import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readArtifact, readManifest, sealArtifact } from '../../activities/artifact.js';
import { blocksOf } from '../../activities/blocks.js';
import { createCheckNode } from '../../activities/check-node.js';
import { createDataActivities } from '../../activities/data-activities.js';
import { grantAccess, grantOf } from '../../activities/grants.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { makeCorpus } from '../../infra/demo/corpus.js';
import { startHub } from '../../infra/demo/hub.js';
import { root } from '../../workers/config.js';
import { fetchBlock } from '../../activities/peer-client.js';
import { encodeJob } from '../../activities/preprocess/encode-job.js';
import { runCommand } from '../../activities/preprocess/run-command.js';
import { temporaryNames } from '../../activities/preprocess/pair-writer.js';
import { pairName } from '../../activities/preprocess/summary.js';
import { pullArtifact } from '../../activities/transfer.js';
import { faultyProxy } from '../support/faulty-proxy.js';
import { tempDir } from '../support/temp-dir.js';
import { findLaunched } from '../../activities/process.js';
import { bothUp, fakeNode, launch, stop } from '../support/fake-training.js';
import { run, serving, testNode } from '../support/test-node.js';

/** Mounting takes root; elsewhere these tests are left out. */
const canMount = (() => {
  try {
    execFileSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'none', '/mnt'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

/** A data directory with only so much room. */
async function smallDisk(megabytes: number, more = ''): Promise<string> {
  const dir = await tempDir();
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m${more}`, 'none', dir]);
  onTestFinished(() => void execFileSync('umount', [dir]));
  return dir;
}

const fullDisk = {
  type: 'EnvCheckFailed',
  nonRetryable: true,
  message: expect.stringMatching(
    /^n01: .*: the disk is full, of bytes or of files \(df, df -i\)\. Make room there, then start the run again$/,
  ) as string,
};

test.runIf(canMount)('a node whose disk is full still serves who may read its files', async () => {
  const dataDir = await smallDisk(1);
  const access = await grantAccess(dataDir, { run: 'r', series: 's' });
  execFileSync('sh', ['-c', `dd if=/dev/zero of=${dataDir}/filler bs=4k 2>/dev/null || true`]);
  const later = Date.now() + 2 * 3_600_000;
  expect(await grantOf(dataDir, `Bearer ${access}`, later)).toMatchObject({ run: 'r', series: 's' });
});

test.runIf(canMount)(
  'a disk that fills up during a download ends it with a clear error, and the next attempt goes on',
  async () => {
    const files = await tempDir();
    await mkdir(join(files, 'datasets/demo/text'), { recursive: true });
    await writeFile(join(files, 'datasets/demo/text/a.parquet'), randomBytes(3_000_000));
    const hub = await startHub({ root: files });
    onTestFinished(hub.close);
    const dataDir = await smallDisk(4);
    const filler = join(dataDir, 'filler');
    const proxy = await faultyProxy(hub.url, ({ url }) => {
      if (url?.includes('/resolve/') && !proxy.seen.some(({ range }) => range))
        execFileSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=1M', 'count=2'], { stdio: 'ignore' });
      return {};
    });
    const node = await testNode('n01', { dataDir, hfEndpoint: proxy.url });
    const { listSource, fetchFiles } = createDataActivities(node);
    const { resolved, files: listed } = await run(listSource, { source: 'hf://demo/text@main/*.parquet' });
    const input = { source: resolved, files: listed, dir: 'datasets/k' };
    await expect(run(fetchFiles, input)).rejects.toMatchObject(fullDisk);
    expect(await readArtifact(dataDir, 'datasets/k')).toBeUndefined();
    await rm(filler);
    expect(await run(fetchFiles, input)).toMatchObject({ files: 1, bytes: 3_000_000 });
  },
);

test.runIf(canMount)('a disk that fills up during a copy is no fault of the nodes that send it', async () => {
  const sender = await testNode('n02');
  await mkdir(join(sender.dataDir, 'datasets/k'), { recursive: true });
  await writeFile(join(sender.dataDir, 'datasets/k/a.bin'), randomBytes(3_000_000));
  const artifact = await sealArtifact(sender.dataDir, 'datasets/k');
  const dataDir = await smallDisk(4);
  const peer = await serving(sender);
  const proxy = await faultyProxy(peer.url, ({ url }) => {
    if (url?.includes('/blocks/'))
      execFileSync('dd', ['if=/dev/zero', `of=${join(dataDir, 'filler')}`, 'bs=1M', 'count=2'], { stdio: 'ignore' });
    return {};
  });
  const node = await testNode('n01', { dataDir });
  const blamed: string[] = [];
  const copy = pullArtifact(node, {
    ...{ artifact, from: [{ ...peer, url: proxy.url }] },
    onProblem: (peer) => void blamed.push(peer),
  });
  await expect(copy).rejects.toMatchObject({
    ...{ type: 'EnvCheckFailed', nonRetryable: true, details: [{ node: 'n01', bytes: 3_000_000 }] },
    message: expect.stringContaining(`n01: copy datasets/k needs 0.003 GB and ${dataDir}/datasets/k has `) as string,
  });
  expect(blamed).toEqual([]);
});

test.runIf(canMount)('a copy of which every file is here needs no room for them', async () => {
  const sender = await testNode('n02');
  await mkdir(join(sender.dataDir, 'datasets/k'), { recursive: true });
  const bytes = randomBytes(3_000_000);
  await writeFile(join(sender.dataDir, 'datasets/k/a.bin'), bytes);
  const artifact = await sealArtifact(sender.dataDir, 'datasets/k');
  // 1 % of it is left for everything else, and a manifest fits into that.
  const node = await testNode('n01', { dataDir: await smallDisk(4) });
  await mkdir(join(node.dataDir, 'datasets/k'), { recursive: true });
  await writeFile(join(node.dataDir, 'datasets/k/a.bin'), bytes);
  const { bavail, bsize } = await statfs(node.dataDir);
  await writeFile(join(node.dataDir, 'filler'), Buffer.alloc((bavail - 8) * bsize));
  expect(await pullArtifact(node, { artifact, from: [await serving(sender)] })).toEqual(artifact);
  expect(await readArtifact(node.dataDir, 'datasets/k')).toEqual(artifact);
});

test.runIf(canMount)('a block of which the disk takes only a part is not proven', async () => {
  const sender = await testNode('n02');
  await mkdir(join(sender.dataDir, 'datasets/k'), { recursive: true });
  await writeFile(join(sender.dataDir, 'datasets/k/a.bin'), randomBytes(3_000_000));
  const artifact = await sealArtifact(sender.dataDir, 'datasets/k');
  const { manifest } = (await readManifest(sender.dataDir, 'datasets/k'))!;
  const dir = await smallDisk(4);
  // Room for the first two writes of it and a part of the third, which is no error of its own.
  execFileSync('dd', ['if=/dev/zero', `of=${join(dir, 'filler')}`, 'bs=512k', 'count=3'], { stdio: 'ignore' });
  const file = await open(join(dir, 'part'), 'w');
  const peer = await serving(sender);
  const { digest } = artifact;
  const taken = fetchBlock(await testNode('n01'), peer, digest, blocksOf(manifest)[0]!, file, {
    ...{ idleMs: 10_000, onBytes: () => undefined },
  });
  await expect(taken.finally(() => file.close())).rejects.toMatchObject({ code: 'ENOSPC' });
});

async function withTokenizer(dataDir: string): Promise<NodeDeps> {
  const node = await testNode('n01', { dataDir, sourceRoots: [root] });
  const model = join(await makeCorpus(join(root, '.cache/demo-hub')), 'models/demo/qwen3-tiny');
  const { listSource, fetchFiles } = createDataActivities(node);
  const { resolved, files } = await run(listSource, { source: `file://${model}/tokenizer*.json` });
  await run(fetchFiles, { source: resolved, files, dir: 'models/t/tokenizer' });
  return node;
}

test.runIf(canMount)(
  'a disk that fills up under a shard leaves nothing that looks finished, and a killed merge nothing in the way of the next',
  async () => {
    const node = await withTokenizer(await smallDisk(2));
    const input = 'datasets/k/input/1';
    await mkdir(join(node.dataDir, input), { recursive: true });
    const lines = Array.from({ length: 4000 }, (_, i) => JSON.stringify({ text: `${i} `.repeat(20) }));
    await writeFile(join(node.dataDir, input, 'a.jsonl'), lines.join('\n'));
    await sealArtifact(node.dataDir, input);
    const { preprocessShard, mergeShards } = createDataActivities(node);
    const wanted = {
      key: 'k',
      shard: 0,
      of: 1,
      input,
      files: ['a.jsonl'],
      slice: { index: 0, of: 1 },
      tokenizer: 'models/t/tokenizer',
      keys: ['text'],
      appendEod: true,
      vocabSize: 4096,
    };
    await expect(run(preprocessShard, wanted)).rejects.toMatchObject(fullDisk);
    expect(await readdir(join(node.dataDir, 'datasets/k/shards/00000-of-00001'))).toEqual([]);

    execFileSync('mount', ['-o', 'remount,size=9m', node.dataDir]);
    const { artifact } = await run(preprocessShard, wanted);
    const { bavail, blocks, bsize } = await statfs(node.dataDir);
    const left = Math.floor(bavail * bsize - (blocks * bsize) / 100 - artifact.bytes / 2);
    await writeFile(temporaryNames(join(node.dataDir, 'datasets/k', pairName('text'))).bin, Buffer.alloc(left));
    const merged = run(mergeShards, { key: 'k', keys: ['text'], shards: [{ artifact, from: [] }] });
    expect(await merged).toMatchObject({ documents: 4000 });
  },
);

test.runIf(canMount)('the command says which disk is full and what a pair takes, and leaves nothing', async () => {
  const dir = await smallDisk(1);
  const input = join(await tempDir(), 'a.jsonl');
  await writeFile(input, `${JSON.stringify({ text: 'a b c d '.repeat(500) })}\n`.repeat(200));
  const model = join(await makeCorpus(join(root, '.cache/demo-hub')), 'models/demo/qwen3-tiny');
  const words = ['--input', input, '--tokenizer-name-or-path', model, '--output-prefix', join(dir, 'p')];
  const call = runCommand(words, { say: () => undefined, elsewhere: encodeJob, tablesIn: await tempDir() });
  await expect(call).rejects.toThrow(
    `${dir}: the disk is full, of bytes or of files (df, df -i). A pair takes 4 bytes`,
  );
  expect(await readdir(dir)).toEqual([]);
});

test.runIf(canMount)('a full disk does not keep ranks alive that are to stop', async () => {
  const dataDir = await smallDisk(2);
  const node = await fakeNode({}, { dataDir });
  await launch(node, 1);
  await bothUp(node);
  const filler = join(dataDir, 'filler');
  expect(() => execFileSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4k'], { stdio: 'ignore' })).toThrow();
  await expect(stop(node, 1)).rejects.toMatchObject({ type: 'EnvCheckFailed' });
  expect(await findLaunched(dataDir)).toEqual([]);
  await rm(filler);
  expect(await stop(node, 1)).toMatchObject({ confirmed: true });
});

test.runIf(canMount)('a disk with space and no inode is found before anything begins', async () => {
  const node = await testNode('n01', { dataDir: await smallDisk(9, ',nr_inodes=1') });
  const asked = { run: 'r', diskBytes: 1, devices: 1, nodes: 2, release: '26.0.0', hcclPort: 60_000 } as const;
  const checked = run(createCheckNode(node), { ...asked, first: 'n01', artifacts: [] });
  await expect(checked).rejects.toThrow(`no inode is free in ${node.dataDir} (df -i): remove files there`);
});
