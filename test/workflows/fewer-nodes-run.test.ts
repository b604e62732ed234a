/** A run that has lost a node for which nothing makes up: on a real server, with nodes that answer as they are told. */
import { ApplicationFailure } from '@temporalio/common';
import { heartbeat, sleep } from '@temporalio/activity';
import { expect, it } from 'vitest';
import type { LaunchTrainingInput, NodeActivities, ReplicateCheckpointInput } from '../../workflows/contract.js';
import { ledgerOf } from '../../workflows/ledger.js';
import type { RunState } from '../../workflows/status.js';
import { holding, QUICK, startFakeCluster, type FakeCluster, type FakeNode } from '../support/fake-cluster.js';
import { until } from '../support/until.js';

interface Played {
  launches: LaunchTrainingInput[];
  /** Newest save, that each node lists and copiers tell of. */
  saved: number;
  over: boolean;
}

/** Trains until it is told that all is over, or stopped; saves whatever the test says. */
function training(cluster: FakeCluster, played: Played, shard = 'mp_rank_00'): Partial<NodeActivities> {
  return {
    launchTraining: async (input) => void played.launches.push(input),
    listCheckpoints: async () => (played.saved > 0 ? holding(shard, played.saved) : []),
    watchTraining: async () => {
      for (; !played.over; await sleep(50)) heartbeat();
      return { exitCode: 0, verdict: { outcome: 'finished', lastIteration: 20, lastSaved: 20 } };
    },
    // Tells of the newest save again and again, as the news of a generation is passed on when the next one is due.
    replicateCheckpoint: async ({ token, task, reportTo, until: last }: ReplicateCheckpointInput) => {
      for (; !played.over; await sleep(500)) {
        heartbeat();
        if (played.saved === 0) continue;
        const generation = cluster.client.workflow.getHandle(reportTo.workflowId);
        await generation.signal('checkpointReplicated', { token, task, iteration: played.saved, bytes: 1 });
      }
      return { iteration: last };
    },
  };
}

const startRun = (cluster: FakeCluster, file: object, fewerNodes: object) =>
  cluster.client.workflow.start('pretrain', {
    ...{ workflowId: `run-${cluster.pool}`, taskQueue: cluster.taskQueue },
    args: [{ ...file, recovery: { ...QUICK, fewerNodes } }],
  });

const nodesOf = (launch: LaunchTrainingInput | undefined): string =>
  /--nnodes (\d+)/.exec(launch?.torchrun.join(' ') ?? '')?.[1] ?? '';

it.concurrent(
  'goes on with those that are left, node 0 lost, and takes one that comes in at the next checkpoint',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const played: Played = { launches: [], saved: 0, over: false };
    const nodes: FakeNode[] = [];
    for (const name of ['a', 'b']) nodes.push(await cluster.node(name, training(cluster, played)));
    const [first, second] = nodes as [FakeNode, FakeNode];
    const file = cluster.runFile({ parallel: { pp: 1 }, train: { replicas: 1 } });
    const handle = await startRun(cluster, file, { atLeast: 1, after: '1s' });
    const page = () => handle.query<string>('status');
    await until(() => second.calls.includes('watchTraining') && first.calls.includes('watchTraining'), 60);
    played.saved = 5;
    await until(async () => (await page()).includes('checkpoint: iteration 5'), 60);
    await first.switchOff();

    await until(() => played.launches.length === 3, 90);
    expect(nodesOf(played.launches[2])).toBe('1');
    expect(played.launches[2]!.script.join(' ')).toContain('--global-batch-size 4');
    await until(async () => (await page()).includes('on 1 of 2 nodes, waits for one more'), 30);
    expect(await cluster.poolStatus()).toMatch(/waits for 1 spare nodes/);
    const { token } = played.launches[2]!;
    const progress = { token, iteration: 8, secondsPerIteration: 0.01, points: [] };
    await cluster.client.workflow.getHandle(`${handle.workflowId}/gen-2`).signal('trainingProgress', progress);
    await until(async () => (await page()).includes('iteration 8 of 20'), 30);

    const third = await cluster.node('c', training(cluster, played));
    await until(async () => (await page()).includes(`${third.info.name} is a spare now`), 60);
    expect(played.launches).toHaveLength(3);
    played.saved = 10;
    await until(() => played.launches.length === 5, 60);
    expect(played.launches.slice(3).map(nodesOf)).toEqual(['2', '2']);
    expect(third.calls).toContain('launchTraining');
    await until(async () => !(await page()).includes('of 2 nodes,'), 30);
    played.over = true;
    expect(await handle.result()).toMatchObject({ iteration: 20, generations: 3, failures: 1 });
    const state = await handle.query<RunState>('runState');
    expect(state.curves).toMatchObject({
      node: third.info.name,
      path: expect.stringContaining('tensorboard') as string,
    });
    expect(state.curves).not.toHaveProperty('missing');
    // The last rank was on the other for a while.
    expect([second, third].map(({ calls }) => calls.filter((call) => call === 'sealCurves').length)).toEqual([1, 2]);
    const owed = ledgerOf(state, Date.now()).filter(({ cause }) => cause === 'fewer nodes');
    expect(owed.map(({ phase }) => phase)).toEqual(expect.arrayContaining(['train', 'nodes', 'start-up']));
    await until(async () => !(await cluster.poolStatus()).includes('held by'), 30);
  },
  240_000,
);

it.concurrent(
  'waits where those that are left do not have all parts of the newest checkpoint, and says which',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const played: Played = { launches: [], saved: 0, over: false };
    const nodes: FakeNode[] = [];
    // Two stages on each pair; the second pair's stage has no copy elsewhere.
    for (const [index, name] of ['a', 'b', 'c', 'd'].entries())
      nodes.push(await cluster.node(name, training(cluster, played, `mp_rank_00_00${index < 2 ? 0 : 1}`)));
    const file = cluster.runFile({ cluster: { nodes: 4 }, train: { replicas: 1 } });
    const handle = await startRun(cluster, file, { atLeast: 2, after: '1s' });
    const page = () => handle.query<string>('status');
    await until(() => played.launches.length === 4 && nodes.every(({ calls }) => calls.includes('watchTraining')), 60);
    played.saved = 5;
    await until(async () => (await page()).includes('checkpoint: iteration 5'), 60);
    await Promise.all([nodes[2]!.switchOff(), nodes[3]!.switchOff()]);
    await until(
      async () => (await page()).includes('no node has mp_rank_00_001 of iteration 5; waits for one more'),
      90,
    );
    expect(played.launches).toHaveLength(4);
    const back = await cluster.node('e', training(cluster, played, 'mp_rank_00_001'));
    await until(() => played.launches.length === 6, 90);
    expect(back.calls).toContain('fenceNode');
    await handle.terminate();
  },
  240_000,
);

it.concurrent(
  'does not try as few nodes again that do not come to train, through no fault of a node',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const played: Played = { launches: [], saved: 0, over: false };
    const outOfMemory = {
      ...training(cluster, played),
      watchTraining: async ({ generation }: { generation: number }) => {
        if (generation === 2) throw ApplicationFailure.nonRetryable('training ended with exit code 1', 'CommandFailed');
        for (; !played.over; await sleep(50)) heartbeat();
        return { exitCode: 0, verdict: { outcome: 'finished' as const, lastIteration: 20, lastSaved: 20 } };
      },
      stopTraining: async () => ({
        ...{ node: 'a', confirmed: true, logPath: '/log' },
        firstError: 'RuntimeError: NPU out of memory. Tried to allocate 2.00 GiB',
      }),
    };
    const first = await cluster.node('a', outOfMemory);
    const second = await cluster.node('b', training(cluster, played));
    const file = cluster.runFile({ parallel: { pp: 1 } });
    const handle = await startRun(cluster, file, { atLeast: 1, after: '1s' });
    const page = () => handle.query<string>('status');
    await until(() => second.calls.includes('watchTraining'), 60);
    await second.switchOff();
    await until(async () => (await page()).includes('1 of 2 nodes did not come to train'), 90);
    expect(first.calls.filter((call) => call === 'launchTraining')).toHaveLength(2);
    await cluster.node('c', training(cluster, played));
    await until(() => played.launches.length === 5, 60);
    expect(nodesOf(played.launches[4])).toBe('2');
    await handle.terminate();
  },
  240_000,
);
