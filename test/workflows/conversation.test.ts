/** Updates of a run and of the pool, on a real server, with nodes that answer as they are told. */
import { heartbeat, sleep } from '@temporalio/activity';
import { WorkflowUpdateFailedError, type WorkflowHandle } from '@temporalio/client';
import type { ApplicationFailure } from '@temporalio/common';
import { expect, inject, it } from 'vitest';
import type { LaunchTrainingInput, NodeActivities, StopTrainingInput } from '../../workflows/contract.js';
import type { PretrainResult } from '../../workflows/status.js';
import { pause } from '../../activities/process.js';
import { holding, QUICK, startFakeCluster, type FakeCluster, type FakeNode } from '../support/fake-cluster.js';
import { cliUpdate, temporalCli } from '../support/temporal-cli.js';
import { until } from '../support/until.js';

const who = { who: 'ann', why: 'new fans' };
const STAGES = ['mp_rank_00_000', 'mp_rank_00_001'];

/**
 * A cluster whose ranks train until the test says that they are done, or until they are stopped: then each saves the
 * iteration that it is at, as on SIGTERM. One stage a node, so each has its shard of every checkpoint.
 */
async function trainingCluster(
  test: Parameters<typeof startFakeCluster>[0],
  names: string[],
  changes: (name: string, launches: (LaunchTrainingInput & { node: string })[]) => Partial<NodeActivities> = () => ({}),
  more: object = {},
) {
  const cluster = await startFakeCluster(test);
  const at = { iteration: 0, saved: [] as number[], done: false };
  const launches: (LaunchTrainingInput & { node: string })[] = [];
  const stopped = new Set<number>();
  const activities = (name: string): Partial<NodeActivities> => ({
    launchTraining: async (input) => void launches.push({ ...input, node: name }),
    watchTraining: async ({ token }) => {
      for (; !at.done; await sleep(50)) {
        heartbeat();
        if (stopped.has(token)) throw new Error('the ranks are gone');
      }
      return { exitCode: 0, verdict: { outcome: 'finished', lastIteration: 20, lastSaved: 20, loss: 1 } };
    },
    stopTraining: async ({ token }: StopTrainingInput) => {
      stopped.add(token);
      if (!at.saved.includes(at.iteration)) at.saved.push(at.iteration);
      return { node: name, confirmed: true, lastSaved: at.iteration, logPath: '/log' };
    },
    replicateCheckpoint: async ({ until: iteration, task, token }) => {
      for (; !at.saved.includes(iteration) && !at.done; await sleep(50)) heartbeat();
      await cluster.client.workflow
        .getHandle(`run-${cluster.pool}/gen-${launches.at(-1)!.generation}`)
        .signal('checkpointReplicated', { token, task, iteration, bytes: 1 });
      return { iteration };
    },
    listCheckpoints: async () => STAGES.flatMap((shard) => holding(shard, ...at.saved.filter((n) => n > 0))),
    ...changes(name, launches),
  });
  const nodes: FakeNode[] = [];
  for (const name of names) nodes.push(await cluster.node(name, activities(name)));
  const handle = await cluster.client.workflow.start('pretrain', {
    ...{ workflowId: `run-${cluster.pool}`, taskQueue: cluster.taskQueue },
    args: [{ ...cluster.runFile({ cluster: { spares: 0 } }), ...more }],
  });
  /** Waits until both members of a generation are launched, and the run knows. */
  const trains = (generation: number) =>
    until(
      async () =>
        launches.filter((launch) => launch.generation === generation).length === 2 &&
        (await page(handle)).includes(`generation ${generation} (`),
      40,
    );
  return { cluster, at, launches, nodes, handle, trains, add: (name: string) => cluster.node(name, activities(name)) };
}

const page = (handle: WorkflowHandle) => handle.query<string>('status');
const isInPhase = (handle: WorkflowHandle, phase: string) =>
  until(async () => (await page(handle)).split('\n')[0]!.includes(` · ${phase}`), 40);
const update = (handle: WorkflowHandle, name: string, fields: object = {}): Promise<string> =>
  handle.executeUpdate(name, { args: [{ ...who, ...fields }] });
async function refusalOf(answer: Promise<string>): Promise<string> {
  const error: unknown = await answer.catch((reason: unknown) => reason);
  if (!(error instanceof WorkflowUpdateFailedError)) throw new Error('it was not refused', { cause: error });
  return (error.cause as ApplicationFailure).message;
}
const result = (handle: WorkflowHandle) => handle.result() as Promise<PretrainResult>;
const poolOf = (cluster: FakeCluster) => cluster.client.workflow.getHandle(`pool-${cluster.pool}`);

it.concurrent('saves when it is told to, and trains on from that save in the next generation', async (test) => {
  const { at, handle, trains, launches } = await trainingCluster(test, ['a', 'b']);
  expect(await refusalOf(update(handle, 'checkpointNow', { who: '' }))).toContain('who: expected your name');
  await trains(1);
  at.iteration = 7;
  expect(await update(handle, 'checkpointNow')).toContain('generation 2 trains on from that save');
  await trains(2);
  expect(launches.map(({ generation }) => generation)).toEqual([1, 1, 2, 2]);
  expect(await page(handle)).toContain('checkpoint: iteration 7, complete\n');
  expect(await page(handle)).not.toMatch(/^asked /m);
  at.done = true;
  expect(await result(handle)).toMatchObject({ iteration: 20, generations: 2, failures: 0 });
});

it.concurrent('pauses now, gives its nodes to another run, and goes on with other settings', async (test) => {
  let mayEnd = true;
  const saved = { confirmed: true, lastSaved: 4, logPath: '/log' };
  const stopTraining = async () => {
    for (; !mayEnd; await sleep(50)) heartbeat();
    return { node: 'a', ...saved };
  };
  const { at, handle, trains, launches, cluster, add } = await trainingCluster(test, ['a', 'b'], () => ({
    stopTraining,
  }));
  await trains(1);
  [at.iteration, at.saved] = [4, [4]];
  const [a, b] = ['a', 'b'].map((name) => `${name}-${cluster.pool}`);
  expect(await update(handle, 'replaceNode', { node: b })).toContain('trains on until it has one');
  expect(await update(handle, 'pauseTraining', { at: 'now', nodes: 'free' })).toContain('given back to the pool');
  await isInPhase(handle, 'paused');
  await until(async () => (await cluster.poolStatus()).split('| free |').length === 3);
  expect(await refusalOf(update(handle, 'checkpointNow'))).toContain('no ranks train now (phase paused)');
  const settings = { saveInterval: 5, iterations: 40, schedule: 'keep', extraArgs: { '--log-interval': 2 } };
  expect(
    await refusalOf(update(handle, 'resumeTraining', { settings: { ...settings, schedule: undefined } })),
  ).toContain('settings.schedule: expected "keep"');
  await add('c');
  await update(handle, 'resumeTraining', { settings });
  await trains(2);
  // The node that was to be replaced left with the others, and the run does without it.
  expect((await page(handle)).match(/ nodes (.*) · spares/)![1]).toBe(`${a}, c-${cluster.pool}`);
  expect(await page(handle)).not.toMatch(/^asked /m);
  const { script } = launches.at(-1)!;
  const flag = (name: string) => script[script.indexOf(name) + 1];
  expect([flag('--save-interval'), flag('--train-iters'), flag('--log-interval')]).toEqual(['5', '40', '2']);
  expect(script).toContain('--use-checkpoint-opt_param-scheduler');
  // Its ranks take their time to save: what is asked meanwhile would not be done.
  mayEnd = false;
  await handle.cancel();
  const asked = () => update(handle, 'addSpare').catch((error: Error) => (error.cause as Error).message);
  await until(async () => (await asked()).includes('the run was cancelled and is ending'));
  mayEnd = true;
  await expect(result(handle)).rejects.toThrow('cancelled');
});

it.concurrent(
  'is paused again with what it had, when a save that is found only then cannot take the settings',
  async (test) => {
    // A whole save that nobody has sealed when the run pauses: it is sealed, and counts, before the next launch.
    const sealed = new Map<string, number>();
    const { handle, trains, launches, cluster } = await trainingCluster(test, ['a', 'b'], (name, launches) => {
      const shard = () => STAGES[launches.find((launch) => launch.node === name)!.saves.isFirst ? 0 : 1]!;
      const token = () => launches[0]!.token;
      return {
        listCheckpoints: async () => {
          if (!sealed.has(name)) return [];
          const [
            {
              shards: [held],
            },
          ] = holding(shard(), 4) as [ReturnType<typeof holding>[0]];
          return [{ iteration: 4, shards: [{ ...held!, token: token() }], identity: launches[0]!.identity! }];
        },
        findSaves: async () =>
          launches.length === 0 || sealed.has(name)
            ? { iterations: [] }
            : {
                iterations: [4],
                launch: { token: token(), tracked: 4, unsealed: [{ iteration: 4, shards: [shard()] }] },
              },
        sealSaves: async ({ iteration }) => {
          sealed.set(name, iteration);
          return { sealed: [shard()] };
        },
      };
    });
    await trains(1);
    await update(handle, 'pauseTraining', { at: 'now', nodes: 'free' });
    await isInPhase(handle, 'paused');
    expect(await update(handle, 'resumeTraining', { settings: { iterations: 40, saveInterval: 5 } })).toContain(
      'from the beginning, with saveInterval 5; iterations 40',
    );
    const back = 'the settings are taken back (saveInterval 5; iterations 40), and the run is paused again';
    await until(async () => (await page(handle)).includes(back), 60);
    await isInPhase(handle, 'paused');
    expect(await page(handle)).toContain('waits for resumeTraining');
    expect(await page(handle)).toContain('train.iterations was 20 and is 40. Give what is named');
    expect(await page(handle)).toContain('iteration 0 of 20');
    expect(await page(handle)).not.toMatch(/^asked /m);
    const { requests } = await handle.query<{ requests: { update: string; ended?: { how: string } }[] }>('runState');
    expect(requests.findLast(({ update }) => update === 'resumeTraining')!.ended!.how).toContain(back);
    await until(async () => (await cluster.poolStatus()).split('| free |').length === 3);
    // From now on settings are judged by what is there.
    expect(await refusalOf(update(handle, 'resumeTraining', { settings: { iterations: 40 } }))).toContain(
      'settings.schedule: expected "keep"',
    );
    await update(handle, 'resumeTraining', { settings: { iterations: 40, schedule: 'recompute' } });
    await trains(2);
    const { script, loads } = launches.at(-1)!;
    const flag = (name: string) => script[script.indexOf(name) + 1];
    expect([loads, flag('--save-interval'), flag('--train-iters')]).toEqual([4, '10', '40']);
    expect(await page(handle)).not.toMatch(/^asked /m);
    // Whoever drains a node of a run that is gone is not kept waiting for it.
    await handle.terminate();
    const cli = (...args: string[]) => temporalCli(inject('temporalAddress'), ...args);
    const drained = await cliUpdate(cli, `pool-${cluster.pool}`, 'drain', { node: `a-${cluster.pool}` });
    expect(drained).toMatchObject({ ok: true, says: expect.stringContaining('is asked to move away') as string });
    await until(async () => !(await cluster.poolStatus()).includes('held by'));
  },
  120_000,
);

it.concurrent('can be cancelled while it is paused, and what it held goes to others', async (test) => {
  const { handle, trains, cluster } = await trainingCluster(test, ['a', 'b']);
  await trains(1);
  await update(handle, 'pauseTraining', { at: 'now' });
  await isInPhase(handle, 'paused');
  expect(await cluster.poolStatus()).toContain(`held by ${handle.workflowId}`);
  await update(handle, 'addSpare');
  // Nothing else is free: what was asked for before would bring the very node back that is to leave.
  await update(handle, 'replaceNode', { node: `b-${cluster.pool}`, at: 'now' });
  await update(handle, 'resumeTraining');
  const waitsForOther = /· nodes · waits for 1 of .*1 free; it was told to do without b-/;
  await until(async () => waitsForOther.test(await page(handle)), 30);
  expect(await update(handle, 'pauseTraining')).toContain('pauses as soon as it has its nodes');
  expect(await update(handle, 'resumeTraining')).toContain('withdrawn');
  await handle.cancel();
  await expect(result(handle)).rejects.toThrow('cancelled');
  await until(async () => (await cluster.poolStatus()).split('| free |').length === 3);
  expect(await page(handle)).toContain('· cancelled');
  expect(await page(handle)).not.toMatch(/^asked /m);
});

it.concurrent('withdraws a pause that has not come, and says so on the page meanwhile', async (test) => {
  const { at, handle, trains, launches } = await trainingCluster(test, ['a', 'b']);
  await trains(1);
  await update(handle, 'pauseTraining');
  expect(await page(handle)).toMatch(/asked \S+ by ann: pauseTraining \(new fans\): the run pauses when iteration 10/);
  expect(await update(handle, 'resumeTraining')).toContain('withdrawn');
  expect(await page(handle)).not.toMatch(/^asked /m);
  at.done = true;
  expect(await result(handle)).toMatchObject({ generations: 1 });
  expect(launches).toHaveLength(2);
});

it.concurrent('trains on until the pool has a node in place of one that is drained, and cordons that', async (test) => {
  const { at, handle, trains, launches, nodes, cluster, add } = await trainingCluster(test, ['a', 'b']);
  await trains(1);
  const [a, b] = nodes.map(({ info }) => info.name);
  expect(await update(handle, 'drainNode', { node: b })).toContain('trains on until it has one');
  expect(await refusalOf(update(handle, 'drainNode', { node: 'zz' }))).toContain(
    `one of the run's, ${a}, ${b}, got "zz"`,
  );
  await until(async () => /cordoned since .* by ann: new fans/.test(await cluster.poolStatus()));
  expect(launches).toHaveLength(2);
  const c = await add('c');
  await until(
    async () =>
      (await page(handle)).includes(`spares ${c.info.name}`) || (await page(handle)).includes('came as a spare'),
    40,
  );
  // Whoever trains saves again and again: the generation may be told to end only after the first of these.
  const generation = cluster.client.workflow.getHandle(`${handle.workflowId}/gen-1`);
  for (let iteration = 10; launches.length === 2 && iteration < 20; iteration++) {
    at.iteration = iteration;
    at.saved.push(iteration);
    for (const { info } of nodes)
      await generation
        .signal('checkpointReplicated', { token: launches[0]!.token, task: info.name, iteration, bytes: 1 })
        .catch(() => undefined);
    await pause(1500);
  }
  await trains(2);
  expect(
    launches
      .slice(2)
      .map(({ node }) => node)
      .sort(),
  ).toEqual(['a', 'c']);
  await until(async () => new RegExp(`\\| ${b} .*\\| cordoned since`).test(await cluster.poolStatus()));
  at.done = true;
  expect(await result(handle)).toMatchObject({ generations: 2, failures: 0 });
});

it.concurrent('moves away from a node that the pool drains', async (test) => {
  const { at, handle, trains, nodes, cluster, launches } = await trainingCluster(test, ['a', 'b', 'c']);
  await trains(1);
  const pool = poolOf(cluster);
  const held = nodes
    .map(({ info }) => info.name)
    .filter((_, index) => launches.some(({ node }) => node === ['a', 'b', 'c'][index]));
  expect(await refusalOf(pool.executeUpdate('drain', { args: [{ ...who, node: 'zz' }] }))).toMatch(
    /expected one of the pool's/,
  );
  const cli = (...args: string[]) => temporalCli(inject('temporalAddress'), ...args);
  expect(await cliUpdate(cli, pool.workflowId, 'drain', { node: held[0] })).toMatchObject({
    ...{ ok: true, says: expect.stringContaining(`${handle.workflowId} is asked to move away`) as string },
  });
  await until(async () => (await page(handle)).includes('came as a spare'), 40);
  at.iteration = 3;
  await update(handle, 'checkpointNow');
  await trains(2);
  await until(async () => new RegExp(`\\| ${held[0]} .*\\| cordoned since`).test(await cluster.poolStatus()));
  expect(await pool.executeUpdate('uncordon', { args: [{ ...who, node: held[0] }] })).toContain(
    'is given to runs again',
  );
  expect(await refusalOf(pool.executeUpdate('uncordon', { args: [{ ...who, node: held[0] }] }))).toContain(
    'is neither cordoned nor in quarantine',
  );
  expect(await cluster.poolStatus()).toMatch(
    new RegExp(`${held[0]} drained by ann: new fans\\n.*${held[0]} uncordoned by ann`),
  );
  at.done = true;
  await result(handle);
});

it.concurrent('waits at its gate for an approval, and ends where nobody gives one', async (test) => {
  const cluster = await startFakeCluster(test);
  const a = await cluster.node('a');
  await cluster.node('b');
  const start = (id: string, gates: object) =>
    cluster.client.workflow.start('pretrain', {
      ...{ workflowId: `${id}-${cluster.pool}`, taskQueue: cluster.taskQueue },
      args: [{ ...cluster.runFile(), series: id, gates }],
    });
  const handle = await start('asked', { train: { timeout: '10m' } });
  await isInPhase(handle, 'approval');
  expect(await page(handle)).toMatch(/waits for somebody to approve "train"; without a word the run ends at/);
  expect(a.calls).not.toContain('launchTraining');
  expect(await update(handle, 'approve', { gate: 'train' })).toContain('the run goes on now');
  expect(await result(handle)).toMatchObject({ iteration: 20 });
  const forgotten = await start('forgotten', { train: { timeout: '1s', default: 'stop' } });
  const error = await result(forgotten).catch((reason: unknown) => reason as Error);
  expect((error as Error).cause).toMatchObject({
    type: 'NotApproved',
    message: expect.stringContaining('by nobody in 1s') as string,
  });
});

it.concurrent(
  'does what was asked for before a failure after it',
  async (test) => {
    const file = { export: {}, gates: { export: { timeout: '10m' } }, recovery: QUICK };
    const training = await trainingCluster(test, ['a', 'b'], undefined, file);
    const { at, handle, trains, nodes, launches, cluster, add } = training;
    await trains(1);
    await update(handle, 'pauseTraining');
    at.iteration = 6;
    const [a, b] = nodes.map(({ info }) => info.name);
    await nodes[1]!.switchOff();
    const place = /waits for 1 of the pool "\S+" \(first in line; 1 held by run-\S+, 1 away\)/;
    await until(async () => place.test(await page(handle)), 60);
    // While it recovers, what makes sense is taken, and what does not is refused.
    const cli = (...args: string[]) => temporalCli(inject('temporalAddress'), ...args);
    const asked = await Promise.all([
      cliUpdate(cli, handle.workflowId, 'addSpare', {}),
      cliUpdate(cli, handle.workflowId, 'checkpointNow', {}),
    ]);
    expect(asked.map(({ ok }) => ok)).toEqual([true, false]);
    expect(asked.map(({ says }) => says).join()).toMatch(/the pool is asked for 1 more.*no ranks train now \(phase/s);
    const ahead = await Promise.all([
      cliUpdate(cli, handle.workflowId, 'replaceNode', { node: a, at: 'now' }),
      cliUpdate(cli, handle.workflowId, 'drainNode', { node: b }),
      cliUpdate(cli, handle.workflowId, 'approve', { gate: 'export', decision: 'stop' }),
    ]);
    expect(ahead).toEqual([
      {
        ok: true,
        says: expect.stringMatching(/there is no spare: a-\S+ leaves as soon as it has its nodes/) as string,
      },
      { ok: true, says: expect.stringContaining(`No run gets ${b} from now on`) as string },
      { ok: true, says: expect.stringContaining('ends without an export when it comes to the gate') as string },
    ]);
    await add('c');
    await add('d');
    await isInPhase(handle, 'paused');
    expect(launches).toHaveLength(2);
    await update(handle, 'resumeTraining');
    await trains(2);
    expect(
      launches
        .slice(2)
        .map(({ node }) => node)
        .sort(),
    ).toEqual(['c', 'd']);
    expect(await cluster.poolStatus()).toMatch(new RegExp(`\\| ${b} .*cordoned since .* by ann: new fans`));
    at.done = true;
    expect(await result(handle)).toMatchObject({ generations: 2, failures: 1 });
    expect(await page(handle)).toContain('gate "export" closed by ann: new fans');
    expect(await page(handle)).not.toMatch(/^asked /m);
  },
  120_000,
);
