/** A run that trains on while its spare is replaced. */
import { heartbeat, sleep } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { expect, it } from 'vitest';
import type { NodeActivities, ReplicateCheckpointInput, RestoreCheckpointInput } from '../../workflows/contract.js';
import { pause } from '../../activities/process.js';
import { holding, QUICK, startFakeCluster } from '../support/fake-cluster.js';
import { quietNode } from '../support/quiet-node.js';
import { until } from '../support/until.js';

it.concurrent(
  'takes a node that joins the pool for the spare it used up, with the newest checkpoint, and trains on meanwhile',
  async (test) => {
    const cluster = await startFakeCluster(test);
    let isOver = false;
    const lasting = async () => {
      for (; !isOver; await sleep(50)) heartbeat();
    };
    const training: Partial<NodeActivities> = {
      watchTraining: async () => {
        await lasting();
        return { exitCode: 0, verdict: { outcome: 'finished', lastIteration: 20, lastSaved: 20 } };
      },
      replicateCheckpoint: async ({ until: iteration }) => {
        await lasting();
        return { iteration };
      },
    };
    const lists = (shard: string) => ({ listCheckpoints: () => Promise.resolve(holding(shard, 10)) });
    const first = await cluster.node('a', { ...training, ...lists('mp_rank_00_000') });
    const second = await cluster.node('b', { ...training, ...lists('mp_rank_00_001') });
    const spare = await cluster.node('c', { ...training, ...lists('mp_rank_00_001') });
    const file = cluster.runFile({ cluster: { spares: 1 }, train: { replicas: 1 }, recovery: QUICK });
    const handle = await cluster.client.workflow.start('pretrain', {
      ...{ workflowId: `run-${cluster.pool}`, taskQueue: cluster.taskQueue },
      args: [file],
    });
    await until(() => second.calls.includes('watchTraining'), 40);
    await second.switchOff();
    await until(() => spare.calls.includes('watchTraining'), 60);
    expect(await handle.query<string>('status')).toContain('spares none');

    const requests = async () => (await cluster.poolStatus()).match(/waits for 1 spare nodes/g)?.length ?? 0;
    await until(async () => (await requests()) === 1);
    const more = { who: 'ann', why: 'a long weekend', count: 1 };
    await handle.executeUpdate('addSpare', { args: [more] });
    await until(async () => (await requests()) === 2);

    const restores: RestoreCheckpointInput[] = [];
    const info = { name: `d-${cluster.pool}`, address: '127.0.0.1', port: 1, devices: 1, profile: 'cpu' as const };
    const joined = await cluster.node('d', {
      ...training,
      // On the storage of the other writer, where a copy of its shard would be none.
      fenceNode: async (input) => ({
        ...(await quietNode(info).fenceNode(input)),
        ...(input.joins && { beside: [spare.info.name] }),
      }),
      restoreCheckpoint: (input) => Promise.resolve((restores.push(input), {})),
    });
    await until(async () => (await handle.query<string>('status')).includes('is a spare now, with the data'), 60);
    expect(joined.calls).toContain('fenceNode');
    const alone = { setAsideNewer: false, leavesTracker: true };
    expect(await handle.query<string>('status')).toContain(`on the storage of ${spare.info.name}`);
    expect(restores).toMatchObject([{ iteration: 10, ...alone, shards: [{ shard: 'mp_rank_00_000' }] }]);
    expect(await handle.query<string>('status')).toContain(`spares ${joined.info.name}`);
    expect(first.calls.filter((call) => call === 'launchTraining')).toHaveLength(2);
    await pause(500);
    expect(await requests()).toBe(1);
    isOver = true;
    expect(await handle.result()).toMatchObject({ iteration: 20, generations: 2, failures: 1 });
    await until(async () => !(await cluster.poolStatus()).includes('held by'));
  },
  180_000,
);

it.concurrent(
  'a spare that came keeps the copies that its lost predecessor kept, and without one the page says who keeps none',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const asked: ReplicateCheckpointInput[] = [];
    const tell = async ({ token, task, reportTo }: ReplicateCheckpointInput, iteration: number) =>
      cluster.client.workflow
        .getHandle(reportTo.workflowId)
        .signal('checkpointReplicated', { token, task, iteration, bytes: 1 });
    const training: Partial<NodeActivities> = {
      watchTraining: async () => {
        for (; ; await sleep(50)) heartbeat();
      },
      // Every 50 ms a save, and a copy of it.
      replicateCheckpoint: async (input) => {
        asked.push(input);
        for (let iteration = 1; ; await sleep(50)) {
          heartbeat();
          if (iteration < 10) await tell(input, iteration++);
        }
      },
    };
    const holds9 = () => Promise.resolve(holding('mp_rank_00', 9));
    const writer = await cluster.node('a', { ...training, listCheckpoints: holds9 });
    const full = await cluster.node('b', {
      ...training,
      replicateCheckpoint: () =>
        Promise.reject(ApplicationFailure.nonRetryable('the disk of b is full', 'EnvCheckFailed')),
    });
    const file = cluster.runFile({ cluster: { nodes: 1, spares: 1 }, parallel: { pp: 1 }, train: { replicas: 1 } });
    const handle = await cluster.client.workflow.start('pretrain', {
      ...{ workflowId: `run-${cluster.pool}`, taskQueue: cluster.taskQueue },
      args: [file],
    });
    const page = () => handle.query<string>('status');
    const nobody = `no node is left to keep a copy of what ${writer.info.name} saves`;
    await until(async () => (await page()).includes(nobody), 40);
    expect(await page()).not.toContain(`copies: ${full.info.name}`);

    // What is to be brought to it besides may fail.
    const restoreCheckpoint = () => Promise.reject(ApplicationFailure.nonRetryable('a is busy', 'CommandFailed'));
    const joined = await cluster.node('c', { ...training, restoreCheckpoint });
    const kept = `copies: ${joined.info.name} keeps those of ${writer.info.name}`;
    await until(async () => (await page()).includes(kept), 60);
    await until(() => asked.some(({ task }) => task === joined.info.name));
    expect(asked.at(-1)).toMatchObject({
      ...{ task: joined.info.name, seals: [], after: 8 },
      copies: [{ shard: 'mp_rank_00', from: { name: writer.info.name } }],
    });
    expect(await page()).not.toContain('no node is left');
    await until(async () => (await page()).includes('data or checkpoint follow with the next launch: a is busy'));
    await handle.terminate();
  },
  120_000,
);

it.concurrent(
  'a spare that is lost is replaced though another one is still being made ready, and the next is made ready beside it',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const lasting = async () => {
      for (; ; await sleep(50)) heartbeat();
    };
    const training: Partial<NodeActivities> = {
      watchTraining: lasting,
      replicateCheckpoint: lasting,
      listCheckpoints: () => Promise.resolve(holding('mp_rank_00', 9)),
    };
    await cluster.node('a', training);
    const first = await cluster.node('b', training);
    const file = cluster.runFile({
      ...{ cluster: { nodes: 1, spares: 1 }, parallel: { pp: 1 }, train: { replicas: 1 } },
      recovery: QUICK,
    });
    const handle = await cluster.client.workflow.start('pretrain', {
      ...{ workflowId: `run-${cluster.pool}`, taskQueue: cluster.taskQueue },
      args: [file],
    });
    const page = () => handle.query<string>('status');
    await until(() => first.calls.includes('replicateCheckpoint'));
    await handle.executeUpdate('addSpare', { args: [{ who: 'ann', why: 'a long weekend', count: 1 }] });
    // As long as a big dataset takes.
    const slow = await cluster.node('d', { ...training, fenceNode: lasting });
    await until(() => slow.calls.includes('fenceNode'));
    await first.switchOff();
    await until(async () => (await page()).includes(`spare ${first.info.name} was lost`));
    const next = await cluster.node('e', training);
    await until(async () => (await page()).includes(`${next.info.name} is a spare now, with the data`));
    expect(await page()).not.toContain(`${slow.info.name} is a spare now`);
    await handle.terminate();
  },
  120_000,
);
