/** How a gang is stopped that has failed: whom it asks, when, and how long ranks get to save. */
import { heartbeat, sleep } from '@temporalio/activity';
import type { WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { expect, it } from 'vitest';
import type { StopTrainingInput } from '../../workflows/contract.js';
import { QUICK, startFakeCluster } from '../support/fake-cluster.js';
import { infos, launched, longTraining, result, start } from '../support/one-gang.js';

/** The queues of the nodes that were asked to stop, asked in vain or not. */
async function askedToStop(handle: WorkflowHandle): Promise<(string | null | undefined)[]> {
  const { events } = await handle.fetchHistory();
  return (events ?? [])
    .flatMap(({ activityTaskScheduledEventAttributes: scheduled }) => scheduled ?? [])
    .filter(({ activityType }) => activityType?.name === 'stopTraining')
    .map(({ taskQueue }) => taskQueue?.name);
}

const ended = (details: object) =>
  ApplicationFailure.create({ message: 'ended', type: 'CommandFailed', nonRetryable: true, details: [details] });

/** As one asked about a machine that only the server reaches, or nobody. */
const reachesNobody = () => Promise.resolve({ reachable: false });

/** A stop that notes how long ranks get to save. */
function stopping(confirmed = true) {
  const graces: number[] = [];
  const stopTraining = ({ graceSeconds }: StopTrainingInput) => {
    graces.push(graceSeconds);
    return Promise.resolve({ node: 'n', confirmed, logPath: '/log' });
  };
  return { graces, stopTraining };
}

it.concurrent('asks nothing more of a node that is known to be lost, once another has confirmed', async (test) => {
  const cluster = await startFakeCluster(test);
  const { activities, end } = longTraining();
  const { graces, stopTraining } = stopping();
  const a = await cluster.node('a', { ...activities, stopTraining });
  const b = await cluster.node('b', activities);
  const handle = await start(cluster, infos([a, b]), { timing: QUICK });
  await launched(a, b);
  await b.switchOff();
  const { outcome, members } = await result(handle);
  end();
  expect([outcome, members.map(({ node, kind }) => [node[0], kind])]).toEqual([
    'failed',
    [
      ['b', 'lost'],
      ['a', 'stopped'],
    ],
  ]);
  expect(await askedToStop(handle)).toEqual([`node-${a.info.name}`]);
  // Nobody reaches its machine: no save of the whole world completes, and none is waited for.
  expect(graces).toEqual([0]);
});

it.concurrent('lets ranks save where the worker of a lost node alone is away', async (test) => {
  const cluster = await startFakeCluster(test);
  const { activities, end } = longTraining();
  const { graces, stopTraining } = stopping();
  const probePeer = () => Promise.resolve({ reachable: true });
  const a = await cluster.node('a', { ...activities, stopTraining, probePeer });
  const b = await cluster.node('b', activities);
  const handle = await start(cluster, infos([a, b]), { timing: { ...QUICK, agentGrace: '0s' } });
  await launched(a, b);
  await b.switchOff();
  expect(await result(handle)).toMatchObject({ outcome: 'failed' });
  end();
  expect(graces).toEqual([1]);
});

it.concurrent('asks the lost node all the same where nobody else confirms', async (test) => {
  const cluster = await startFakeCluster(test);
  const { activities, end } = longTraining();
  const a = await cluster.node('a', { ...activities, stopTraining: stopping(false).stopTraining });
  const b = await cluster.node('b', activities);
  const handle = await start(cluster, infos([a, b]), { timing: { ...QUICK, lease: '4s' } });
  await launched(a, b);
  await b.switchOff();
  expect(await result(handle)).toMatchObject({ outcome: 'failed' });
  end();
  expect(await askedToStop(handle)).toContain(`node-${b.info.name}`);
});

it.concurrent('waits for what others have to say until they have ended, and no longer', async (test) => {
  const cluster = await startFakeCluster(test);
  const nodes = [
    await cluster.node('a', { watchTraining: () => Promise.reject(ended({ exitCode: 1 })) }),
    await cluster.node('b', {
      watchTraining: async () => {
        await sleep(300);
        throw ended({ exitCode: 1 });
      },
    }),
  ];
  const handle = await start(cluster, infos(nodes));
  expect(await result(handle)).toMatchObject({ outcome: 'failed' });
  const events = (await handle.fetchHistory()).events!;
  const stop = events.findIndex(
    ({ activityTaskScheduledEventAttributes: scheduled }) => scheduled?.activityType?.name === 'stopTraining',
  );
  const before = events.slice(0, stop);
  expect(before.filter(({ activityTaskFailedEventAttributes: failed }) => failed)).toHaveLength(2);
  // The longest that it would wait is a timer, whose time has not come.
  expect(before.filter(({ timerStartedEventAttributes: timer }) => timer)).toHaveLength(1);
  expect(before.filter(({ timerFiredEventAttributes: timer }) => timer)).toEqual([]);
});

it.concurrent.for<[string, object, number[]]>([
  ['none where a rank has ended: the others only wait for it', { exitCode: 1 }, [0, 0]],
  ['the grace of the run where torchrun alone was killed, and all ranks may live', { signal: 'SIGKILL' }, [1, 1]],
])('gives ranks to save %s', async ([, details, expected], test) => {
  const cluster = await startFakeCluster(test);
  const { graces, stopTraining } = stopping();
  const { activities, end } = longTraining();
  const crashed = async () => {
    heartbeat();
    await sleep(100);
    throw ended(details);
  };
  const a = await cluster.node('a', { ...activities, stopTraining, watchTraining: crashed });
  const b = await cluster.node('b', { ...activities, stopTraining });
  const handle = await start(cluster, infos([a, b]));
  expect(await result(handle)).toMatchObject({ outcome: 'failed' });
  end();
  expect(graces).toEqual(expected);
});

it.concurrent(
  'asks again for a stop that was taken and never answered, as by a host that was cut off from the server alone',
  async (test) => {
    const cluster = await startFakeCluster(test);
    let asked = 0;
    const stopTraining = async () => {
      if (++asked === 1) await new Promise((resolve) => setTimeout(resolve, 12_000));
      return { node: 'a', confirmed: true, logPath: '/log' };
    };
    const watchTraining = () => Promise.reject(ended({ exitCode: 1 }));
    const a = await cluster.node('a', { stopTraining, watchTraining });
    const b = await cluster.node('b', { watchTraining, probePeer: () => Promise.resolve({ reachable: true }) });
    await result(await start(cluster, infos([a, b]), { timing: QUICK }));
    expect(asked).toBeGreaterThanOrEqual(2);
  },
);

it.concurrent('does not wait for the stop of a member that is silent, and that no other node reaches', async (test) => {
  const cluster = await startFakeCluster(test);
  const { activities, end } = longTraining();
  const watchTraining = () => Promise.reject(ended({ exitCode: 1 }));
  const a = await cluster.node('a', { watchTraining, probePeer: reachesNobody });
  const stopTraining = async () => {
    await new Promise((resolve) => setTimeout(resolve, 8_000));
    return { node: 'b', confirmed: true, logPath: '/log' };
  };
  const b = await cluster.node('b', { ...activities, stopTraining });
  const handle = await start(cluster, infos([a, b]));
  const { members } = await result(handle);
  end();
  expect(members.map(({ node, kind, message }) => [node, kind, message])).toEqual([
    [a.info.name, 'failed', 'ended'],
    [b.info.name, 'lost', `${b.info.name} did not answer: no other node reaches it`],
  ]);
});

/** As of a host that is gone: tasks go to what it has left at the server, and nothing comes back. */
const swallowed = async () => {
  heartbeat();
  await new Promise((resolve) => setTimeout(resolve, 7_000));
  throw ended({});
};

it.concurrent(
  'takes two hosts for lost that went at once after one heartbeat of each, and asks neither twice',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const { activities, end } = longTraining();
    const gone = { watchTraining: swallowed, stopTraining: swallowed, probePeer: reachesNobody };
    const nodes = [await cluster.node('a', { ...activities, probePeer: reachesNobody })];
    for (const name of ['b', 'c']) nodes.push(await cluster.node(name, { ...activities, ...gone }));
    const handle = await start(cluster, infos(nodes).slice(0, 2), {
      timing: QUICK,
      nodes: infos(nodes),
      writes: [[], [], []],
      copies: {},
    });
    const { outcome, members } = await result(handle);
    end();
    expect(outcome).toBe('failed');
    expect(members.map(({ node, kind }) => `${node[0]} ${kind}`).sort()).toEqual(['a stopped', 'b lost', 'c lost']);
    const asked = (what: string) => nodes.map(({ calls }) => calls.filter((call) => call === what).length);
    expect(asked('watchTraining')).toEqual([1, 1, 1]);
    const [a, ...others] = asked('stopTraining');
    expect([a, ...others.sort()]).toEqual([1, 0, 1]);
  },
);
