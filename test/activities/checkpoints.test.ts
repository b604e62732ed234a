/** Checkpoint trees: listed, restored from peers, copied as they are saved. Real files, real HTTP. */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdir, open, readdir, readFile, rm, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CancelledFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { sha256, writeManifest } from '../../activities/artifact.js';
import { iterationDir, sealShard, shardDir, TRACKER } from '../../activities/checkpoint-files.js';
import { writeJson } from '../../activities/atomic.js';
import { fenceOff } from '../../activities/fence.js';
import { filesOf, generationDir } from '../../activities/generation-files.js';
import { checkpointsIn, createListCheckpoints } from '../../activities/list-checkpoints.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { pause } from '../../activities/process.js';
import { removeOld } from '../../activities/remove-checkpoints.js';
import { createReplicateCheckpoint } from '../../activities/replicate-checkpoint.js';
import { createRestoreCheckpoint } from '../../activities/restore-checkpoint.js';
import { noteLaunch } from '../../activities/series-launch.js';
import type { Peer, ReplicateCheckpointInput, ShardHeld } from '../../workflows/contract.js';
import { trainedWith } from '../../workflows/checkpoints.js';
import type { CheckpointReplicated, CopiesBehind } from '../../workflows/messages.js';
import { identityOf } from '../../workflows/series-identity.js';
import { faultyProxy } from '../support/faulty-proxy.js';
import { recommended } from '../support/run-files.js';
import { launchInput } from '../support/fake-training.js';
import { tempDir } from '../support/temp-dir.js';
import { run, serving, testNode } from '../support/test-node.js';

const DIR = 'series/s/checkpoints';
const [FIRST, SECOND] = ['mp_rank_00_000', 'mp_rank_00_001'] as const;

/** What a trainer writes of one shard, different for each iteration. */
async function save({ dataDir }: NodeDeps, iteration: number, shard: string, text = `${shard} at ${iteration}`) {
  const dir = join(dataDir, shardDir(DIR, iteration, shard));
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'model_optim_rng.pt'), `model of ${text}`);
  await writeFile(join(dir, 'distrib_optim.pt'), `optimizer of ${text}`);
}

async function saveAndSeal(deps: NodeDeps, iteration: number, shard: string, text?: string): Promise<ShardHeld> {
  await save(deps, iteration, shard, text);
  const { digest, bytes } = await sealShard(deps.dataDir, shardDir(DIR, iteration, shard));
  return { shard, digest, bytes };
}

const fileOf = ({ dataDir }: NodeDeps, iteration: number, shard: string, name = 'model_optim_rng.pt') =>
  join(dataDir, shardDir(DIR, iteration, shard), name);
const track = ({ dataDir }: NodeDeps, iteration: number) => writeFile(join(dataDir, DIR, TRACKER), String(iteration));
const tracker = ({ dataDir }: NodeDeps) => readFile(join(dataDir, DIR, TRACKER), 'utf8');
const list = (deps: NodeDeps) => run(createListCheckpoints(deps), { dir: DIR });
const tree = ({ dataDir }: NodeDeps) => readdir(join(dataDir, DIR)).then((names) => names.sort());

const restore = (deps: NodeDeps, iteration: number, shards: (ShardHeld & { from: Peer[] })[], setAsideNewer = true) =>
  run(createRestoreCheckpoint(deps), { dir: DIR, iteration, shards, setAsideNewer });

describe('a listing', () => {
  it('fails where the tree cannot be read, which is not to hold nothing; old ones there are left, and that is said', async () => {
    const deps = await testNode('n1');
    await mkdir(join(deps.dataDir, 'series/s'), { recursive: true });
    // As a stale handle of shared storage, or a failing disk.
    await symlink('checkpoints', join(deps.dataDir, DIR));
    await expect(list(deps)).rejects.toThrow('ELOOP');
    const removing = new MockActivityEnvironment().run(removeOld, deps.dataDir, DIR, { before: 5, keep: [] });
    expect(await removing).toMatchObject({
      ...{ removed: [], failed: [expect.stringContaining('ELOOP')] },
    });
  });

  it('names the sealed shards of every iteration, and nothing of a tree that is not there', async () => {
    const deps = await testNode('n1');
    expect(await list(deps)).toEqual([]);
    const five = await saveAndSeal(deps, 5, FIRST);
    const ten = [await saveAndSeal(deps, 10, FIRST), await saveAndSeal(deps, 10, SECOND)];
    expect(await list(deps)).toEqual([
      { iteration: 5, shards: [five] },
      { iteration: 10, shards: ten },
    ]);
  });

  it('names the newest only where there are many: those that stay in any case, and what is newer', async () => {
    const deps = await testNode('n1');
    for (const iteration of [5, 10, 15, 20, 25]) await saveAndSeal(deps, iteration, FIRST);
    const told = async (keep?: number, little?: number) =>
      (await checkpointsIn(deps.dataDir, DIR, keep, little)).map(({ iteration }) => iteration);
    expect(await told(1, 0)).toEqual([15, 20, 25]);
    expect(await told(2, 0)).toEqual([10, 15, 20, 25]);
    for (const all of [told(1), told(undefined, 0)]) expect(await all).toEqual([5, 10, 15, 20, 25]);
  });

  it('leaves out what is not sealed, cut, or lacks a file', async () => {
    const deps = await testNode('n1');
    await save(deps, 5, FIRST);
    await saveAndSeal(deps, 10, FIRST);
    await truncate(fileOf(deps, 10, FIRST), 3);
    await saveAndSeal(deps, 15, FIRST);
    await rm(fileOf(deps, 15, FIRST, 'distrib_optim.pt'));
    expect(await list(deps)).toEqual([]);
  });
});

describe('what a series is trained with, in a listing', () => {
  it('is told once for all iterations that share it, so that hundreds of them fit in one answer', async () => {
    const deps = await testNode('n1');
    const identity = identityOf(recommended('qwen3-8b', 'A2', '26.0.0'));
    const sealed = async (iterations: number[], token: number, more: object) => {
      await noteLaunch(deps.dataDir, { ...launchInput(token), identity: { ...identity, ...more } });
      for (const iteration of iterations) {
        await save(deps, iteration, FIRST);
        await sealShard(deps.dataDir, shardDir(DIR, iteration, FIRST), { token });
      }
    };
    await sealed([10, 20, 30, 40], 1, {});
    await sealed([50, 60], 2, { 'train.extraArgs.--lr': '1e-4' });
    await save(deps, 70, FIRST);
    await sealShard(deps.dataDir, shardDir(DIR, 70, FIRST));
    const listing = await list(deps);
    expect(listing.map(({ identityAs }) => identityAs)).toEqual([
      ...[undefined, 10, 10, 10],
      ...[undefined, 50],
      undefined,
    ]);
    expect(listing.map((held) => held.identity !== undefined)).toEqual([true, false, false, false, true, false, false]);
    // The server takes answers of 2 MB; what each iteration adds is its shards.
    const perIteration = JSON.stringify(listing[1]).length;
    expect(JSON.stringify(identity).length).toBeGreaterThan(2_000);
    expect(perIteration).toBeLessThan(250);
    // And nothing of it is lost to whoever compares.
    const told = (iteration: number) =>
      trainedWith([{ peer: { name: 'n1', url: 'http://n1' }, checkpoints: listing }], iteration);
    expect(told(30)).toMatchObject({ iteration: 30, identity });
    expect(told(60)).toMatchObject({ iteration: 60, identity: { ...identity, 'train.extraArgs.--lr': '1e-4' } });
    expect(told(70)).toBeUndefined();
  });
});

describe('a seal', () => {
  it('names the launch that wrote the files, and so does the listing', async () => {
    const deps = await testNode('n1');
    await save(deps, 5, FIRST);
    const { digest, bytes } = await sealShard(deps.dataDir, shardDir(DIR, 5, FIRST), { token: 7 });
    expect(await list(deps)).toEqual([{ iteration: 5, shards: [{ shard: FIRST, digest, bytes, token: 7 }] }]);
  });

  it('holds what the launch trains with, which goes along with copies and is in their listings', async () => {
    const { nodes, peers } = await ring();
    const identity = { 'parallel.pp': 2, 'train.extraArgs.--lr': '1e-3', 'parallel.noopLayers': null };
    for (const [index, node] of nodes.entries()) {
      await noteLaunch(node.dataDir, { ...launchInput(1), identity });
      await save(node, 5, [FIRST, SECOND][index]!);
      await track(node, 5);
    }
    await Promise.all(nodes.map((node, i) => follow(node, replicateInput(peers, i as 0 | 1, { until: 5 }))));
    const [n1, n2] = [await list(nodes[0]), await list(nodes[1])];
    expect(n1).toEqual(n2);
    expect(n1).toMatchObject([{ iteration: 5, identity, shards: [{ shard: FIRST }, { shard: SECOND }] }]);
    // Whoever is brought it by a restore has it too, though no launch was ever there.
    const spare = await testNode('n3');
    await restore(
      spare,
      5,
      n1[0]!.shards.map((shard) => ({ ...shard, from: peers })),
    );
    expect(await list(spare)).toEqual(n1);
  });

  it('says nothing of what another launch trains with', async () => {
    const deps = await testNode('n1');
    await noteLaunch(deps.dataDir, { ...launchInput(2), identity: { 'parallel.pp': 1 } });
    await save(deps, 5, FIRST);
    await sealShard(deps.dataDir, shardDir(DIR, 5, FIRST), { token: 1 });
    expect((await list(deps))[0]).not.toHaveProperty('identity');
  });

  it('is made anew when the files were written again, though with the same sizes', async () => {
    const deps = await testNode('n1');
    const before = await saveAndSeal(deps, 5, FIRST, 'one');
    expect((await sealShard(deps.dataDir, shardDir(DIR, 5, FIRST))).digest).toBe(before.digest);
    await save(deps, 5, FIRST, 'two');
    const later = new Date(Date.now() + 2_000);
    await utimes(fileOf(deps, 5, FIRST), later, later);
    expect((await sealShard(deps.dataDir, shardDir(DIR, 5, FIRST))).digest).not.toBe(before.digest);
  });
});

describe('a restore', () => {
  it('brings what is missing from a peer, keeps what is good, and writes the tracker', async () => {
    const [n1, n2] = [await testNode('n1'), await testNode('n2')];
    const own = await saveAndSeal(n1, 10, FIRST);
    const theirs = await saveAndSeal(n2, 10, SECOND);
    const before = await stat(fileOf(n1, 10, FIRST));
    const peer = await serving(n2);
    await restore(n1, 10, [
      { ...own, from: [{ name: 'n1', url: 'http://127.0.0.1:9' }] },
      { ...theirs, from: [peer] },
    ]);
    expect((await stat(fileOf(n1, 10, FIRST))).mtimeMs).toBe(before.mtimeMs);
    expect(await readFile(fileOf(n1, 10, SECOND), 'utf8')).toBe(`model of ${SECOND} at 10`);
    expect((await stat(fileOf(n1, 10, SECOND))).nlink).toBe(1);
    expect(await tracker(n1)).toBe('10');
  });

  it('repairs from a peer a shard that is damaged here, though its size is right', async () => {
    const [n1, n2] = [await testNode('n1'), await testNode('n2')];
    const held = await saveAndSeal(n1, 10, FIRST);
    expect(await saveAndSeal(n2, 10, FIRST)).toEqual(held);
    const good = await readFile(fileOf(n1, 10, FIRST), 'utf8');
    await writeFile(fileOf(n1, 10, FIRST), good.replace('model', 'm0del'));
    await restore(n1, 10, [{ ...held, from: [await serving(n1), await serving(n2)] }]);
    expect(await readFile(fileOf(n1, 10, FIRST), 'utf8')).toBe(good);
    expect(await list(n1)).toEqual([{ iteration: 10, shards: [held] }]);
  });

  it('says of a shard that nobody has in order which one it is, and writes no tracker', async () => {
    const [n1, n2] = [await testNode('n1'), await testNode('n2')];
    const held = await saveAndSeal(n1, 10, FIRST);
    await track(n1, 10);
    await truncate(fileOf(n1, 10, FIRST), 3);
    const alone = { ...held, from: [await serving(n1)] };
    const error = {
      type: 'DataCorrupt',
      nonRetryable: true,
      details: [{ iteration: 10, shard: FIRST, digest: held.digest, node: 'n1' }],
    };
    await expect(restore(n1, 10, [alone])).rejects.toMatchObject(error);
    await expect(tracker(n1)).rejects.toThrow('ENOENT');

    await saveAndSeal(n2, 10, FIRST);
    await writeFile(fileOf(n2, 10, FIRST), `m0del of ${FIRST} at 10`);
    await expect(restore(n1, 10, [{ ...held, from: [await serving(n2)] }])).rejects.toMatchObject(error);
  });

  it('is to be tried again, and not given up, while a peer that has it is away', async () => {
    const [n1, n2] = [await testNode('n1'), await testNode('n2')];
    const held = await saveAndSeal(n2, 10, FIRST);
    const away = { name: 'n2', url: 'http://127.0.0.1:9' };
    await expect(restore(n1, 10, [{ ...held, from: [away] }])).rejects.toMatchObject({
      type: 'CommandFailed',
      nonRetryable: false,
    });
  });

  it('has a shard also from nodes that bring it at the same time', async () => {
    const [n1, n2] = [await testNode('n1'), await testNode('n2')];
    const held = await saveAndSeal(n2, 10, FIRST);
    const shards = [{ ...held, from: [{ name: 'n3', url: 'http://127.0.0.1:9' }] }];
    const beside = [{ name: 'n1', url: 'http://127.0.0.1:9' }, await serving(n2)];
    await run(createRestoreCheckpoint(n1), { dir: DIR, iteration: 10, shards, beside, setAsideNewer: true });
    expect(await list(n1)).toEqual([{ iteration: 10, shards: [held] }]);
  });

  it('waits for one that is under way, whose workflow may have left it, so that the last tracker is its own', async () => {
    const [n1, n2] = [await testNode('n1'), await testNode('n2')];
    const older = await saveAndSeal(n1, 10, FIRST);
    const newer = await saveAndSeal(n2, 20, FIRST);
    const peer = await serving(n2);
    let held: ServerResponse | undefined;
    const { url } = await faultyProxy(peer.url, (asked, response) => {
      if (held || !asked.url?.includes('/blocks/')) return {};
      held = response;
      return 'handled';
    });
    const first = restore(n1, 20, [{ ...newer, from: [{ ...peer, url }] }]);
    await expect.poll(() => held).toBeDefined();
    const second = restore(n1, 10, [{ ...older, from: [] }]);
    held!.destroy();
    await Promise.all([first, second]);
    expect(await tracker(n1)).toBe('10');
    expect(await tree(n1)).toEqual([iterationDir(10), TRACKER, 'set-aside']);
  });

  it('sets newer iterations aside, sealed or not, and without an iteration everything', async () => {
    const deps = await testNode('n1');
    const ten = await saveAndSeal(deps, 10, FIRST);
    await saveAndSeal(deps, 15, FIRST);
    await save(deps, 20, FIRST);
    await track(deps, 15);
    await restore(deps, 10, [{ ...ten, from: [] }]);
    expect(await tree(deps)).toEqual([iterationDir(10), TRACKER, 'set-aside']);
    const [batch] = await readdir(join(deps.dataDir, DIR, 'set-aside'));
    expect(await readdir(join(deps.dataDir, DIR, 'set-aside', batch!))).toEqual([iterationDir(15), iterationDir(20)]);
    expect(await tracker(deps)).toBe('10');

    await restore(deps, 0, []);
    expect(await tree(deps)).toEqual(['set-aside']);
  });
});

describe('a restore of the model alone, where the optimizer is read elsewhere', () => {
  const bring = (deps: NodeDeps, shard: ShardHeld & { from: Peer[] }, beside: Peer[] = []) => {
    const shards = [{ ...shard, modelOnly: true as const }];
    return run(createRestoreCheckpoint(deps), { dir: DIR, iteration: 10, shards, beside, setAsideNewer: true });
  };
  const names = (deps: NodeDeps) => readdir(join(deps.dataDir, shardDir(DIR, 10, FIRST))).then((all) => all.sort());
  const blocksOf = (seen: { path: string }[]) => seen.flatMap(({ path }) => /blocks\/(\d+)/.exec(path)?.[1] ?? []);
  /** By their place in the manifest, which is in order of names. */
  const [OPTIMIZER, MODEL] = ['0', '1'];

  async function half() {
    const [n1, n2] = [await testNode('n1'), await testNode('n2')];
    const held = await saveAndSeal(n2, 10, FIRST);
    const peer = await serving(n2);
    const proxy = await faultyProxy(peer.url, () => ({}));
    const from = [{ ...peer, url: proxy.url }];
    await bring(n1, { ...held, from });
    return { n1, n2, held, from, asked: () => blocksOf(proxy.seen) };
  }

  it('asks for nothing else, writes the tracker, and is no checkpoint that the node could give', async () => {
    const { n1, asked } = await half();
    expect(asked()).toEqual([MODEL]);
    expect(await readFile(fileOf(n1, 10, FIRST), 'utf8')).toBe(`model of ${FIRST} at 10`);
    expect(await names(n1)).toEqual(['.part.json', 'model_optim_rng.pt']);
    expect(await tracker(n1)).toBe('10');
    expect(await list(n1)).toEqual([]);
  });

  it('is done at once the second time, nobody being asked, and repairs what was damaged since', async () => {
    const { n1, held, from, asked } = await half();
    await bring(n1, { ...held, from: [{ name: 'n2', url: 'http://127.0.0.1:9' }] });
    await damage(fileOf(n1, 10, FIRST));
    await bring(n1, { ...held, from });
    expect(asked()).toEqual([MODEL, MODEL]);
    expect(await readFile(fileOf(n1, 10, FIRST), 'utf8')).toBe(`model of ${FIRST} at 10`);
    expect(await list(n1)).toEqual([]);
  });

  it('has the rest brought, and no more, where the node is to read it later; then it is a copy as any other', async () => {
    const { n1, held, from, asked } = await half();
    await restore(n1, 10, [{ ...held, from }]);
    expect(asked()).toEqual([MODEL, OPTIMIZER]);
    expect(await names(n1)).toEqual(['distrib_optim.pt', 'manifest.json', 'model_optim_rng.pt']);
    expect(await list(n1)).toEqual([{ iteration: 10, shards: [held] }]);
    // And it stays one where a later launch needs less.
    await bring(n1, { ...held, from: [{ name: 'n2', url: 'http://127.0.0.1:9' }] });
    expect(await list(n1)).toEqual([{ iteration: 10, shards: [held] }]);
  });

  it('gives other nodes what it has, also when it is done, and of the rest nothing', async () => {
    const { n1, held } = await half();
    const peer = await serving(n1);
    const proxy = await faultyProxy(peer.url, () => ({}));
    const n3 = await testNode('n3');
    const gone = { name: 'n2', url: 'http://127.0.0.1:9' };
    await bring(n3, { ...held, from: [gone] }, [{ ...peer, url: proxy.url }]);
    expect(blocksOf(proxy.seen)).toEqual([MODEL]);
    expect(await readFile(fileOf(n3, 10, FIRST), 'utf8')).toBe(`model of ${FIRST} at 10`);
    const headers = { authorization: `Bearer ${peer.token}` };
    const status = async (what: string) => (await fetch(`${peer.url}${what}`, { headers })).status;
    expect(await status(`/artifacts/${held.digest}/blocks/${OPTIMIZER}`)).toBe(404);
    // Also where a file of that name lies there: nothing vouches for it.
    await writeFile(fileOf(n1, 10, FIRST, 'distrib_optim.pt'), `optimizer of ${FIRST} at 10`);
    expect(await status(`/artifacts/${held.digest}/blocks/${OPTIMIZER}`)).toBe(404);
    expect(await status(`/artifacts/${held.digest}/blocks/${MODEL}`)).toBe(200);
    expect(await status(`/series/s/10/${FIRST}`)).toBe(404);
    expect(await list(n1)).toEqual([]);
  });

  it('brings a shard of one file, which has no distributed optimizer, as a copy', async () => {
    const [n1, n2] = [await testNode('n1'), await testNode('n2')];
    await save(n2, 10, FIRST);
    await rm(fileOf(n2, 10, FIRST, 'distrib_optim.pt'));
    const { digest, bytes } = await sealShard(n2.dataDir, shardDir(DIR, 10, FIRST));
    const held = { shard: FIRST, digest, bytes };
    await bring(n1, { ...held, from: [await serving(n2)] });
    expect(await names(n1)).toEqual(['manifest.json', 'model_optim_rng.pt']);
    expect(await list(n1)).toEqual([{ iteration: 10, shards: [held] }]);
  });

  it('goes out of sight with newer iterations, and is removed with old ones', async () => {
    const { n1 } = await half();
    await restore(n1, 5, []);
    expect(await tree(n1)).toEqual(['set-aside']);
    const other = await half();
    expect(await removeOld(other.n1.dataDir, DIR, { before: 20, keep: [] })).toEqual({ removed: [] });
    await track(other.n1, 20);
    expect(await removeOld(other.n1.dataDir, DIR, { before: 20, keep: [] })).toEqual({ removed: [10] });
  });
});

/** Two writers, each with one shard and the other's copy, as a ring of two has it. */
async function ring(): Promise<{
  nodes: [NodeDeps, NodeDeps];
  peers: [Peer, Peer];
  news: CheckpointReplicated[];
  troubles: CopiesBehind[];
}> {
  const news: CheckpointReplicated[] = [];
  const troubles: CopiesBehind[] = [];
  const signal = (_: unknown, name: string, payload: unknown) => {
    if (name === 'copiesBehind') troubles.push(payload as CopiesBehind);
    else if (name === 'checkpointReplicated') news.push(payload as CheckpointReplicated);
    else throw new Error(`no such signal: ${name}`);
    return Promise.resolve();
  };
  const nodes: [NodeDeps, NodeDeps] = [await testNode('n1', { signal }), await testNode('n2', { signal })];
  for (const { dataDir } of nodes) await mkdir(join(dataDir, DIR), { recursive: true });
  return { nodes, peers: [await serving(nodes[0]), await serving(nodes[1])], news, troubles };
}

const replicateInput = ([n1, n2]: [Peer, Peer], which: 0 | 1, more = {}): ReplicateCheckpointInput => ({
  ...{ run: 'r', series: 's', generation: 1, token: 1, after: 0, until: 100, master: n1, patienceSeconds: 60 },
  task: `part ${which}`,
  seals: [which === 0 ? FIRST : SECOND],
  copies: [which === 0 ? { shard: SECOND, from: n2 } : { shard: FIRST, from: n1 }],
  reportTo: { workflowId: 'w', runId: 'r' },
  ...more,
});

const follow = (deps: NodeDeps, input: ReplicateCheckpointInput) => run(createReplicateCheckpoint(deps), input);

async function exits({ dataDir }: NodeDeps): Promise<void> {
  const dir = generationDir(dataDir, { run: 'r', generation: 1, token: 1 });
  await mkdir(dir, { recursive: true });
  await writeJson(filesOf(dir).exit, { token: 1, code: 0, signal: null, at: '' });
}

/** An address where a server of another kind listens, or nobody. */
async function strangerIf(listens: boolean): Promise<{ url: string }> {
  const server = createServer((_, response) => void response.writeHead(404).end()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const close = () => new Promise((closed) => server.close(closed));
  if (listens) onTestFinished(async () => void (await close()));
  else await close();
  return { url: `http://127.0.0.1:${port}` };
}

/** A byte that the disk lost: size and times are as they were. */
async function damage(path: string): Promise<void> {
  const { atime, mtime } = await stat(path);
  const file = await open(path, 'r+');
  await file.write('x', 0);
  await file.close();
  await utimes(path, atime, mtime);
}

/** A peer, and what it is asked for. */
async function watched(peer: Peer): Promise<{ writer: Peer; asked: string[] }> {
  const asked: string[] = [];
  const headers = { authorization: `Bearer ${peer.token!}` };
  const server = createServer((request, response) => {
    asked.push(request.url!);
    void fetch(peer.url + request.url!, { headers }).then(async (answer) =>
      response.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer())),
    );
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void (server.closeAllConnections(), server.close()));
  return { writer: { ...peer, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }, asked };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await pause(20);
}

describe('a restore on storage that nodes share', () => {
  it('sets newer iterations aside once, by whichever node comes first', async () => {
    const shared = await tempDir();
    const nodes = await Promise.all(['n1', 'n2', 'n3'].map((name) => testNode(name)));
    for (const { dataDir } of nodes) await symlink(shared, join(dataDir, 'series'));
    const held = await saveAndSeal(nodes[0]!, 5, FIRST);
    for (const iteration of [10, 15, 20, 25, 30]) await save(nodes[0]!, iteration, FIRST);
    await Promise.all(nodes.map((node) => restore(node, 5, [{ ...held, from: [] }])));
    expect((await tree(nodes[0]!)).filter((name) => name.startsWith('iter_'))).toEqual(['iter_0000005']);
    expect(await tracker(nodes[1]!)).toBe('5');
    const aside = (await readdir(join(shared, 's/checkpoints/set-aside'), { recursive: true })).flatMap(
      (path) => /iter_\d+$/.exec(path)?.[0] ?? [],
    );
    expect(aside.sort()).toEqual([10, 15, 20, 25, 30].map((iteration) => `iter_00000${iteration}`));
  });

  it('leaves no tracker on a spare, which loads nothing, but for the one that a member on its storage wrote', async () => {
    const [member, spare, apart] = await Promise.all(['n1', 'n2', 'n3'].map((name) => testNode(name)));
    await mkdir(join(member!.dataDir, 'series'));
    await symlink(join(member!.dataDir, 'series'), join(spare!.dataDir, 'series'));
    const held = await saveAndSeal(member!, 5, FIRST);
    const nodes = [member!, apart!];
    for (const node of nodes) await save(node, 10, FIRST);
    for (const node of nodes) await track(node, 10);
    await Promise.all([restore(member!, 5, [{ ...held, from: [] }]), restore(spare!, 5, []), restore(apart!, 5, [])]);
    expect(await tracker(member!)).toBe('5');
    expect(await tree(apart!)).toEqual(['set-aside']);
    await restore(spare!, 5, []);
    expect(await tree(member!)).toEqual([iterationDir(5), TRACKER, 'set-aside']);
  });

  it('of a node that is not to train yet leaves the tracker alone, which ranks may be moving', async () => {
    const deps = await testNode('n1');
    const held = await saveAndSeal(deps, 5, FIRST);
    await track(deps, 10);
    const input = { dir: DIR, iteration: 5, shards: [{ ...held, from: [] }], setAsideNewer: false };
    await run(createRestoreCheckpoint(deps), { ...input, leavesTracker: true as const });
    expect(await tracker(deps)).toBe('10');
    await run(createRestoreCheckpoint(deps), input);
    expect(await tracker(deps)).toBe('5');
  });
});

describe('a replication', () => {
  it('follows the saves: seals its own, copies the other, reports, and ends after the last one', async () => {
    const { nodes, peers, news } = await ring();
    const running = Promise.all(nodes.map((node, i) => follow(node, replicateInput(peers, i as 0 | 1, { until: 10 }))));
    for (const iteration of [5, 10]) {
      await save(nodes[0], iteration, FIRST);
      await save(nodes[1], iteration, SECOND);
      await track(nodes[0], iteration);
      await until(() => news.filter((one) => one.iteration === iteration).length === 2);
    }
    expect(await running).toEqual([{ iteration: 10 }, { iteration: 10 }]);
    const [first, second] = await Promise.all(nodes.map(list));
    expect(first).toEqual(second);
    expect(first!.map(({ iteration, shards }) => [iteration, shards.length])).toEqual([
      [5, 2],
      [10, 2],
    ]);
    const { bytes } = news[0]!;
    expect(bytes).toBe(first![0]!.shards.reduce((sum, shard) => sum + shard.bytes, 0));
  });

  it('seals each save, also one that the next has overtaken, and copies of these what is kept for ever', async () => {
    const { nodes, peers, news } = await ring();
    for (const iteration of [5, 10, 15]) {
      await save(nodes[0], iteration, FIRST);
      await save(nodes[1], iteration, SECOND);
    }
    await track(nodes[0], 15);
    const more = { until: 15, keepEvery: 10 };
    await Promise.all(nodes.map((node, i) => follow(node, replicateInput(peers, i as 0 | 1, more))));
    const held = async (node: NodeDeps) =>
      (await list(node)).map(({ iteration, shards }) => [iteration, ...shards.map(({ shard }) => shard)]);
    const both = [10, 15].map((iteration) => [iteration, FIRST, SECOND]);
    expect(await Promise.all(nodes.map(held))).toEqual([
      [[5, FIRST], ...both],
      [[5, SECOND], ...both],
    ]);
    for (const task of ['part 0', 'part 1'])
      expect(news.filter((one) => one.task === task).map(({ iteration }) => iteration)).toEqual([10, 15]);
  });

  it('does not wait for a save to be kept that its writer no longer has, or never seals', async () => {
    const { nodes, peers, news } = await ring();
    for (const iteration of [10, 20, 30]) await save(nodes[0], iteration, FIRST);
    await track(nodes[0], 30);
    await save(nodes[1], 20, SECOND);
    await saveAndSeal(nodes[1], 30, SECOND);
    await follow(nodes[0], replicateInput(peers, 0, { until: 30, keepEvery: 10 }));
    expect(news.map(({ iteration }) => iteration)).toEqual([30]);
    expect((await list(nodes[0])).map(({ iteration, shards }) => [iteration, shards.length])).toEqual([
      [10, 1],
      [20, 1],
      [30, 2],
    ]);
  });

  it('does not touch what is being written before the tracker says that it is complete', async () => {
    const { nodes, peers, news } = await ring();
    const running = follow(nodes[0], replicateInput(peers, 0, { copies: [], until: 5 }));
    await save(nodes[0], 5, FIRST);
    await pause(700);
    expect(await list(nodes[0])).toEqual([]);
    await track(nodes[0], 5);
    expect(await running).toEqual({ iteration: 5 });
    expect(news).toHaveLength(1);
  });

  it('waits for a writer that is away, and goes on with the newest save when it is back', async () => {
    const { nodes, peers, news } = await ring();
    const running = follow(nodes[0], replicateInput(peers, 0, { until: 10 }));
    await save(nodes[0], 5, FIRST);
    await track(nodes[0], 5);
    await pause(700);
    expect(news).toEqual([]);
    await save(nodes[0], 10, FIRST);
    await track(nodes[0], 10);
    await saveAndSeal(nodes[1], 10, SECOND);
    expect(await running).toEqual({ iteration: 10 });
    expect(news.map(({ iteration }) => iteration)).toEqual([10]);
  });

  it('removes what its generation has no use for, and never what a restore set aside or a writer is at', async () => {
    const { nodes, peers } = await ring();
    const n1 = { ...nodes[0], retention: () => Promise.resolve({ before: 20, keep: [15] }) };
    const ten = await saveAndSeal(n1, 10, FIRST);
    for (const iteration of [15, 40]) await save(n1, iteration, FIRST);
    await restore(n1, 10, [{ ...ten, from: [] }]);
    const running = follow(n1, replicateInput(peers, 0, { copies: [], after: 10, until: 20 }));
    for (const iteration of [15, 20]) {
      await save(n1, iteration, FIRST);
      await save(n1, 25, FIRST);
      await track(n1, iteration);
      while (!(await list(n1)).some((found) => found.iteration === iteration)) await pause(20);
    }
    await running;
    expect(await tree(n1)).toEqual([iterationDir(15), iterationDir(20), iterationDir(25), TRACKER, 'set-aside']);
    const [batch] = await readdir(join(n1.dataDir, DIR, 'set-aside'));
    expect(await readdir(join(n1.dataDir, DIR, 'set-aside', batch!))).toEqual([iterationDir(15), iterationDir(40)]);
  });

  it.each([
    ['while another node has not copied the newer ones yet', { before: 5, keep: [] }],
    ['while nobody can say what is whole', undefined],
  ])('removes nothing %s', async (_, retention) => {
    const { nodes, peers } = await ring();
    const n1 = { ...nodes[0], retention: () => Promise.resolve(retention) };
    const running = follow(n1, replicateInput(peers, 0, { copies: [], until: 20 }));
    for (const iteration of [5, 10, 15, 20]) {
      await save(n1, iteration, FIRST);
      await track(n1, iteration);
      while (!(await list(n1)).some((found) => found.iteration === iteration)) await pause(20);
    }
    await running;
    expect((await list(n1)).map(({ iteration }) => iteration)).toEqual([5, 10, 15, 20]);
  });

  it('ends when the ranks here have, and the tracker moves no more', async () => {
    const { nodes, peers } = await ring();
    await save(nodes[0], 5, FIRST);
    await track(nodes[0], 5);
    await exits(nodes[0]);
    expect(await follow(nodes[0], replicateInput(peers, 0, { copies: [] }))).toEqual({ iteration: 5 });
  });

  it.each([
    ['nobody listens', undefined, /^n2: copies of checkpoints of s: n1 does not answer at http:\S+: cannot be reached/],
    ['another node does', 'n3', /n1 does not answer at http:\S+: answered 401/],
    ['another server does', 'server', /n1 does not answer at http:\S+: answered 404/],
  ] as const)('ends after a while where %s at the address of the master, and says so', async (_, who, message) => {
    const { nodes, peers } = await ring();
    const elsewhere = who === 'n3' ? await serving(await testNode('n3')) : await strangerIf(who === 'server');
    const master = { ...peers[0], url: elsewhere.url };
    const asked = follow(nodes[1], replicateInput(peers, 1, { master, patienceSeconds: 1 }));
    const details = [{ node: 'n2', silent: 'n1', why: expect.stringMatching(/^n1 does not answer at/) as string }];
    await expect(asked).rejects.toMatchObject({ message: expect.stringMatching(message) as string, details });
  });

  it('waits longer than that for a master that answers and has saved nothing yet', async () => {
    const { nodes, peers } = await ring();
    const running = follow(nodes[1], replicateInput(peers, 1, { copies: [], patienceSeconds: 1, until: 5 }));
    await pause(2_000);
    await save(nodes[1], 5, SECOND);
    await track(nodes[0], 5);
    expect(await running).toEqual({ iteration: 5 });
  });

  it('ends where a newer launch has been, and brings nothing of its own over what that saved', async () => {
    // As after a restore of the server's database to before a relaunch: n2 served the old generation only.
    const { nodes, peers, news } = await ring();
    await save(nodes[1], 10, SECOND, 'the old launch');
    await save(nodes[0], 10, SECOND, 'the new launch');
    const copy = await sealShard(nodes[0].dataDir, shardDir(DIR, 10, SECOND), { token: 2 });
    await track(nodes[0], 10);
    await fenceOff(nodes[0].dataDir, 2);
    expect(await follow(nodes[0], replicateInput(peers, 0, { seals: [] }))).toEqual({
      iteration: 0,
      unfinished: 'n1 has seen a newer launch (token 2) than generation 1 (token 1)',
    });
    expect(await readFile(fileOf(nodes[0], 10, SECOND), 'utf8')).toBe('model of the new launch');
    expect((await sealShard(nodes[0].dataDir, shardDir(DIR, 10, SECOND))).digest).toBe(copy.digest);
    expect(news).toEqual([]);
  });

  it('ends after its ranks where the tracker names what was never written here, or has gone since', async () => {
    const { nodes, peers, news } = await ring();
    await save(nodes[0], 10, FIRST);
    await save(nodes[1], 5, SECOND);
    await track(nodes[0], 10);
    await exits(nodes[0]);
    await exits(nodes[1]);
    const unfinished = 'n2 has no mp_rank_00_001 of iteration 10';
    const spare = { seals: [], copies: [{ shard: SECOND, from: peers[1] }], over: true };
    const ends = [
      ...nodes.map((node, which) => follow(node, replicateInput(peers, which as 0 | 1))),
      follow(await testNode('n3'), replicateInput(peers, 0, spare)),
    ];
    expect(await Promise.all(ends)).toEqual(ends.map(() => ({ iteration: 0, unfinished })));
    expect(news).toEqual([]);
  });

  it('ends after its ranks where the writer has only damaged bytes, and does not read them again and again', async () => {
    const { nodes, peers, news } = await ring();
    await save(nodes[0], 5, FIRST);
    await saveAndSeal(nodes[1], 5, SECOND);
    await damage(fileOf(nodes[1], 5, SECOND));
    await track(nodes[0], 5);
    await exits(nodes[0]);
    const { writer, asked } = await watched(peers[1]);
    const running = follow(nodes[0], replicateInput(peers, 0, { copies: [{ shard: SECOND, from: writer }] }));
    await expect(running).rejects.toMatchObject({
      ...{ type: 'DataCorrupt', nonRetryable: true },
      message: expect.stringMatching(
        /^n1: .*no peer gave a good model_optim_rng.pt \(n2: block \d .* has sha256/,
      ) as string,
    });
    expect(asked.filter((url) => url.includes('/blocks/')).length).toBeLessThan(20);
    expect(news).toEqual([]);
  });

  it('ends after its ranks where there is no room for a copy, and says so', async () => {
    const { nodes, peers } = await ring();
    await save(nodes[0], 5, FIRST);
    await track(nodes[0], 5);
    await save(nodes[1], 5, SECOND);
    const file = { path: 'model_optim_rng.pt', size: 1e15, sha256: sha256('x') };
    await writeManifest(nodes[1].dataDir, shardDir(DIR, 5, SECOND), { files: [file], block: 1e15 });
    await exits(nodes[0]);
    await expect(follow(nodes[0], replicateInput(peers, 0, { until: 5 }))).rejects.toMatchObject({
      ...{ type: 'EnvCheckFailed', nonRetryable: true },
      message: expect.stringMatching(/needs 1000000.0 GB and .* has .* left\. Free space there/) as string,
    });
  });

  it('waits, while its ranks train, for the save after one that has gone here, and tells its generation of it', async () => {
    const { nodes, peers, news, troubles } = await ring();
    await track(nodes[0], 5);
    const running = follow(nodes[0], replicateInput(peers, 0, { copies: [], until: 10 }));
    await until(() => troubles.length > 0);
    expect(troubles).toEqual([{ token: 1, task: 'part 0', why: 'n1 has no mp_rank_00_000 of iteration 5' }]);
    await save(nodes[0], 10, FIRST);
    await track(nodes[0], 10);
    expect(await running).toEqual({ iteration: 10 });
    expect(news.map(({ iteration }) => iteration)).toEqual([10]);
  });

  it('ends with the reason of its cancellation while it waits', async () => {
    const { nodes, peers } = await ring();
    const environment = new MockActivityEnvironment();
    setTimeout(() => environment.cancel('CANCELLED'), 300);
    const running = environment.run(createReplicateCheckpoint(nodes[1]), replicateInput(peers, 1));
    await expect(running).rejects.toBeInstanceOf(CancelledFailure);
  });
});
