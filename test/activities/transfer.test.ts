import { randomBytes } from 'node:crypto';
import { access, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { CancelledFailure } from '@temporalio/common';
import { expect, test } from 'vitest';
import { readArtifact, sealArtifact } from '../../activities/artifact.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { createSyncFiles } from '../../activities/sync-files.js';
import { pullArtifact } from '../../activities/transfer.js';
import type { Peer } from '../../workflows/contract.js';
import { faultyProxy } from '../support/faulty-proxy.js';
import { run, serving, testNode } from '../support/test-node.js';

const DIR = 'datasets/k';
const big = randomBytes(3_000_000);

async function origin(name = 'n01') {
  const node = await testNode(name);
  await mkdir(join(node.dataDir, DIR), { recursive: true });
  await writeFile(join(node.dataDir, DIR, 'prefix.bin'), big);
  await writeFile(join(node.dataDir, DIR, 'prefix.idx'), 'index');
  const artifact = await sealArtifact(node.dataDir, DIR);
  return { node, artifact, peer: await serving(node) };
}

const pulled = async ({ dataDir }: NodeDeps) => (await readFile(join(dataDir, DIR, 'prefix.bin'))).equals(big);
const nobody: Peer = { name: 'dead', url: 'http://127.0.0.1:1' };

test('a node copies an artifact from a peer, keeps it in its content store, and is done at once the second time', async () => {
  const { artifact, peer } = await origin();
  const node = await testNode('n02');
  expect(await run(createSyncFiles(node), { artifact, from: [peer] })).toEqual(artifact);
  expect(await readArtifact(node.dataDir, DIR)).toEqual(artifact);
  expect(await pulled(node)).toBe(true);
  expect((await stat(join(node.dataDir, DIR, 'prefix.bin'))).nlink).toBe(2);
  expect(await run(createSyncFiles(node), { artifact, from: [] })).toEqual(artifact);
});

test('what a trainer will write in place shares nothing with the content store', async () => {
  const { artifact, peer } = await origin();
  const node = await testNode('n02');
  await pullArtifact({ node: 'n02', dataDir: node.dataDir, artifact, from: [peer] });
  expect((await stat(join(node.dataDir, DIR, 'prefix.bin'))).nlink).toBe(1);
});

test('a copy that breaks off goes on by range from the next peer', async () => {
  const { artifact, peer } = await origin();
  const cut = await faultyProxy(peer.url, ({ url }) => (url?.endsWith('.bin') ? { cutAfter: 1_000_000 } : {}));
  const good = await faultyProxy(peer.url, () => ({}));
  const node = await testNode('n02');
  const from = [
    { name: 'cut', url: cut.url },
    { name: 'good', url: good.url },
  ];
  await run(createSyncFiles(node), { artifact, from });
  expect(await pulled(node)).toBe(true);
  const ranges = good.seen.filter(({ path }) => path.endsWith('.bin')).map(({ range }) => range);
  expect(ranges).toEqual([expect.stringMatching(/^bytes=[1-9]\d*-$/)]);
});

test('a copy that a dead worker left half done goes on where it was', async () => {
  const { artifact, peer } = await origin();
  const proxy = await faultyProxy(peer.url, () => ({}));
  const node = await testNode('n02');
  await mkdir(join(node.dataDir, DIR), { recursive: true });
  await writeFile(join(node.dataDir, DIR, 'prefix.bin.part'), big.subarray(0, 2_000_000));
  await run(createSyncFiles(node), { artifact, from: [{ name: 'n01', url: proxy.url }] });
  expect(proxy.seen.find(({ path }) => path.endsWith('.bin'))?.range).toBe('bytes=2000000-');
  expect(await pulled(node)).toBe(true);
});

test('a peer that sends wrong bytes is named and not believed, and the next one is asked', async () => {
  const { artifact, peer } = await origin();
  const liar = await faultyProxy(peer.url, ({ url }) =>
    url?.endsWith('.bin') ? { change: (chunk) => Buffer.from(chunk.map((byte) => byte ^ 1)) } : {},
  );
  const node = await testNode('n02');
  const problems: string[] = [];
  await pullArtifact({
    node: 'n02',
    dataDir: node.dataDir,
    artifact,
    from: [nobody, { name: 'liar', url: liar.url }, peer],
    onProblem: (name, problem) => problems.push(`${name}: ${problem}`),
  });
  expect(await pulled(node)).toBe(true);
  expect(problems.join('\n')).toMatch(/^dead: .*\nliar: .*prefix\.bin has sha256/s);
});

test('a peer with another manifest is not believed either', async () => {
  const { artifact } = await origin();
  const other = await origin('n03');
  await writeFile(join(other.node.dataDir, DIR, 'prefix.idx'), 'other');
  await sealArtifact(other.node.dataDir, DIR);
  const node = await testNode('n02');
  await expect(run(createSyncFiles(node), { artifact, from: [other.peer] })).rejects.toMatchObject({
    type: 'DataCorrupt',
    nonRetryable: true,
    message: expect.stringMatching(/^n02: copy datasets\/k: .*n03: .*is not the manifest/) as string,
  });
  expect(await readArtifact(node.dataDir, DIR)).toBeUndefined();
});

test('a truncated or altered file is repaired from a peer', async () => {
  const { artifact, peer } = await origin();
  const node = await testNode('n02');
  const options = { node: 'n02', dataDir: node.dataDir, artifact };
  await pullArtifact({ ...options, from: [peer] });
  await writeFile(join(node.dataDir, DIR, 'prefix.bin'), randomBytes(big.length));
  await pullArtifact({ ...options, from: [nobody, peer] });
  expect(await pulled(node)).toBe(true);
  expect(await readArtifact(node.dataDir, DIR)).toEqual(artifact);
});

test('an unfinished copy is not complete, and the answer says which peers were no help', async () => {
  const { artifact, peer } = await origin();
  const half = await faultyProxy(peer.url, ({ url }) => (url?.endsWith('.bin') ? { cutAfter: 10_000 } : {}));
  const node = await testNode('n02');
  await expect(
    run(createSyncFiles(node), { artifact, from: [{ name: 'half', url: half.url }, nobody] }),
  ).rejects.toMatchObject({
    type: 'CommandFailed',
    nonRetryable: false,
    message: expect.stringMatching(/half: .*broke off after \d+ of 3000000 bytes.*dead: /) as string,
  });
  await expect(access(join(node.dataDir, DIR, 'manifest.json'))).rejects.toThrow();
  expect(await readArtifact(node.dataDir, DIR)).toBeUndefined();
});

test('a silent peer is left after a while', async () => {
  const { artifact, peer } = await origin();
  const silent = await faultyProxy(peer.url, ({ url }) => (url?.endsWith('.bin') ? 'handled' : {}));
  const node = await testNode('n02');
  const from = [{ name: 'silent', url: silent.url }, peer];
  await pullArtifact({ node: 'n02', dataDir: node.dataDir, artifact, from, idleMs: 200 });
  expect(await pulled(node)).toBe(true);
});

test('a cancelled copy ends as cancelled, with heartbeats until then', async () => {
  const { artifact, peer } = await origin();
  const silent = await faultyProxy(peer.url, ({ url }) => (url?.endsWith('.bin') ? 'handled' : {}));
  const node = await testNode('n02');
  const worker = new MockActivityEnvironment();
  const beats: unknown[] = [];
  worker.on('heartbeat', (details: unknown) => beats.push(details));
  const copying = worker.run(createSyncFiles(node), { artifact, from: [{ name: 'silent', url: silent.url }] });
  setTimeout(() => worker.cancel('CANCELLED'), 700);
  await expect(copying).rejects.toBeInstanceOf(CancelledFailure);
  expect(beats.length).toBeGreaterThan(1);
});

test('two copies of one artifact at the same time do not write into each other', async () => {
  const { artifact, peer } = await origin();
  const node = await testNode('n02');
  const both = [1, 2].map(() => run(createSyncFiles(node), { artifact, from: [peer] }));
  expect(await Promise.all(both)).toEqual([artifact, artifact]);
  expect(await pulled(node)).toBe(true);
});
