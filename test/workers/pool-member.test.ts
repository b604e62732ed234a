/** A node stays in its pool's book, whatever becomes of the pool. */
import { expect, it } from 'vitest';
import { joinPool } from '../../workers/pool-member.js';
import { startFakeCluster } from '../support/fake-cluster.js';
import { until } from '../support/until.js';

it('joins again, with the token it has seen by then, when its pool was terminated', async (test) => {
  const cluster = await startFakeCluster(test);
  let token = 3;
  const info = { name: 'a', address: '127.0.0.1', port: 1, devices: 1, profile: 'cpu' as const };
  const answer = () => Promise.resolve({ ...info, token });
  const leave = await joinPool(cluster.client, cluster.pool, answer, {
    lookEveryMs: 100,
    taskQueue: cluster.taskQueue,
  });
  test.onTestFinished(leave);
  expect(await cluster.poolStatus()).toContain('1 nodes**, last launch token 3');
  token = 8;
  await cluster.client.workflow.getHandle(`pool-${cluster.pool}`).terminate();
  await until(async () => (await cluster.poolStatus().catch(() => '')).includes('1 nodes**, last launch token 8'));
});
