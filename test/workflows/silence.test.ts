/** A step whose worker goes silent before the ranks are launched. */
import { heartbeat, sleep } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { NodeActivities } from '../../workflows/contract.js';
import { QUICK, startFakeCluster, type FakeCluster } from '../support/fake-cluster.js';
import { quietNode } from '../support/quiet-node.js';
import { until } from '../support/until.js';

/** As a task that a dead host's poll took, or one that died with its worker. */
const silence = async (isOver: () => boolean): Promise<never> => {
  while (!isOver()) await sleepFor(50);
  throw new Error('nobody waits for it any more');
};
const training: Partial<NodeActivities> = {
  watchTraining: async () => {
    for (; ; await sleep(50)) heartbeat();
  },
};
const run = (cluster: FakeCluster, changes: Parameters<FakeCluster['runFile']>[0]) =>
  cluster.client.workflow.start('pretrain', {
    ...{ workflowId: `run-${cluster.pool}`, taskQueue: cluster.taskQueue },
    args: [cluster.runFile({ ...changes, recovery: QUICK })],
  });
const quiet = (name: string) => quietNode({ name, address: '127.0.0.1', port: 1, devices: 1, profile: 'cpu' });

it.concurrent('is done again at once where the worker answers', async (test) => {
  const cluster = await startFakeCluster(test);
  let [checks, isOver] = [0, false];
  const node = await cluster.node('a', {
    ...training,
    checkNode: (input) => (++checks === 1 ? silence(() => isOver) : quiet('a').checkNode(input)),
  });
  const handle = await run(cluster, { cluster: { nodes: 1 }, parallel: { pp: 1 } });
  await until(() => node.calls.includes('watchTraining'), 50);
  const since = node.calls.slice(node.calls.indexOf('checkNode'));
  expect(since.slice(0, 3)).toEqual(['checkNode', 'pingNode', 'checkNode']);
  isOver = true;
  await handle.terminate();
});

it.concurrent(
  'is not done again where the worker does not answer: its node is lost, and a spare takes its place',
  async (test) => {
    const cluster = await startFakeCluster(test);
    let [isAway, isOver] = [false, false];
    const away = await cluster.node('a', {
      ...training,
      checkNode: () => ((isAway = true), silence(() => isOver)),
      pingNode: () =>
        isAway
          ? Promise.reject(ApplicationFailure.nonRetryable('away', 'CommandFailed'))
          : quiet(`a-${cluster.pool}`).pingNode(),
    });
    const spare = await cluster.node('b', training);
    const handle = await run(cluster, { cluster: { nodes: 1, spares: 1 }, parallel: { pp: 1 } });
    await until(() => spare.calls.includes('watchTraining'), 50);
    expect(away.calls.filter((call) => call === 'checkNode')).toHaveLength(1);
    // It fails at once, and is not asked without a pause.
    expect(away.calls.slice(away.calls.indexOf('checkNode')).length).toBeLessThan(15);
    expect(await handle.query<string>('status')).toContain(`${away.info.name} was lost in phase check`);
    isOver = true;
    await handle.terminate();
  },
);
