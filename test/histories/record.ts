/**
 * `npm run record-histories`: plays what a run can go through on a real cluster, and keeps the histories beside this
 * file under the version of package.json. Before a release; `replay.test.ts` replays those of every version.
 */
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { killNode } from '../../infra/demo/kill-node.js';
import { root } from '../../workers/config.js';
import { startCluster, until, type Cluster } from '../e2e/cluster.js';

const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
const dir = join(root, 'test/histories', version);
/** A run file that is wrong. */
async function refused({ client }: Cluster): Promise<void> {
  const handle = await client.workflow.start('pretrain', { workflowId: 'refused', taskQueue: 'pretrain', args: [{}] });
  await handle.result().catch(() => undefined);
}

/** A gate, every update, and a cancellation in the end. */
async function talkedTo(cluster: Cluster): Promise<void> {
  const gates = { train: { timeout: '10m' } };
  const handle = await start(cluster, 'talk', { gates, train: { iterations: 400, saveInterval: 100 } });
  const ask = (name: string, fields: object = {}) =>
    handle.executeUpdate<string, [unknown]>(name, { args: [{ who: 'ann', why: 'a recording', ...fields }] });
  await shows(cluster, 'talk', /waits for somebody to approve/);
  await ask('approve', { gate: 'train' });
  await trains(cluster, 'talk', 1);
  await ask('checkpointNow');
  await trains(cluster, 'talk', 2);
  await ask('pauseTraining', { at: 'now', nodes: 'free' });
  await shows(cluster, 'talk', /· paused · waits for resumeTraining/);
  await ask('resumeTraining', { settings: { saveInterval: 50 } });
  await trains(cluster, 'talk', 3);
  await ask('replaceNode', { node: await memberOf(cluster, 'talk'), at: 'now' });
  await trains(cluster, 'talk', 4);
  await handle.cancel();
  await handle.result().catch(() => undefined);
}

/** A series in two runs of a schedule, and a third that finds nothing to do. */
async function nightly(cluster: Cluster): Promise<void> {
  for (const id of ['night-1', 'night-2', 'night-3'])
    await (
      await start(cluster, id, { series: 'nightly', train: { iterations: 8, iterationsPerRun: 4, saveInterval: 4 } })
    ).result();
}

/** A node dies with its disk. The last one: it does not come back. */
async function wounded(cluster: Cluster): Promise<void> {
  const handle = await start(cluster, 'wounded', { train: { iterations: 30, saveInterval: 10 } });
  await trains(cluster, 'wounded', 1, 14);
  const node = await memberOf(cluster, 'wounded');
  await killNode(cluster.node(node), cluster.dataOf(node));
  await handle.result();
}

async function start(cluster: Cluster, id: string, changes: Parameters<Cluster['runFile']>[1]) {
  const file: unknown = JSON.parse(await readFile(await cluster.runFile(id, { series: id, ...changes }), 'utf8'));
  return cluster.client.workflow.start('pretrain', { workflowId: id, taskQueue: 'pretrain', args: [file] });
}

const page = ({ client }: Cluster, id: string) => client.workflow.getHandle(id).query<string>('status');

const shows = (cluster: Cluster, id: string, pattern: RegExp) =>
  until(`${id} to show ${pattern}`, async () => pattern.test(await page(cluster, id)) || undefined, 120);

const trains = (cluster: Cluster, id: string, generation: number, iterations = 2) =>
  until(
    `generation ${generation} of ${id}`,
    async () =>
      (await cluster.metrics(id)).filter((metric) => metric.generation === generation).length >= iterations ||
      undefined,
    120,
  );

const memberOf = async (cluster: Cluster, id: string): Promise<string> =>
  / nodes (?<node>\w+)/.exec(await page(cluster, id))!.groups!['node']!;

async function keepAll({ client }: Cluster): Promise<void> {
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  for await (const { workflowId, runId } of client.workflow.list()) {
    const history = await client.workflow.getHandle(workflowId, runId).fetchHistory();
    const path = join(dir, `${workflowId.replaceAll('/', '_')}-${runId.slice(-8)}.json.gz`);
    await writeFile(path, await promisify(gzip)(nowhere(historyToJSON(history)), { level: 9 }));
    process.stdout.write(`${path}: ${history.events?.length ?? 0} events\n`);
  }
}

/** Without what tells of the machine that it was recorded on: no command depends on it. */
const nowhere = (history: string): string => history.replaceAll(root, '').replaceAll(hostname(), 'host');

const cluster = await startCluster(0.2);
try {
  await refused(cluster);
  await talkedTo(cluster);
  await nightly(cluster);
  await wounded(cluster);
  await keepAll(cluster);
} finally {
  await cluster.close();
}
