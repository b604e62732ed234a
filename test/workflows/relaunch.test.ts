/** What a run does between a failed generation and the next launch, beyond deciding. */
import { heartbeat, sleep } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { expect, it } from 'vitest';
import type { NodeActivities, WatchResult } from '../../workflows/contract.js';
import { startFakeCluster, type FakeCluster } from '../support/fake-cluster.js';
import { until } from '../support/until.js';

const run = (cluster: FakeCluster, file: object) =>
  cluster.client.workflow.execute('pretrain', {
    ...{ workflowId: `run-${crypto.randomUUID()}`, taskQueue: cluster.taskQueue },
    args: [file],
  });

const done: WatchResult = { exitCode: 0, verdict: { outcome: 'finished', lastIteration: 20, lastSaved: 20, loss: 1 } };

const report = { hostname: 'h', versions: {}, freeBytes: 1e12, clock: Date.now(), fingerprint: 'f', freePort: 1 };

/** Its ranks end with an error in the first generation, and train well in the next. */
function failsOnce() {
  let launches = 0;
  const watchTraining = () =>
    launches > 1
      ? Promise.resolve(done)
      : Promise.reject(ApplicationFailure.nonRetryable('ended with exit code 1', 'CommandFailed'));
  return { watchTraining, launchTraining: () => Promise.resolve(void launches++), launches: () => launches };
}

it.concurrent('looks at checkpoints, at the node and at the data of a relaunch at once', async (test) => {
  const cluster = await startFakeCluster(test);
  const { launches, ...training } = failsOnce();
  const begun = new Set<string>();
  /** Answers in the second round only when all three are asked. */
  const together = async (what: keyof NodeActivities) => {
    if (launches() === 0) return;
    begun.add(what);
    await until(() => begun.size === 3, 15);
  };
  const own = await cluster.node('a', {
    ...training,
    listCheckpoints: () => together('listCheckpoints').then(() => []),
    checkNode: () => together('checkNode').then(() => ({ ...report, name: own.info.name })),
    findArtifact: ({ dir }) =>
      together('findArtifact').then(() => ({ artifact: { dir, digest: 'd', files: 1, bytes: 1 } })),
  });
  const file = cluster.runFile({ cluster: { nodes: 1 }, parallel: { pp: 1 } });
  expect(await run(cluster, file)).toMatchObject({ iteration: 20, generations: 2 });
});

it.concurrent('does not wait for the rest of it where one node turns out unfit', async (test) => {
  const cluster = await startFakeCluster(test);
  const { launches, ...training } = failsOnce();
  let copies = 0;
  await cluster.node('a', {
    watchTraining: training.watchTraining,
    findArtifact: async ({ dir }) => {
      if (launches() === 1 && ++copies === 1) for (;;) await sleep(100).then(() => heartbeat());
      return { artifact: { dir, digest: 'd', files: 1, bytes: 1 } };
    },
  });
  const b = await cluster.node('b', {
    ...training,
    checkNode: async () => {
      if (launches() === 0) return { ...report, name: b.info.name };
      await until(() => copies > 0);
      throw ApplicationFailure.create({
        ...{ message: 'b: not fit to train', type: 'EnvCheckFailed', nonRetryable: true },
        details: [{ node: b.info.name }],
      });
    },
  });
  const c = await cluster.node('c', { launchTraining: training.launchTraining });
  expect(await run(cluster, cluster.runFile({ cluster: { spares: 1 } }))).toMatchObject({ iteration: 20 });
  expect([b, c].map(({ calls }) => calls.filter((call) => call === 'launchTraining').length)).toEqual([1, 1]);
  expect(copies).toBeGreaterThan(1);
});
