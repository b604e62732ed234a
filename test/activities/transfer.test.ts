import { randomBytes } from 'node:crypto';
import { access, mkdir, readdir, readFile, stat, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { CancelledFailure } from '@temporalio/common';
import { expect, test } from 'vitest';
import { readArtifact, readManifest, sealArtifact } from '../../activities/artifact.js';
import { blocksOf } from '../../activities/blocks.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { createFetchFiles } from '../../activities/fetch-files.js';
import { createListSource } from '../../activities/list-source.js';
import { partOf } from '../../activities/part-file.js';
import { fetchBlock } from '../../activities/peer-client.js';
import { pause } from '../../activities/process.js';
import { keepInStore } from '../../activities/store.js';
import { createMergeShards } from '../../activities/preprocess/merge-shards.js';
import { createSyncFiles } from '../../activities/sync-files.js';
import { bytesToPull, pullArtifact } from '../../activities/transfer.js';
import type { MergeShardsInput, Peer } from '../../workflows/contract.js';
import { blackHole } from '../support/black-hole.js';
import { faultyProxy } from '../support/faulty-proxy.js';
import { tempDir } from '../support/temp-dir.js';
import { run, serving, testNode } from '../support/test-node.js';

const DIR = 'datasets/k';
const big = randomBytes(3_000_000);

/** Small, so that there are many. */
const BLOCK = 2 ** 18;

async function origin(name = 'n01') {
  const node = await testNode(name);
  await mkdir(join(node.dataDir, DIR), { recursive: true });
  await writeFile(join(node.dataDir, DIR, 'prefix.bin'), big);
  await writeFile(join(node.dataDir, DIR, 'prefix.idx'), 'index');
  const artifact = await sealArtifact(node.dataDir, DIR, undefined, { block: BLOCK });
  return { node, artifact, peer: await serving(node) };
}

/** Of prefix.bin, and the one of prefix.idx. */
const BLOCKS = Math.ceil(big.length / BLOCK) + 1;

const pulled = async ({ dataDir }: NodeDeps) => (await readFile(join(dataDir, DIR, 'prefix.bin'))).equals(big);
const nobody: Peer = { name: 'dead', url: 'http://127.0.0.1:1' };

test('a node copies an artifact from a peer, keeps it in its content store, and is done at once the second time', async () => {
  const { artifact, peer } = await origin();
  let received = 0;
  const node = await testNode('n02', { onReceived: (bytes) => (received += bytes) });
  expect(await run(createSyncFiles(node), { artifact, from: [peer] })).toEqual(artifact);
  expect(received).toBe(artifact.bytes);
  expect(await readArtifact(node.dataDir, DIR)).toEqual(artifact);
  expect(await pulled(node)).toBe(true);
  expect((await stat(join(node.dataDir, DIR, 'prefix.bin'))).nlink).toBe(2);
  expect(await run(createSyncFiles(node), { artifact, from: [] })).toEqual(artifact);
  expect(received).toBe(artifact.bytes);
});

test('names as long as a file system takes are fetched and copied as others are', async () => {
  const name = `${'語'.repeat(83)}.jsonl`;
  const [from, node] = [await tempDir(), await testNode('n02')];
  await writeFile(join(from, name), 'text');
  const origin = await testNode('n01', { sourceRoots: [from] });
  const { resolved, files } = await run(createListSource(origin), { source: `file://${from}/*` });
  const fetch = (dir: string) => run(createFetchFiles(origin), { source: resolved, files, dir });
  const artifact = await fetch(DIR);
  // From the store of its contents, at another place.
  await keepInStore(origin.dataDir, files[0]!.sha256!, join(origin.dataDir, DIR, name));
  await fetch(`${DIR}2`);
  await run(createSyncFiles(node), { artifact, from: [await serving(origin)] });
  expect(await readFile(join(node.dataDir, DIR, name), 'utf8')).toBe('text');
});

test('what an earlier attempt has of a copy is not counted as still to come', async () => {
  const { artifact, peer } = await origin();
  const node = await testNode('n02');
  const place = join(node.dataDir, DIR, 'prefix.bin');
  await mkdir(join(node.dataDir, DIR), { recursive: true });
  await writeFile(partOf('n02', place), big.subarray(0, 2 ** 20), { flush: true });
  expect(await bytesToPull(node, { artifact, from: [peer] })).toBeLessThanOrEqual(artifact.bytes - 2 ** 20);
});

test('what a trainer will write in place shares nothing with the content store', async () => {
  const { artifact, peer } = await origin();
  const node = await testNode('n02');
  await pullArtifact(node, { artifact, from: [peer] });
  expect((await stat(join(node.dataDir, DIR, 'prefix.bin'))).nlink).toBe(1);
});

test('a disk here that is slow to take what comes is not taken for a peer that sends nothing', async () => {
  const { node, peer } = await origin();
  // In one block, which is written in several pieces.
  const { digest } = await sealArtifact(node.dataDir, DIR, ['prefix.bin']);
  const [block] = blocksOf((await readManifest(node.dataDir, DIR))!.manifest);
  let taken = 0;
  const slow = {
    async writev(chunks: Buffer[]) {
      if (taken === 0) await pause(2600);
      const bytesWritten = chunks.reduce((sum, { length }) => sum + length, 0);
      taken += bytesWritten;
      return { bytesWritten };
    },
  } as unknown as FileHandle;
  const options = { idleMs: 2000, onBytes: () => undefined };
  await fetchBlock(await testNode('n02'), peer, digest, block!, slow, options);
  expect(taken).toBe(big.length);
});

test('blocks come from several peers, and those of one that breaks off from the others', async () => {
  const { artifact, peer } = await origin();
  const cut = await faultyProxy(peer.url, ({ url }) => (url?.includes('/blocks/') ? { cutAfter: 100_000 } : {}));
  const good = await faultyProxy(peer.url, () => ({}));
  const node = await testNode('n02');
  const from = [{ ...peer, name: 'cut', url: cut.url }, { ...peer, name: 'good', url: good.url }, peer];
  const problems: string[] = [];
  await pullArtifact(node, { artifact, from, onProblem: (name) => problems.push(name) });
  expect(await pulled(node)).toBe(true);
  expect(new Set(problems)).toEqual(new Set(['cut']));
  const asked = good.seen.filter(({ path }) => path.includes('/blocks/')).length;
  expect(asked).toBeGreaterThan(0);
  expect(asked).toBeLessThan(BLOCKS);
});

test('a copy that a dead worker left half done goes on with the blocks that are missing', async () => {
  const { artifact, peer } = await origin();
  const node = await testNode('n02');
  await mkdir(join(node.dataDir, DIR), { recursive: true });
  const part = join(node.dataDir, DIR, '.prefix.bin.n02.part');
  // The first block is there, the second is listed and was lost with the page cache, the third is whole and not listed.
  const left = Buffer.concat([big.subarray(0, BLOCK), Buffer.alloc(BLOCK), big.subarray(2 * BLOCK, 3 * BLOCK)]);
  await writeFile(part, left);
  await writeFile(`${part}.blocks`, `0\n${BLOCK}\n`);
  const proxy = await faultyProxy(peer.url, () => ({}));
  await run(createSyncFiles(node), { artifact, from: [{ ...peer, url: proxy.url }] });
  expect(await pulled(node)).toBe(true);
  const asked = proxy.seen.flatMap(({ path }) => /blocks\/(\d+)/.exec(path)?.[1] ?? []).map(Number);
  expect(asked.sort((a, b) => a - b)).toEqual(Array.from({ length: BLOCKS - 1 }, (_, index) => index + 1));
  expect((await readdir(join(node.dataDir, DIR))).sort()).toEqual(['manifest.json', 'prefix.bin', 'prefix.idx']);
});

test('a peer that sends wrong bytes is named and not believed, and the next one is asked', async () => {
  const { artifact, peer } = await origin();
  const liar = await faultyProxy(peer.url, ({ url }) =>
    url?.includes('/blocks/') ? { change: (chunk) => Buffer.from(chunk.map((byte) => byte ^ 1)) } : {},
  );
  const node = await testNode('n02');
  const problems: string[] = [];
  await pullArtifact(node, {
    artifact,
    from: [nobody, { ...peer, name: 'liar', url: liar.url }, peer],
    onProblem: (name, problem) => problems.push(`${name}: ${problem}`),
  });
  expect(await pulled(node)).toBe(true);
  expect(problems.join('\n')).toMatch(/liar: block \d+ from .* has sha256/s);
});

test('a peer that has something else by now is left, and one that gives another manifest is not believed', async () => {
  const { artifact, peer } = await origin();
  const other = await origin('n03');
  await writeFile(join(other.node.dataDir, DIR, 'prefix.idx'), 'other');
  await sealArtifact(other.node.dataDir, DIR);
  const node = await testNode('n02');
  await expect(run(createSyncFiles(node), { artifact, from: [other.peer] })).rejects.toMatchObject({
    type: 'CommandFailed',
    message: expect.stringMatching(/^n02: copy datasets\/k: .*n03: .* answered 404/) as string,
  });
  const liar = await faultyProxy(peer.url, (_, response) => {
    response.end('{"files":[]}');
    return 'handled';
  });
  await expect(
    run(createSyncFiles(node), { artifact, from: [{ ...peer, name: 'liar', url: liar.url }] }),
  ).rejects.toMatchObject({
    type: 'DataCorrupt',
    nonRetryable: true,
    message: expect.stringMatching(/liar: .* is another manifest/) as string,
  });
  expect(await readArtifact(node.dataDir, DIR)).toBeUndefined();
});

test('a truncated or altered file is repaired from a peer', async () => {
  const { artifact, peer } = await origin();
  const node = await testNode('n02');
  await pullArtifact(node, { artifact, from: [peer] });
  await writeFile(join(node.dataDir, DIR, 'prefix.bin'), randomBytes(big.length));
  await pullArtifact(node, { artifact, from: [nobody, peer] });
  expect(await pulled(node)).toBe(true);
  expect(await readArtifact(node.dataDir, DIR)).toEqual(artifact);
});

test('an unfinished copy is not complete, and the answer says which peers were no help', async () => {
  const { artifact, peer } = await origin();
  const half = await faultyProxy(peer.url, ({ url }) => (url?.includes('/blocks/') ? { cutAfter: 10_000 } : {}));
  const node = await testNode('n02');
  await expect(
    run(createSyncFiles(node), { artifact, from: [{ ...peer, name: 'half', url: half.url }, nobody] }),
  ).rejects.toMatchObject({
    type: 'CommandFailed',
    nonRetryable: false,
    message: expect.stringMatching(/half: .*broke off.*dead: |dead: .*half: .*broke off/) as string,
  });
  await expect(access(join(node.dataDir, DIR, 'manifest.json'))).rejects.toThrow();
  expect(await readArtifact(node.dataDir, DIR)).toBeUndefined();
});

test('a silent peer is left after a while', async () => {
  const { artifact, peer } = await origin();
  const silent = await faultyProxy(peer.url, ({ url }) => (url?.includes('/blocks/') ? 'handled' : {}));
  const node = await testNode('n02');
  const from = [{ ...peer, name: 'silent', url: silent.url }, peer];
  await pullArtifact(node, { artifact, from, idleMs: 1000 });
  expect(await pulled(node)).toBe(true);
});

test('a peer that sends a byte now and then is left for one that has the same blocks', async () => {
  const { artifact, peer } = await origin();
  const dripping = await faultyProxy(peer.url, ({ url }, response) => {
    if (!url?.includes('/blocks/')) return {};
    response.writeHead(200, { 'content-length': BLOCK });
    const timer = setInterval(() => response.write('x'), 100);
    response.once('close', () => clearInterval(timer));
    return 'handled';
  });
  const node = await testNode('n02');
  const problems: string[] = [];
  const onProblem = (name: string, problem: string) => void problems.push(`${name}: ${problem}`);
  const from = [peer, { ...peer, name: 'n03', url: dripping.url }];
  await pullArtifact(node, { artifact, from, idleMs: 1500, onProblem });
  expect(await pulled(node)).toBe(true);
  expect(problems).not.toEqual([]);
  for (const problem of problems)
    expect(problem).toMatch(/^n03: sent \d+ bytes of block \d+ in \d+ ms, while others have it$/);
});

test('a cancelled copy ends as cancelled, with heartbeats until then', async () => {
  const { artifact, peer } = await origin();
  const silent = await faultyProxy(peer.url, ({ url }) => (url?.includes('/blocks/') ? 'handled' : {}));
  const node = await testNode('n02');
  const worker = new MockActivityEnvironment();
  let beats = 0;
  worker.on('heartbeat', () => void (++beats === 3 && worker.cancel('CANCELLED')));
  const copying = worker.run(createSyncFiles(node), { artifact, from: [{ ...peer, name: 'silent', url: silent.url }] });
  await expect(copying).rejects.toBeInstanceOf(CancelledFailure);
});

test('two copies of one artifact at the same time do not write into each other', async () => {
  const { artifact, peer } = await origin();
  const node = await testNode('n02');
  const both = [1, 2].map(() => run(createSyncFiles(node), { artifact, from: [peer] }));
  expect(await Promise.all(both)).toEqual([artifact, artifact]);
  expect(await pulled(node)).toBe(true);
});

/** As it is thrown to whoever asks these nodes then. */
const away = (...unanswered: string[]) => ({
  ...{ type: 'HoldersAway', nonRetryable: true },
  details: [expect.objectContaining({ node: 'n02', dir: DIR, unanswered }) as object],
});

test('where nobody answers who has something, a copy and a merge fail at once and say who', async () => {
  const { artifact } = await origin();
  const node = await testNode('n02');
  const gone: Peer = { name: 'gone', url: (await blackHole()).url };
  const asks = { artifact, asksHolders: true } as const;
  // The kernel's own word for the one, an end of patience for the other.
  const both = pullArtifact(node, { ...asks, from: [nobody, gone], idleMs: 300 });
  await expect(both).rejects.toMatchObject(away('dead', 'gone'));
  await expect(run(createSyncFiles(node), { ...asks, from: [nobody] })).rejects.toMatchObject(away('dead'));
  const shards = [{ artifact, from: [nobody] }];
  const merge: MergeShardsInput = { key: 'merged', keys: ['text'], shards, asksHolders: true };
  await expect(run(createMergeShards(node), merge)).rejects.toMatchObject(away('dead'));
});

test('one that is lost in the middle of a copy is asked once more, and what came from it is kept', async () => {
  const { artifact, peer } = await origin();
  const node = await testNode('n02');
  let blocks = 0;
  const lost = await faultyProxy(peer.url, ({ url }) => (url?.includes('/blocks/') && ++blocks > 3 ? 'handled' : {}));
  const from = [{ ...peer, name: 'lost', url: lost.url }];
  const copy = pullArtifact(node, { artifact, from, idleMs: 1000, asksHolders: true });
  await expect(copy).rejects.toMatchObject(away('lost'));
  expect(blocks).toBeLessThanOrEqual(3 + 2);
  const again = await faultyProxy(peer.url, () => ({}));
  await pullArtifact(node, { artifact, from: [{ ...peer, url: again.url }], asksHolders: true });
  expect(again.seen.filter(({ path }) => path.includes('/blocks/'))).toHaveLength(BLOCKS - 3);
  expect(await pulled(node)).toBe(true);
});

test('one of several that answers is enough, also one that has only what it brought so far', async () => {
  const { artifact, peer } = await origin();
  const node = await testNode('n02');
  await pullArtifact(node, { artifact, from: [nobody], beside: [peer], asksHolders: true });
  expect(await pulled(node)).toBe(true);
  const other = await testNode('n03');
  await pullArtifact(other, { artifact, from: [nobody, peer], asksHolders: true });
  expect(await pulled(other)).toBe(true);
});
