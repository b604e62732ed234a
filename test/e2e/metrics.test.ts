/** Figures of real workers while a run really trains, as Prometheus scrapes them. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { freePort } from '../../activities/free-port.js';
import { everyExpression, parsePromql } from '../support/promql.js';
import { startCluster, until, type Cluster } from './cluster.js';

const HOST = '127.0.0.1';
let cluster: Cluster;
let control: number;
let node: number;

beforeAll(async () => {
  [control, node] = [await freePort(HOST), await freePort(HOST)];
  cluster = await startCluster(0.5, {
    env: { PRETRAIN_METRICS: `${HOST}:${control}` },
    nodeEnv: (name) => ({ PRETRAIN_METRICS: name === 'n1' ? `${HOST}:${node}` : 'off' }),
  });
}, 180_000);
afterAll(() => cluster?.close());

const scrape = async (port: number) => (await fetch(`http://${HOST}:${port}/metrics`)).text();

/** The value of a sample whose labels, in any order, include these. */
function sample(page: string, name: string, ...labels: string[]): number | undefined {
  const lines = page.split('\n').filter((line) => line.startsWith(`${name}{`));
  const found = lines.find((line) => labels.every((label) => line.includes(label)));
  return found === undefined ? undefined : Number(found.split(' ').at(-1));
}

it('tell how far a run is while it trains, and that it is over when it is; beside those of the SDK', async () => {
  const file = await cluster.runFile('measured', { train: { iterations: 60, saveInterval: 10 } });
  const start = ['--type', 'pretrain', '--task-queue', 'pretrain', '-w', 'measured', '--input-file', file];
  expect(await cluster.cli('workflow', 'start', ...start)).toMatchObject({ code: 0 });
  const page = await until('a checkpoint in the figures', async () => {
    const now = await scrape(control);
    return sample(now, 'pretrain_run_checkpoint_iteration', 'run="measured"') ? now : undefined;
  });
  expect(sample(page, 'pretrain_run_active', 'run="measured"', 'series=')).toBe(1);
  expect(sample(page, 'pretrain_run_iteration', 'run="measured"')).toBeGreaterThan(0);
  expect(sample(page, 'pretrain_run_loss', 'run="measured"')).toBeGreaterThan(0);
  expect(sample(page, 'temporal_workflow_task_queue_poll_succeed_total', 'task_queue="pretrain"')).toBeGreaterThan(0);
  expect(await scrape(node)).toMatch(/^temporal_activity_execution_latency_\S*_count\{[^}]*node="n1"/m);
  await until('the held node in the figures', async () =>
    sample(await scrape(control), 'pretrain_pool_node_state', 'node="n1"', 'state="held"', 'pool="demo"'),
  );
  expect(sample(await scrape(node), 'pretrain_node_data_free_bytes', 'node="n1"')).toBeGreaterThan(0);
  const saved = sample(await scrape(control), 'pretrain_run_checkpoint_timestamp_seconds', 'run="measured"');
  expect(Date.now() / 1000 - saved!).toBeLessThan(240);
  await until('what the node copies in the figures', async () => {
    const now = await scrape(node);
    const moved = ['received', 'sent'].map((way) =>
      sample(now, `pretrain_node_transfer_${way}_bytes_total`, 'node="n1"'),
    );
    return moved.every((bytes) => bytes! > 0) ? true : undefined;
  });
  expect([...unknownTo(`${await scrape(control)}\n${await scrape(node)}`)]).toEqual([]);
  await until('the end of the run in the figures', async () =>
    sample(await scrape(control), 'pretrain_run_active', 'run="measured"') === 0 ? true : undefined,
  );
}, 240_000);

/** What dashboard and alert rules ask of the SDK's figures and of the runs', and no sample on this page has. */
function* unknownTo(page: string): Generator<string> {
  const labels = new Map<string, Set<string>>();
  for (const [, name, body] of page.matchAll(/^(\w+)\{(.*)\} \S+$/gm)) {
    const known = labels.get(name!) ?? labels.set(name!, new Set()).get(name!)!;
    for (const [, label] of body!.matchAll(/(\w+)="/g)) known.add(label!);
  }
  // Only a generation that failed has a cause, and only Prometheus knows whether it could scrape.
  const rare = ['pretrain_run_failures', 'up'];
  for (const { where, expr } of everyExpression()) {
    for (const { metric, matchers, groupedBy } of parsePromql(expr).selectors) {
      if (rare.includes(metric)) continue;
      if (!labels.has(metric)) yield `${where}: no worker has ${metric}`;
      for (const label of [...matchers.map(([name]) => name), ...groupedBy])
        if (labels.has(metric) && !labels.get(metric)!.has(label)) yield `${where}: ${metric} has no label ${label}`;
    }
  }
}
