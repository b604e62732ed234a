/** One gang by itself: what it believes of what nodes report, and how it ends when something goes wrong. */
import { heartbeat, sleep } from '@temporalio/activity';
import type { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { expect, it } from 'vitest';
import type {
  NodeInfo,
  LaunchTrainingInput,
  NodeActivities,
  ReplicateCheckpointInput,
  StopTrainingInput,
  WatchResult,
  WatchTrainingInput,
} from '../../workflows/contract.js';
import type { CheckpointReplicated, TrainingProgress } from '../../workflows/messages.js';
import { pause } from '../../activities/process.js';
import { PATIENT, QUICK, startFakeCluster, type FakeNode } from '../support/fake-cluster.js';
import { infos, launched, longTraining, result, start, TOKEN } from '../support/one-gang.js';
import { until } from '../support/until.js';

it.concurrent('believes only what carries its own token', async (test) => {
  const cluster = await startFakeCluster(test);
  const { activities, end } = longTraining();
  const nodes = [await cluster.node('a', activities), await cluster.node('b', activities)];
  const handle = await start(cluster, infos(nodes));
  await launched(...nodes);
  const tell = async (token: number, iteration: number): Promise<void> => {
    const progress: TrainingProgress = { token, iteration, loss: iteration, points: [] };
    await handle.signal('trainingProgress', progress);
    for (const { info } of nodes) {
      const copied: CheckpointReplicated = { token, task: info.name, iteration, bytes: 1 };
      await handle.signal('checkpointReplicated', copied);
    }
  };
  await tell(TOKEN, 10);
  await tell(TOKEN - 1, 19);
  await tell(TOKEN + 1, 19);
  end();
  const { asOf, replicatedAt, ...rest } = await result(handle);
  expect(rest).toEqual({
    ...{ outcome: 'finished', replicated: 10, iteration: 10, loss: 10, members: [] },
    complete: [{ iteration: 10, copied: true }],
  });
  expect(asOf).toBeLessThanOrEqual(Date.now());
  expect(replicatedAt).toBeLessThanOrEqual(Date.now());
});

it.concurrent('counts a checkpoint as replicated that no node with a part in it has left out', async (test) => {
  const cluster = await startFakeCluster(test);
  const { activities, end } = longTraining();
  const nodes: FakeNode[] = [];
  for (const name of ['a', 'b', 'c']) nodes.push(await cluster.node(name, activities));
  const handle = await start(cluster, infos(nodes));
  await launched(nodes[0]!, nodes[1]!);
  const seen: number[] = [];
  for (const [node, iteration] of [
    // Nobody has sealed what the first node wrote at 5, though each is past it.
    ...[[1, 5] as const, [2, 5] as const, [0, 10] as const],
    ...[[1, 10] as const, [2, 10] as const, [2, 15] as const, [0, 15] as const, [1, 20] as const],
  ]) {
    // prettier-ignore
    await handle.signal('checkpointReplicated', { token: TOKEN, task: nodes[node]!.info.name, iteration, bytes: 1 });
    seen.push(await handle.query<number>('replicated'));
  }
  expect(seen).toEqual([0, 0, 0, 0, 10, 10, 10, 10]);
  end();
  expect(await result(handle)).toMatchObject({ replicated: 10, complete: [{ iteration: 10, copied: true }] });
});

it.concurrent('lets older checkpoints go only for one that every part of has been sealed and copied', async (test) => {
  const cluster = await startFakeCluster(test);
  const { activities, end } = longTraining();
  const nodes = [await cluster.node('a', activities), await cluster.node('b', activities)];
  const handle = await start(cluster, infos(nodes), {
    ...{ keepCheckpoints: 2, keepEvery: 100 },
    complete: [{ iteration: 5, copied: false }],
  });
  await launched(...nodes);
  const seen: unknown[] = [];
  for (const [node, iteration] of [
    // One part leaves out 10, the other 15: neither is whole, though each is past the other's.
    ...[[0, 10] as const, [1, 15] as const],
    ...[[0, 20] as const, [1, 20] as const, [0, 25] as const, [1, 30] as const, [0, 30] as const],
  ]) {
    // prettier-ignore
    await handle.signal('checkpointReplicated', { token: TOKEN, task: nodes[node]!.info.name, iteration, bytes: 1 });
    seen.push(await handle.query('retained'));
  }
  const nothing = { before: 0, keep: [], every: 100 };
  const atTwenty = { before: 20, keep: [5], every: 100 };
  const atThirty = { before: 30, keep: [20], every: 100 };
  expect(seen).toEqual([nothing, nothing, nothing, atTwenty, atTwenty, atTwenty, atThirty]);
  end();
  const { complete } = await result(handle);
  expect(complete?.map(({ iteration }) => iteration)).toEqual([30, 20]);
});

it.concurrent(
  'gives the copies of a spare whose copier fails to another node, and counts them from there',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const { activities, end } = longTraining();
    const full = () => Promise.reject(ApplicationFailure.nonRetryable('No space left on device', 'CommandFailed'));
    const nodes = [await cluster.node('a', activities), await cluster.node('b', activities)];
    const spare = await cluster.node('c', { replicateCheckpoint: full });
    const handle = await start(cluster, infos([...nodes, spare]));
    await launched(...nodes);
    await until(() => spare.calls.includes('replicateCheckpoint'));
    await until(() => nodes[1]!.calls.filter((call) => call === 'replicateCheckpoint').length === 2);
    const copied = (task: string) =>
      handle.signal('checkpointReplicated', { token: TOKEN, task, iteration: 10, bytes: 1 });
    for (const { info } of nodes) await copied(info.name);
    expect(await handle.query<number>('replicated')).toBe(0);
    await copied(`${nodes[1]!.info.name} for ${spare.info.name}`);
    await until(async () => (await handle.query<number>('replicated')) === 10);
    end();
    expect(await result(handle)).toMatchObject({ outcome: 'finished', replicated: 10 });
  },
);

it.concurrent(
  'asks a spare again whose worker was away while its machine answered, and leaves its copies with it',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const { activities, end } = longTraining();
    const there = { ...activities, probePeer: () => Promise.resolve({ reachable: true }) };
    const nodes = [await cluster.node('a', there), await cluster.node('b', activities)];
    const spare = await cluster.node('c', activities);
    const handle = await start(cluster, infos([...nodes, spare]), { timing: QUICK });
    await launched(...nodes);
    const copiers = ({ calls }: FakeNode) => calls.filter((call) => call === 'replicateCheckpoint').length;
    await until(() => copiers(spare) === 1);
    await spare.switchOff();
    await until(() => nodes[0]!.calls.includes('probePeer'), 40);
    await spare.switchOn();
    await until(() => copiers(spare) >= 2, 40);
    expect(nodes.map(copiers)).toEqual([1, 1]);
    end();
    await result(handle);
  },
  120_000,
);

/** What a copier says whose peer is silent. */
const silent = (node: string, peer: string, why: string) =>
  ApplicationFailure.create({
    ...{ message: `${node}: copies of checkpoints: ${why}`, type: 'CommandFailed', nonRetryable: true },
    details: [{ node, silent: peer, why }],
  });

it.concurrent(
  'asks where a worker is that came back on another port, and copies from there, with the access of the launch',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const { activities, end } = longTraining();
    const asked: ReplicateCheckpointInput[] = [];
    const back = { address: '127.0.0.1', port: 2, devices: 1, profile: 'cpu' as const, token: 0 };
    const a = await cluster.node('a', {
      ...activities,
      pingNode: () => Promise.resolve({ ...back, name: a.info.name }),
    });
    const b = await cluster.node('b', {
      ...activities,
      replicateCheckpoint: (input) => {
        asked.push(input);
        if (input.master.url.endsWith(':1')) throw silent('b', a.info.name, 'a does not answer at http://127.0.0.1:1');
        return activities.replicateCheckpoint(input);
      },
    });
    const nodes = infos([a, b]).map((node) => ({ ...node, access: `key of ${node.name}` }));
    const copies = { [b.info.name]: [{ shard: 'mp_rank_00_000', from: { name: a.info.name, url: 'old' } }] };
    const handle = await start(cluster, nodes, { copies });
    await launched(a, b);
    await until(() => asked.length === 2, 40);
    const present = { name: a.info.name, url: 'http://127.0.0.1:2', token: `key of ${a.info.name}` };
    expect(asked[1]).toMatchObject({ master: present, copies: [{ from: present }] });
    // As long as nothing was wrong nobody was asked.
    expect([a, b].map(({ calls }) => calls.filter((call) => call === 'pingNode').length)).toEqual([1, 0]);
    end();
    expect(await result(handle)).toMatchObject({ outcome: 'finished' });
  },
);

it.concurrent(
  'does not wait half an hour for the copies of its last save where these cannot be had, and says that it has none',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const node = (why: Error): Partial<NodeActivities> => ({
      watchTraining: () => Promise.resolve({ exitCode: 0, verdict: { outcome: 'finished', lastSaved: 20 } }),
      replicateCheckpoint: () => Promise.reject(why),
    });
    const damaged = ApplicationFailure.nonRetryable('b: no peer gave a good model_optim_rng.pt', 'DataCorrupt');
    const nodes = [
      await cluster.node('a', node(silent('a', 'b', 'b does not answer at http://127.0.0.1:1'))),
      await cluster.node('b', node(damaged)),
      // It would be done as soon as the others had sealed theirs.
      await cluster.node('c', {
        ...node(damaged),
        replicateCheckpoint: async () => {
          for (; ; await sleep(50)) heartbeat();
        },
      }),
    ];
    const timing = { ...PATIENT, agentGrace: '5s' };
    const handle = await start(cluster, infos(nodes), { timing });
    expect(await result(handle)).toMatchObject({
      ...{ outcome: 'finished', replicated: 0 },
      behind: expect.stringMatching(
        /^copies are behind: iteration 20 is saved, none copied; [ab].* (answer|good)/,
      ) as string,
    });
  },
  120_000,
);

it.concurrent('is not ended by a worker that is away while its machine answers the others', async (test) => {
  const cluster = await startFakeCluster(test);
  const { activities, end } = longTraining();
  const a = await cluster.node('a', { ...activities, probePeer: () => Promise.resolve({ reachable: true }) });
  const b = await cluster.node('b', activities);
  const handle = await start(cluster, infos([a, b]), { timing: QUICK });
  await launched(a, b);
  await b.switchOff();
  await until(() => a.calls.includes('probePeer'), 40);
  await b.switchOn();
  await until(() => b.calls.filter((call) => call === 'watchTraining').length >= 2, 40);
  end();
  expect(await result(handle)).toMatchObject({ outcome: 'finished' });
  expect(a.calls).not.toContain('stopTraining');
});

it.concurrent(
  'is not ended while nobody at all answers, which is no fault of any node',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const { activities, end } = longTraining();
    const there = { ...activities, probePeer: () => Promise.resolve({ reachable: true }) };
    const nodes = [await cluster.node('a', there), await cluster.node('b', there)];
    // Longer than the cut: patience ends with the lease.
    const timing = { ...QUICK, agentGrace: '1s', lease: '60s' };
    const handle = await start(cluster, infos(nodes), { timing });
    await launched(...nodes);
    await Promise.all(nodes.map((node) => node.switchOff()));
    await pause(15_000);
    await Promise.all(nodes.map((node) => node.switchOn()));
    await until(() => nodes.every(({ calls }) => calls.filter((call) => call === 'watchTraining').length >= 2), 40);
    end();
    expect(await result(handle)).toMatchObject({ outcome: 'finished' });
    expect(nodes.map(({ calls }) => calls.includes('stopTraining'))).toEqual([false, false]);
  },
  120_000,
);

it.concurrent('keeps what its ranks saved on their way out, when none of them is lost', async (test) => {
  const cluster = await startFakeCluster(test);
  const asked: ReplicateCheckpointInput[] = [];
  const activities = (node: string) => ({
    watchTraining: () => Promise.reject(ApplicationFailure.nonRetryable('exit code 1', 'CommandFailed')),
    stopTraining: () => Promise.resolve({ node, confirmed: true, lastSaved: 12, logPath: '/log' }),
    replicateCheckpoint: async (input: ReplicateCheckpointInput) => {
      asked.push(input);
      if (input.until !== 12) for (; ; await sleep(50)) heartbeat();
      const done: CheckpointReplicated = { token: TOKEN, task: input.task, iteration: 12, bytes: 1 };
      await cluster.client.workflow.getHandle(`gen-${cluster.pool}`).signal('checkpointReplicated', done);
      return { iteration: 12 };
    },
  });
  const nodes = [await cluster.node('a', activities('a')), await cluster.node('b', activities('b'))];
  expect(await result(await start(cluster, infos(nodes)))).toMatchObject({ outcome: 'failed', replicated: 12 });
  expect(asked.flatMap(({ until, over }) => (until === 12 ? [over] : []))).toEqual([true, true]);
});

it.concurrent(
  'ends with what was safe before, where the last save of its ranks is not to be had any more',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const activities = (node: string) => ({
      watchTraining: () => Promise.reject(ApplicationFailure.nonRetryable('exit code 1', 'CommandFailed')),
      stopTraining: () => Promise.resolve({ node, confirmed: true, lastSaved: 12, logPath: '/log' }),
      replicateCheckpoint: async ({ over }: ReplicateCheckpointInput) => {
        while (!over) {
          heartbeat();
          await sleep(50);
        }
        return { iteration: 10, unfinished: 'b has seen a newer launch' };
      },
    });
    const nodes = [await cluster.node('a', activities('a')), await cluster.node('b', activities('b'))];
    const ended = await result(await start(cluster, infos(nodes), { startedFrom: 10 }));
    expect(ended).toMatchObject({ outcome: 'failed', replicated: 10 });
  },
);

it.concurrent(
  'neither lets ranks save nor keeps a save that did not start from the planned checkpoint',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const graces: number[] = [];
    const replications: ReplicateCheckpointInput[] = [];
    const loads: (number | undefined)[] = [];
    const { activities } = longTraining();
    const wrong = ApplicationFailure.create({
      ...{ message: 'started from iteration 5, with iteration 10 planned', type: 'CommandFailed', nonRetryable: true },
      details: [{ node: 'a', wrongStart: 'loaded-other-iteration' }],
    });
    const both = (node: string) => ({
      stopTraining: ({ graceSeconds }: StopTrainingInput) => {
        graces.push(graceSeconds);
        return Promise.resolve({ node, confirmed: true, lastSaved: 15, logPath: '/log' });
      },
      replicateCheckpoint: (input: ReplicateCheckpointInput) => {
        replications.push(input);
        return activities.replicateCheckpoint(input);
      },
    });
    const watched = (watch: () => Promise<WatchResult>) => (input: WatchTrainingInput) => {
      loads.push(input.loads);
      return watch();
    };
    const nodes = [
      await cluster.node('a', { ...both('a'), watchTraining: watched(() => Promise.reject(wrong)) }),
      await cluster.node('b', { ...both('b'), watchTraining: watched(activities.watchTraining) }),
    ];
    const { outcome, members } = await result(await start(cluster, infos(nodes), { startedFrom: 10, loads: 10 }));
    expect([outcome, members[0]!.message]).toEqual(['failed', wrong.message]);
    expect(graces).toEqual([0, 0]);
    expect(replications.filter(({ until }) => until !== 20)).toEqual([]);
    // Rank 0 alone prints what was loaded.
    expect(loads.sort()).toEqual([10, undefined]);
  },
);

it.concurrent('stops every member when one does not start, and says which', async (test) => {
  const cluster = await startFakeCluster(test);
  const { activities } = longTraining();
  const refused = { launchTraining: () => Promise.reject(ApplicationFailure.nonRetryable('token 9 was here')) };
  const nodes = [await cluster.node('a', activities), await cluster.node('b', { ...activities, ...refused })];
  const { outcome, members } = await result(await start(cluster, infos(nodes)));
  expect(outcome).toBe('failed');
  expect(members.map(({ node, kind, message }) => [node[0], kind, message])).toEqual([
    ['b', 'failed', 'token 9 was here'],
    ['a', 'stopped', 'stopped with the gang'],
  ]);
  expect(nodes.map(({ calls }) => calls.includes('stopTraining'))).toEqual([true, true]);
});

it.concurrent(
  'goes on watching those whose ranks it stops, and cancels only who does not end with them',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const stopped = new Set<string>();
    const member = (node: string, ends: boolean): Partial<NodeActivities> => ({
      watchTraining: async () => {
        for (; !(ends && stopped.has(node)); await sleep(50)) heartbeat();
        throw ApplicationFailure.nonRetryable('ended with the ranks', 'CommandFailed');
      },
      stopTraining: async () => {
        stopped.add(node);
        await pause(1_000);
        return { node, confirmed: true, logPath: '/log' };
      },
    });
    const crash = {
      watchTraining: () => Promise.reject(ApplicationFailure.nonRetryable('exit code 1', 'CommandFailed')),
    };
    const nodes = [
      await cluster.node('a', { ...member('a', true), ...crash }),
      await cluster.node('b', member('b', true)),
    ];
    nodes.push(await cluster.node('c', member('c', false)));
    const [, b, c] = infos(nodes);
    const handle = await start(cluster, infos(nodes).slice(0, 2), {
      ...{ nodes: infos(nodes), writes: [[], [], []], copies: {} },
    });
    expect(await result(handle)).toMatchObject({ outcome: 'failed' });
    const events = (await handle.fetchHistory()).events!;
    const of = (id: unknown) =>
      events.find(({ eventId }) => String(eventId) === String(id))!.activityTaskScheduledEventAttributes!;
    const watchOf =
      ({ name }: NodeInfo) =>
      (id: unknown) =>
        of(id).taskQueue!.name === `node-${name}` && of(id).activityType!.name === 'watchTraining';
    const cancels = events.flatMap((event) => event.activityTaskCancelRequestedEventAttributes?.scheduledEventId ?? []);
    const failures = events.flatMap((event) => event.activityTaskFailedEventAttributes?.scheduledEventId ?? []);
    expect(cancels.filter(watchOf(b!))).toHaveLength(0);
    expect(failures.filter(watchOf(b!))).toHaveLength(1);
    expect(cancels.filter(watchOf(c!))).toHaveLength(1);
  },
);

it.concurrent('waits out the lease when no member confirms that it has stopped', async (test) => {
  const cluster = await startFakeCluster(test);
  const crash = {
    watchTraining: () => Promise.reject(ApplicationFailure.nonRetryable('exit code 1', 'CommandFailed')),
  };
  let stoppedAt = 0;
  const stuck = (node: string) => ({
    stopTraining: () => {
      stoppedAt ||= Date.now();
      return Promise.resolve({ node, confirmed: false, logPath: '/log' });
    },
  });
  const nodes = [
    await cluster.node('a', { ...crash, ...stuck('a') }),
    await cluster.node('b', { ...crash, ...stuck('b') }),
  ];
  expect(await result(await start(cluster, infos(nodes)))).toMatchObject({ outcome: 'failed' });
  expect(Date.now() - stoppedAt).toBeGreaterThanOrEqual(4000);
});

it.concurrent('hands over to a fresh history while the same ranks train on', async (test) => {
  const cluster = await startFakeCluster(test);
  const { activities, end } = longTraining();
  const launches: LaunchTrainingInput[] = [];
  const launchTraining = async (input: LaunchTrainingInput) => void launches.push(input);
  const nodes = [
    await cluster.node('a', { ...activities, launchTraining }),
    await cluster.node('b', { ...activities, launchTraining }),
  ];
  const handle = await start(cluster, infos(nodes));
  await launched(...nodes);
  for (const { info } of nodes)
    await handle.signal('checkpointReplicated', { token: TOKEN, task: info.name, iteration: 10, bytes: 1 });
  await until(async () => (await handle.query<number>('replicated')) === 10);
  const savedBy = Date.now();
  const { runId } = await handle.describe();
  const latest = cluster.client.workflow.getHandle(handle.workflowId);
  const news: TrainingProgress = { token: TOKEN, iteration: 12, points: [] };
  // As many as it keeps up with, which its answer shows.
  await until(async () => {
    await Promise.all(Array.from({ length: 80 }, () => latest.signal('trainingProgress', news)));
    await latest.query('replicated');
    return (await latest.describe()).runId !== runId;
  }, 90);
  await until(() => nodes.every(({ calls }) => calls.filter((call) => call === 'watchTraining').length >= 2));
  expect(await latest.query<number>('replicated')).toBe(10);
  expect(launches).toHaveLength(2);
  expect(nodes.map(({ calls }) => calls.includes('stopTraining'))).toEqual([false, false]);
  end();
  const ended = await result(latest);
  expect(ended).toMatchObject({ outcome: 'finished', replicated: 10, iteration: 12 });
  expect(ended.replicatedAt).toBeLessThanOrEqual(savedBy);
});

it.concurrent('that is cancelled as it launches stops whatever may have been launched', async (test) => {
  const cluster = await startFakeCluster(test);
  const slow = { launchTraining: () => sleep('20 seconds') };
  const nodes = [await cluster.node('a', slow), await cluster.node('b')];
  const handle = await start(cluster, infos(nodes));
  await until(() => nodes.every(({ calls }) => calls.includes('launchTraining')));
  await handle.cancel();
  const error: unknown = await handle.result().catch((reason: unknown) => reason);
  expect((error as WorkflowFailedError).cause).toBeInstanceOf(CancelledFailure);
  expect(nodes.map(({ calls }) => calls.includes('stopTraining'))).toEqual([true, true]);
});

it.concurrent('counts its last save where others keep the copies of a spare that was lost', async (test) => {
  const cluster = await startFakeCluster(test);
  const asked: ReplicateCheckpointInput[] = [];
  let isStopped = false;
  let isFirstDone = false;
  let whileCopying: number | undefined;
  const activities = (node: string): Partial<NodeActivities> => ({
    watchTraining: async () => {
      for (; !isStopped; await sleep(50)) heartbeat();
      throw ApplicationFailure.nonRetryable('stopped', 'CommandFailed');
    },
    stopTraining: () => {
      isStopped = true;
      return Promise.resolve({ node, confirmed: true, lastSaved: 12, logPath: '/log' });
    },
    replicateCheckpoint: async (input) => {
      asked.push(input);
      const { task, until: last } = input;
      const gang = cluster.client.workflow.getHandle(`gen-${cluster.pool}`);
      const copied: CheckpointReplicated = { token: TOKEN, task, iteration: 12, bytes: 1 };
      // What it wrote of the last save is sealed at once; what it is to keep for the lost spare takes longer.
      if (last !== 12 && !task.includes(' for ')) await gang.signal('checkpointReplicated', copied);
      for (; last !== 12; await sleep(50)) heartbeat();
      if (task.startsWith(b.info.name)) {
        await until(() => isFirstDone);
        whileCopying = await gang.query<number>('replicated');
      }
      await gang.signal('checkpointReplicated', copied);
      isFirstDone = true;
      return { iteration: 12 };
    },
  });
  const a = await cluster.node('a', activities('a'));
  const b = await cluster.node('b', activities('b'));
  const full = () => Promise.reject(ApplicationFailure.nonRetryable('No space left on device', 'EnvCheckFailed'));
  const spare = await cluster.node('c', { replicateCheckpoint: full });
  const handle = await start(cluster, infos([a, b, spare]));
  await launched(a, b);
  await until(() => asked.some(({ task }) => task === `${b.info.name} for ${spare.info.name}`));
  await handle.signal('endGeneration', { token: TOKEN, ending: 'now' });
  expect(await result(handle)).toMatchObject({ outcome: 'stopped', replicated: 12 });
  // Not before all that each of them keeps now is there.
  expect(whileCopying).toBe(0);
  const last = asked.filter(({ until: iteration }) => iteration === 12);
  const copies = Object.fromEntries(last.map(({ task, copies }) => [task, copies.map(({ shard }) => shard)]));
  expect(copies).toEqual({
    [`${a.info.name} in the end`]: ['mp_rank_00_001'],
    [`${b.info.name} in the end`]: ['mp_rank_00_000'],
  });
});

it.concurrent(
  'hands over all that a spare keeps when one part of it fails, since the run gives it back',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const asked: ReplicateCheckpointInput[] = [];
    const { activities } = longTraining();
    let ended: string | undefined;
    const full = () => Promise.reject(ApplicationFailure.nonRetryable('No space left on device', 'EnvCheckFailed'));
    const [a, b] = [await cluster.node('a', activities), await cluster.node('b', activities)];
    const c = await cluster.node('c', {
      replicateCheckpoint: async (input) => {
        asked.push(input);
        if (input.task !== c.info.name)
          return activities.replicateCheckpoint(input).finally(() => {
            ended = input.task;
          });
        await until(() => asked.length === 2);
        return full();
      },
    });
    const d = await cluster.node('d', { replicateCheckpoint: full });
    const e = await cluster.node('e', {
      replicateCheckpoint: (input) => {
        asked.push(input);
        return activities.replicateCheckpoint(input);
      },
    });
    const from = ({ info: { name } }: FakeNode) => ({ name, url: `http://${name}` });
    const [first, second] = [
      { shard: 'mp_rank_00_000', from: from(a) },
      { shard: 'mp_rank_00_001', from: from(b) },
    ];
    const handle = await start(cluster, infos([a, b]), {
      spares: infos([c, d]),
      copies: { [c.info.name]: [first], [d.info.name]: [second] },
      // Nobody of the gang can keep a copy.
      storages: [[a.info.name, b.info.name], [c.info.name], [d.info.name]],
    });
    await until(() => ended !== undefined);
    expect(ended).toBe(`${c.info.name} for ${d.info.name}`);
    await handle.signal('spareReady', { token: TOKEN, node: e.info, replicas: 1, after: 0, beside: [] });
    await until(() => asked.length === 3);
    expect(asked[2]).toMatchObject({ task: e.info.name, copies: [{ shard: first.shard }, { shard: second.shard }] });
    await handle.terminate();
  },
);
