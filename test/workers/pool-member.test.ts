/** A node stays in its pool's book, whatever becomes of the pool. */
import { heartbeat, sleep } from '@temporalio/activity';
import { expect, it } from 'vitest';
import { joinPool } from '../../workers/pool-member.js';
import { startFakeCluster, type FakeNode } from '../support/fake-cluster.js';
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

it('that is to be in another pool is given by the first to nobody, and joins when its run there has ended', async (test) => {
  const one = await startFakeCluster(test);
  const other = await startFakeCluster(test);
  let pool = one.pool;
  let isOver = false;
  const node: FakeNode = await one.node('a', {
    pingNode: () => Promise.resolve({ ...node.info, token: 1, pool }),
    watchTraining: async () => {
      for (; !isOver; await sleep(50)) heartbeat();
      return { exitCode: 0, verdict: { outcome: 'finished', lastIteration: 20, lastSaved: 20 } };
    },
  });
  const alone = { cluster: { nodes: 1 }, parallel: { pp: 1 } };
  const start = (name: string) =>
    one.client.workflow.start('pretrain', {
      ...{ workflowId: `${name}-${one.pool}`, taskQueue: one.taskQueue },
      args: [{ ...one.runFile(alone), series: name }],
    });
  const run = await start('run');
  await until(() => node.calls.includes('watchTraining'));

  pool = other.pool;
  const said: string[] = [];
  const answer = () => Promise.resolve({ ...node.info, token: 1, pool });
  const leave = await joinPool(other.client, pool, answer, {
    ...{ lookEveryMs: 100, taskQueue: other.taskQueue },
    say: (text) => void said.push(text),
  });
  test.onTestFinished(leave);
  const isIn = async () => (await other.poolStatus().catch(() => '')).includes(node.info.name);
  expect(await isIn()).toBe(false);
  expect(said).toEqual([expect.stringContaining(`${run.workflowId} has this node from pool-${one.pool}`)]);
  isOver = true;
  await run.result();
  await until(isIn);
  const next = await start('next');
  await until(async () => (await one.poolStatus()).includes(`away: is in the pool "${other.pool}" by now`));
  expect(node.calls.filter((call) => call === 'watchTraining')).toHaveLength(1);
  await next.cancel();
});
