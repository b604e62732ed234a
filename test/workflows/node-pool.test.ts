/** Who gets nodes, in which order, and what the pool does about holders and nodes that are gone. */
import { heartbeat, sleep } from '@temporalio/activity';
import type { WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { expect, inject, it } from 'vitest';
import { pause } from '../../activities/process.js';
import type { PoolState } from '../../workflows/roster.js';
import { QUICK, startFakeCluster, type FakeCluster, type FakeNode } from '../support/fake-cluster.js';
import { cliUpdate, temporalCli } from '../support/temporal-cli.js';
import { until } from '../support/until.js';

/** A run of a series of its own, unless told otherwise. */
const start = (
  cluster: FakeCluster,
  name: string,
  nodes: number,
  { series = name, recovery = {} }: { series?: string; recovery?: object } = {},
): Promise<WorkflowHandle> => {
  const changes = { cluster: { nodes }, parallel: { pp: 1 }, train: { globalBatch: 12 }, recovery };
  return cluster.client.workflow.start('pretrain', {
    ...{ workflowId: `${name}-${cluster.pool}`, taskQueue: cluster.taskQueue },
    args: [{ ...cluster.runFile(changes), series }],
  });
};

const rest = { address: '127.0.0.1', port: 1, devices: 1, profile: 'cpu' as const };

/** Nodes on which training ends when the test says so. */
async function patientNodes(cluster: FakeCluster, ...names: string[]) {
  let isOver = false;
  const watchTraining = async () => {
    for (; !isOver; await sleep(50)) heartbeat();
    return { exitCode: 0, verdict: { outcome: 'finished' as const, lastIteration: 20, lastSaved: 20 } };
  };
  const nodes: FakeNode[] = [];
  for (const name of names) nodes.push(await cluster.node(name, { watchTraining }));
  return { nodes, end: () => void (isOver = true) };
}

const heldBy = async (cluster: FakeCluster, name: string): Promise<number> =>
  (await cluster.poolStatus()).split(`held by ${name}-${cluster.pool} `).length - 1;
const waits = async (cluster: FakeCluster, name: string): Promise<boolean> =>
  (await cluster.poolStatus()).includes(`${name}-${cluster.pool} waits for`);

it.concurrent(
  'serves runs in the order they asked, each all or none, and no small one overtakes a large one, whatever else it is sent',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const { end } = await patientNodes(cluster, 'a', 'b', 'c');
    const pool = cluster.client.workflow.getHandle(`pool-${cluster.pool}`);
    for (const signal of ['join', 'acquire', 'requestLaunch', 'reportLost', 'reportFault', 'soaked', 'release'])
      for (const sent of [[], [null], ['a'], [{ holder: 7, nodes: 'a', token: 2 ** 60 }]])
        await pool.signal(signal, ...sent);
    const first = await start(cluster, 'first', 2);
    await until(async () => (await heldBy(cluster, 'first')) === 2);
    const second = await start(cluster, 'second', 2);
    await until(() => waits(cluster, 'second'));
    const third = await start(cluster, 'third', 1);
    await until(() => waits(cluster, 'third'));

    // One node is free: too few for the second, and it is not the third's turn.
    expect(await cluster.poolStatus()).toContain('| free |');
    expect(await cluster.poolStatus()).toMatch(/1\. second-.* waits for 2 nodes\n2\. third-.* waits for 1 nodes/);
    await first.cancel();
    await until(async () => (await heldBy(cluster, 'second')) === 2 && (await heldBy(cluster, 'third')) === 1);
    end();
    await Promise.all([second.result(), third.result()]);
    await until(async () => (await cluster.poolStatus()).split('| free |').length === 4);
  },
);

it.concurrent('lets others pass one that asks for more nodes than there are', async (test) => {
  const cluster = await startFakeCluster(test);
  const { end } = await patientNodes(cluster, 'a');
  const greedy = await start(cluster, 'greedy', 2);
  await until(() => waits(cluster, 'greedy'));
  // It would hold that one and wait for the others, before everybody else.
  await greedy.executeUpdate('addSpare', { args: [{ who: 'ann', why: 'to be safe' }] });
  end();
  await (await start(cluster, 'modest', 1)).result();
  expect(await waits(cluster, 'greedy')).toBe(true);
  expect(await heldBy(cluster, 'greedy')).toBe(0);
  await greedy.cancel();
  await until(async () => !(await waits(cluster, 'greedy')));
});

it.concurrent('serves a run that lost a node before those that would wait for its other nodes', async (test) => {
  const cluster = await startFakeCluster(test);
  const { nodes, end } = await patientNodes(cluster, 'a', 'b');
  const wounded = await start(cluster, 'wounded', 2, { recovery: QUICK });
  await until(() => nodes.every(({ calls }) => calls.includes('watchTraining')));
  const waiting = await start(cluster, 'waiting', 2);
  await until(() => waits(cluster, 'waiting'));
  await nodes[1]!.switchOff();
  await until(() => waits(cluster, 'wounded'));
  await patientNodes(cluster, 'c');
  await until(async () => (await heldBy(cluster, 'wounded')) === 2);
  expect(await heldBy(cluster, 'waiting')).toBe(0);
  end();
  await Promise.all([wounded.cancel(), waiting.cancel()]);
});

it.concurrent('passes over a node that does not answer, and finds it again when its worker is back', async (test) => {
  const cluster = await startFakeCluster(test);
  const { nodes, end } = await patientNodes(cluster, 'a');
  end();
  await nodes[0]!.switchOff();
  const run = await start(cluster, 'run', 1);
  await until(async () => (await cluster.poolStatus()).includes('away: did not answer'));
  await nodes[0]!.switchOn();
  expect(await run.result()).toMatchObject({ iteration: 20 });
});

it.concurrent('gives a node that is there before it asks whether one that was lost is back', async (test) => {
  const cluster = await startFakeCluster(test);
  const { nodes, end } = await patientNodes(cluster, 'lost', 'free');
  const [lost] = nodes.map(({ info }) => info.name);
  end();
  await nodes[0]!.switchOff();
  const pool = cluster.client.workflow.getHandle(`pool-${cluster.pool}`);
  await pool.signal('reportLost', { node: lost, reason: 'did not answer' });
  // It is time to ask after nodes that are away, as soon as somebody waits.
  await pause(15_500);
  await (await start(cluster, 'run', 1)).result();
  const asked = ((await pool.fetchHistory()).events ?? []).flatMap(
    ({ activityTaskScheduledEventAttributes: scheduled }) => scheduled?.taskQueue?.name ?? [],
  );
  expect(asked).not.toContain(`node-${lost}`);
});

it.concurrent('says what a node fails of that answers, and takes it when that is put right', async (test) => {
  const cluster = await startFakeCluster(test);
  let damaged = true;
  const why = '/data/runs/fence.json is not JSON (Unexpected end of JSON input): it is damaged';
  const a: FakeNode = await cluster.node('a', {
    pingNode: () => (damaged ? Promise.reject(new Error(why)) : Promise.resolve({ ...a.info, token: 0 })),
  });
  const run = await start(cluster, 'run', 1);
  await until(async () => (await cluster.poolStatus()).includes(`away: answered with a failure`));
  expect(await cluster.poolStatus()).toContain(why);
  damaged = false;
  expect(await run.result()).toMatchObject({ iteration: 20 });
});

it.concurrent('takes nothing from a run while nobody can say whether it still runs', async (test) => {
  let asked = 0;
  const cluster = await startFakeCluster(test, {
    describeHolder: () => {
      asked++;
      return Promise.reject(ApplicationFailure.nonRetryable('the server is away'));
    },
  });
  await patientNodes(cluster, 'a');
  const holder = await start(cluster, 'holder', 1);
  await until(async () => (await heldBy(cluster, 'holder')) === 1);
  const waiting = await start(cluster, 'waiting', 1);
  await until(() => asked >= 2, 40);
  expect(await heldBy(cluster, 'holder')).toBe(1);
  // The pool is still there, and a release is enough.
  await holder.cancel();
  await until(async () => (await heldBy(cluster, 'waiting')) === 1, 40);
  await waiting.cancel();
});

it.concurrent(
  'keeps nodes, holders, queue and tokens when its history is full',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const { nodes } = await patientNodes(cluster, 'a');
    const holder = await start(cluster, 'holder', 1);
    await until(() => nodes[0]!.calls.includes('watchTraining'));
    const waiting = await start(cluster, 'waiting', 1);
    await until(() => waits(cluster, 'waiting'));
    const pool = cluster.client.workflow.getHandle(`pool-${cluster.pool}`);
    const before = await cluster.poolStatus();
    const { runId } = await pool.describe();
    const join = () => pool.signal('join', { ...nodes[0]!.info, token: 0 });
    // Its answer each time shows that it keeps up: of more than 100 at once the server makes a new workflow task, and another.
    await until(async () => {
      await Promise.all(Array.from({ length: 80 }, join));
      await cluster.poolStatus();
      return (await pool.describe()).runId !== runId;
    }, 120);
    expect(await cluster.poolStatus()).toBe(before);
    expect(before).toContain('last launch token 1');
    await holder.cancel();
    await until(async () => (await heldBy(cluster, 'waiting')) === 1);
    await until(async () => (await cluster.poolStatus()).includes('last launch token 2'));
    await waiting.cancel();
  },
  180_000,
);

it.concurrent('asks the run that holds a drained node also when its history is full that moment', async (test) => {
  const cluster = await startFakeCluster(test);
  const begin = (name: string, taskQueue: string, ...args: PoolState[]) =>
    cluster.client.workflow.start('nodePool', { workflowId: `${name}-${cluster.pool}`, taskQueue, args });
  const holder = await begin('pool-holder', 'nobody-works-here');
  test.onTestFinished(() => holder.terminate().then(() => undefined));
  const held = { workflowId: holder.workflowId, firstRunId: holder.firstExecutionRunId };
  const pool = await begin('pool-full', `late-${cluster.pool}`, {
    ...{ nodes: [{ name: 'a', ...rest, holder: held }], waiting: [], token: 0 },
  });
  test.onTestFinished(() =>
    cluster.client.workflow
      .getHandle(pool.workflowId)
      .terminate()
      .then(() => undefined),
  );
  // All of it waits for the worker, so that it comes in one task; 4 MB are a full history.
  const much = { node: 'nobody', reason: '.'.repeat(100_000) };
  await Promise.all(Array.from({ length: 43 }, () => pool.signal('reportLost', much)));
  const said = pool.executeUpdate('drain', { args: [{ who: 'ann', why: 'new fans', node: 'a' }] });
  await pause(500);
  await cluster.control(`late-${cluster.pool}`);
  expect(await said).toContain('is asked to move away from a');
  const now = () => cluster.client.workflow.getHandle(pool.workflowId).describe();
  await until(async () => (await now()).runId !== pool.firstExecutionRunId);
  const heard = async () =>
    ((await holder.fetchHistory()).events ?? []).flatMap(
      ({ workflowExecutionSignaledEventAttributes: signal }) => signal?.signalName ?? [],
    );
  await until(async () => (await heard()).includes('nodeWanted'), 20);
});

it.concurrent('makes a second run of a series wait for the first, and lets others pass meanwhile', async (test) => {
  const cluster = await startFakeCluster(test);
  const { end } = await patientNodes(cluster, 'a', 'b', 'c');
  const first = await start(cluster, 'first', 1, { series: 'same' });
  await until(async () => (await heldBy(cluster, 'first')) === 1);
  const second = await start(cluster, 'second', 1, { series: 'same' });
  await until(() => waits(cluster, 'second'));
  const third = await start(cluster, 'third', 1);
  await until(async () => (await heldBy(cluster, 'third')) === 1);
  expect(await cluster.poolStatus()).toMatch(
    /1\. second-\S+ waits for 1 nodes, after first-\S+, which trains the same/,
  );
  await first.cancel();
  await until(async () => (await heldBy(cluster, 'second')) === 1);
  end();
  await Promise.all([second.result(), third.result()]);
});

it.concurrent('knows a run that was reset for the one that holds its nodes', async (test) => {
  const cluster = await startFakeCluster(test);
  const { nodes, end } = await patientNodes(cluster, 'a');
  const holder = await start(cluster, 'holder', 1);
  await until(() => nodes[0]!.calls.includes('watchTraining'));
  const { runId } = await holder.describe();
  const history = await holder.fetchHistory();
  const first = history.events!.find(({ workflowTaskCompletedEventAttributes: completed }) => completed)!;
  await cluster.client.workflowService.resetWorkflowExecution({
    namespace: 'default',
    workflowExecution: { workflowId: holder.workflowId, runId },
    reason: 'test',
    requestId: crypto.randomUUID(),
    workflowTaskFinishEventId: first.eventId!,
  });
  const waiting = await start(cluster, 'waiting', 1);
  await until(() => waits(cluster, 'waiting'));
  // Long enough for the pool to have asked after the holder.
  await pause(17_000);
  expect(await heldBy(cluster, 'holder')).toBe(1);
  end();
  await cluster.client.workflow.getHandle(holder.workflowId).result();
  await waiting.result();
});

it.concurrent('gives tokens above all that its nodes have seen, though it began to count anew', async (test) => {
  const cluster = await startFakeCluster(test);
  const tokens: number[] = [];
  await cluster.node('a', {
    pingNode: () => Promise.resolve({ name: `a-${cluster.pool}`, ...rest, token: 41 }),
    launchTraining: async ({ token }) => void tokens.push(token),
  });
  await (await start(cluster, 'run', 1)).result();
  expect(tokens).toEqual([42]);
});

it.concurrent(
  'keeps a node whose device failed from the run that lost it, and from the next, until the CLI lifts its quarantine',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const sick = await cluster.node('a', {
      watchTraining: () => Promise.reject(ApplicationFailure.nonRetryable('exit code 1', 'CommandFailed')),
      stopTraining: () =>
        Promise.resolve({
          ...{ node: `a-${cluster.pool}`, confirmed: true, logPath: '/log', exitCode: 1 },
          firstError: 'HBM MULTI BIT ECC ERROR',
        }),
    });
    const spare = await cluster.node('b');
    expect(await (await start(cluster, 'run', 1)).result()).toMatchObject({ iteration: 20, failures: 1 });
    expect(await cluster.poolStatus()).toMatch(
      /a-\S+ .* \| in quarantine since \S+ \S+ UTC, until \S+ \S+ UTC: a-\S+: HBM MULTI BIT ECC ERROR .*\(run run-\S+\) \|/,
    );
    await (await start(cluster, 'next', 1)).result();
    const launches = ({ calls }: FakeNode) => calls.filter((call) => call === 'launchTraining').length;
    expect([launches(sick), launches(spare)]).toEqual([1, 2]);

    const cli = (...args: string[]) => temporalCli(inject('temporalAddress'), ...args);
    const uncordon = (node: string) => cliUpdate(cli, `pool-${cluster.pool}`, 'uncordon', { why: 'new HBM', node });
    expect(await uncordon('zz')).toMatchObject({
      ...{ ok: false, says: expect.stringMatching(/node: expected one of the pool's, .* got \\?"zz/) as string },
    });
    expect(await uncordon(sick.info.name)).toMatchObject({
      ok: true,
      says: expect.stringMatching(
        /the quarantine of a-\S+ is lifted, .*HBM MULTI BIT ECC ERROR.* is given to runs again/,
      ) as string,
    });
    expect(await uncordon(sick.info.name)).toMatchObject({
      ...{ ok: false, says: expect.stringContaining('is neither cordoned nor in quarantine') as string },
    });
    expect(await cluster.poolStatus()).toMatch(/a-\S+ .* \| free \|[^]*uncordoned by ann: new HBM/);
  },
);
