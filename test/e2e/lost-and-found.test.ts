/** What goes away behind a run's back while its ranks train on: a node's file service, and all that the server knew. */
import { readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { processesIn } from '../../infra/demo/kill-node.js';
import { HOST } from '../../infra/demo/part.js';
import type { PretrainResult } from '../../workflows/status.js';
import { lossesOf, startCluster, until, type Cluster } from './cluster.js';

const MINUTES = 60_000;
const TRAIN = { iterations: 40, saveInterval: 8 };
let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster(0.3);
}, 3 * MINUTES);
afterAll(() => cluster?.close(), MINUTES);

const start = async (id: string, file: string) => {
  const { code, stderr } = await cluster.cli(
    ...['workflow', 'start', '--type', 'pretrain', '--task-queue', 'pretrain', '-w', id, '--input-file', file],
  );
  expect([code, stderr]).toEqual([0, '']);
};
const resultOf = (id: string) => cluster.client.workflow.getHandle(id).result() as Promise<PretrainResult>;
const status = (id: string) => cluster.client.workflow.getHandle(id).query<string>('status');
/** The newest iteration that is complete and copied, as the generation says. */
const copied = (id: string) =>
  cluster.client.workflow
    .getHandle(`${id}/gen-1`)
    .query<number>('replicated')
    .catch(() => 0);
const copiedFrom = (id: string, iteration: number) =>
  until(`iteration ${iteration} of ${id} to be copied`, async () => {
    const newest = await copied(id);
    return newest >= iteration ? newest : undefined;
  });

const checkpoint = (node: string, series: string, path: string) =>
  readFile(join(cluster.dataOf(node), 'series', series, 'checkpoints', path), 'utf8').catch(() => undefined);

it(
  'a node worker comes back on another port, because its own is taken: no iteration is lost, and copies go on',
  async () => {
    await start('moved', await cluster.runFile('moved', { series: 'moved', train: TRAIN }));
    const before = await copiedFrom('moved', 8);
    const ranks = [await cluster.ranks('n1'), await cluster.ranks('n2')];
    expect(ranks.flat()).toHaveLength(2);

    const portOf = async () => Number(await readFile(join(cluster.dataOf('n2'), 'file-service-port'), 'utf8'));
    const port = await portOf();
    await cluster.node('n2').kill('SIGKILL');
    const stranger = createServer((_, response) => response.writeHead(404).end('not the file service\n'));
    await new Promise<void>((done) => stranger.listen(port, HOST, done));
    try {
      await cluster.node('n2').start();
      expect(await portOf()).not.toBe(port);
      expect([await cluster.ranks('n1'), await cluster.ranks('n2')]).toEqual(ranks);

      // The save under way when it died may have been copied from another node; those after it were not.
      await copiedFrom('moved', before + 16);
      expect(await resultOf('moved')).toMatchObject({ iteration: 40, generations: 1, failures: 0 });
    } finally {
      await new Promise((done) => stranger.close(done));
    }
    const iterations = (await cluster.metrics('moved')).map(({ iteration }) => iteration);
    expect(iterations).toEqual(Array.from({ length: 40 }, (_, index) => index + 1));
    expect(await status('moved')).not.toContain('behind');
  },
  4 * MINUTES,
);

it(
  "without the server's database, the same run file goes on from the newest whole save, though nobody had sealed it",
  async () => {
    // Seconds between two saves, in which all that could seal the next one is killed.
    const file = await cluster.runFile('lost', { series: 'lost', train: { ...TRAIN, saveInterval: 10 } });
    await start('lost', file);
    const sealed = await copiedFrom('lost', 10);
    const parts = [cluster.server, cluster.control, ...['n1', 'n2', 'n3'].map((name) => cluster.node(name))];
    await Promise.all(parts.map((part) => part.kill('SIGKILL')));

    const saved = await until('a save that nobody sees', async () => {
      const tracked = Number(await checkpoint('n1', 'lost', 'latest_checkpointed_iteration.txt'));
      return tracked > sealed ? tracked : undefined;
    });
    for (const node of ['n1', 'n2']) for (const pid of await processesIn(cluster.dataOf(node))) kill(pid);
    const iteration = `iter_${String(saved).padStart(7, '0')}`;
    const shards = ['mp_rank_00_000', 'mp_rank_00_001'];
    const manifests = shards.flatMap((shard) =>
      ['n1', 'n2', 'n3'].map((node) => checkpoint(node, 'lost', `${iteration}/${shard}/manifest.json`)),
    );
    expect((await Promise.all(manifests)).filter(Boolean)).toEqual([]);
    const ended = Date.now();

    for (const suffix of ['', '-wal', '-shm']) await rm(join(cluster.dir, `temporal.db${suffix}`), { force: true });
    for (const part of parts) await part.start();
    await start('lost', file);

    expect(await resultOf('lost')).toMatchObject({ iteration: 40, generations: 1, failures: 0 });
    const undisturbed = (await cluster.metrics('moved')).filter(({ iteration: it }) => it > saved);
    const second = (await cluster.metrics('lost')).filter(({ at }) => at > ended);
    expect(second.map(({ iteration: it }) => it)).toEqual(undisturbed.map(({ iteration: it }) => it));
    expect(lossesOf(second)).toEqual(lossesOf(undisturbed));
  },
  4 * MINUTES,
);

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // torchrun has ended it.
  }
}
