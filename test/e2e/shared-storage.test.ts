/** Nodes whose datasets, models and checkpoints lie on one disk, as on NFS: what one writes, all have. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { killNode } from '../../infra/demo/kill-node.js';
import type { PretrainResult } from '../../workflows/status.js';
import { lossesOf, startCluster, until, type Cluster } from './cluster.js';

const MINUTES = 60_000;
let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster(0.25, { shared: ['datasets', 'models', 'series'] });
}, 3 * MINUTES);
afterAll(() => cluster?.close(), MINUTES);

const start = async (id: string) => {
  const file = await cluster.runFile(id, { series: id, train: { saveInterval: 10 } });
  const input = ['--task-queue', 'pretrain', '-w', id, '--input-file', file];
  await cluster.cli('workflow', 'start', '--type', 'pretrain', ...input);
};
const resultOf = (id: string) => cluster.client.workflow.getHandle(id).result() as Promise<PretrainResult>;

it(
  'trains on it as on private disks, and goes on when a node dies',
  async () => {
    await start('calm');
    expect(await resultOf('calm')).toMatchObject({ iteration: 30, generations: 1, failures: 0 });
    await start('wounded');
    await until('a whole save that is half an interval old', async () => {
      const saved = await cluster.client.workflow
        .getHandle('wounded/gen-1')
        .query<number>('replicated')
        .catch(() => 0);
      return saved >= 10 && (await cluster.metrics('wounded')).some(({ iteration }) => iteration >= 15)
        ? true
        : undefined;
    });
    await killNode(cluster.node('n2'), cluster.dataOf('n2'));
    expect(await resultOf('wounded')).toMatchObject({ iteration: 30, generations: 2, failures: 1 });
    const metrics = await cluster.metrics('wounded');
    expect(metrics.find(({ generation }) => generation === 2)!.iteration).toBe(11);
    expect(lossesOf(metrics)).toEqual(lossesOf(await cluster.metrics('calm')));
    const checkpoints = join(cluster.dir, 'shared/series/wounded/checkpoints');
    expect(await readdir(checkpoints)).toContain('iter_0000030');
  },
  6 * MINUTES,
);
