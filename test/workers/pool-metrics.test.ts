/** What a scraped control worker says of the pool's nodes. */
import type { Client } from '@temporalio/client';
import type { MetricMeter } from '@temporalio/common';
import { expect, it, onTestFinished } from 'vitest';
import { figuresOfPool, measurePools } from '../../workers/pool-metrics.js';
import type { PoolState } from '../../workflows/roster.js';

const node = (name: string) => ({ name, address: '10.0.0.1', port: 1, devices: 8, profile: 'npu' as const });
const holder = { workflowId: 'run', firstRunId: 'x' };

it('each node is told in each state, so that one it has left is 0, and the oldest who waits says for how long', () => {
  const state: PoolState = {
    nodes: [
      node('n1'),
      { ...node('n2'), holder, cordoned: { since: 0, who: 'ann', why: 'disk' } },
      { ...node('n3'), away: 'does not answer' },
      { ...node('n4'), quarantined: { since: 0, reason: 'ECC' } },
    ],
    waiting: [90_000, 60_000].map((since, index) => ({
      ...{ requestId: String(index), holder, series: 's', nodes: 2, devices: 8, since },
    })),
    token: 7,
  };
  const figures = figuresOfPool(state, 100_000);
  const statesOf = (name: string) =>
    figures.filter(({ value, labels }) => value === 1 && labels?.['node'] === name).map((f) => f.labels!['state']);
  expect(['n1', 'n2', 'n3', 'n4'].map(statesOf)).toEqual([['free'], ['held', 'cordoned'], ['away'], ['quarantined']]);
  expect(figures.filter(({ name }) => name === 'pretrain_pool_node_state')).toHaveLength(4 * 5);
  expect(figures).toContainEqual({ name: 'pretrain_pool_waiting', value: 2 });
  expect(figures).toContainEqual({ name: 'pretrain_pool_waiting_seconds', value: 40 });
  expect(figuresOfPool({ ...state, waiting: [] }, 100_000)).toContainEqual({
    ...{ name: 'pretrain_pool_waiting_seconds', value: 0 },
  });
});

it('one pool that does not answer keeps nothing back that there is to say of the others', async () => {
  const ids = ['pool-stuck', 'pool-big'].map((workflowId) => ({ workflowId }));
  const query = (id: string) =>
    id === 'pool-stuck'
      ? Promise.reject(new Error('query timed out'))
      : Promise.resolve({ nodes: [node('n1')], waiting: [], token: 1 });
  const workflow = { list: () => ids, getHandle: (id: string) => ({ query: () => query(id) }) };
  const said: [number, Record<string, string>][] = [];
  const gauge = { set: (value: number, labels: Record<string, string>) => void said.push([value, labels]) };
  const meter = { createGauge: () => gauge } as unknown as MetricMeter;
  const warned: unknown[] = [];
  const end = measurePools({ workflow } as unknown as Client, meter, (reason) => void warned.push(reason), 10);
  onTestFinished(end);
  await expect.poll(() => said).toContainEqual([1, { pool: 'big', node: 'n1', state: 'free' }]);
  expect(warned[0]).toMatchObject({ message: 'query timed out' });
});
