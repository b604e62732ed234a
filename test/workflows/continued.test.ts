/** A run whose own history has grown long. */
import { ApplicationFailure } from '@temporalio/common';
import { heartbeat, sleep } from '@temporalio/activity';
import { expect, it } from 'vitest';
import type { NodeActivities } from '../../workflows/contract.js';
import type { PoolState } from '../../workflows/roster.js';
import type { RunState } from '../../workflows/status.js';
import { startFakeCluster } from '../support/fake-cluster.js';
import { until } from '../support/until.js';

const done = { exitCode: 0, verdict: { outcome: 'finished' as const, lastIteration: 20, lastSaved: 20, loss: 1 } };

it('continues as new between generations with all that it knows, and what it asked the pool for still comes', async (test) => {
  const cluster = await startFakeCluster(test);
  const at = { fails: false, done: false, launches: 0 };
  const activities = (node: string): Partial<NodeActivities> => ({
    launchTraining: async () => void at.launches++,
    watchTraining: async ({ generation }) => {
      for (; !at.done; await sleep(50)) {
        heartbeat();
        if (at.fails && generation === 1) throw ApplicationFailure.nonRetryable('a rank was killed', 'CommandFailed');
      }
      return done;
    },
    stopTraining: async () => ({ node, confirmed: true, signal: 'SIGKILL', logPath: '/log' }),
  });
  for (const name of ['a', 'b']) await cluster.node(name, activities(name));
  const handle = await cluster.client.workflow.start('pretrain', {
    ...{ workflowId: `run-${cluster.pool}`, taskQueue: cluster.taskQueue },
    args: [cluster.runFile()],
  });
  const state = () => handle.query<RunState>('runState');
  const execution = async () => (await handle.describe()).runId;
  const first = await execution();
  await until(async () => at.launches === 2 && (await state()).generation === 1, 40);
  const ask = (name: string, fields: object) =>
    handle.executeUpdate(name, { args: [{ who: 'ann', why: 'a test', ...fields }] });
  await ask('addSpare', { count: 1 });

  // What a generation says in half a day.
  const news = { generation: 1, iteration: 7, replicated: 5, secondsPerIteration: 2, points: [[7, 1.5]] };
  for (let round = 0; round < 10; round++)
    await Promise.all(Array.from({ length: 100 }, () => handle.signal('generationNews', news)));
  expect(await execution()).toBe(first);
  at.fails = true;
  await until(async () => at.launches === 4 && (await state()).phase === 'train', 40);
  expect(await execution()).not.toBe(first);

  const { generation, failures, requests, curve, phases } = await state();
  expect({ generation, curve }).toMatchObject({ generation: 2, curve: [[7, 1.5]] });
  expect(failures).toMatchObject([{ generation: 1 }]);
  expect(requests).toMatchObject([{ update: 'addSpare', who: 'ann' }]);
  expect(requests[0]!.ended).toBeUndefined();
  expect(phases.filter(({ trained }) => trained)).toHaveLength(2);
  const pool = cluster.client.workflow.getHandle(`pool-${cluster.pool}`);
  const { waiting } = await pool.query<PoolState>('poolState');
  const spare = await cluster.node('c', activities('c'));
  await until(async () => (await state()).spares.includes(spare.info.name), 40);
  expect((await state()).requests[0]!.ended!.how).toContain('came');

  // The grant was on its way while the run continued and asked once more: a second node comes for the same request.
  const stray = await cluster.node('d', activities('d'));
  await pool.signal('acquire', waiting[0]);
  const history = async () => (await pool.fetchHistory()).events ?? [];
  const given = async () =>
    (await history()).filter(
      ({ workflowExecutionSignaledEventAttributes: signal }) =>
        signal?.signalName === 'release' && payloadOf(signal).includes(stray.info.name),
    );
  await until(async () => (await given()).length === 1, 20);
  await until(async () =>
    (await pool.query<PoolState>('poolState')).nodes.every((node) => node.name !== stray.info.name || !node.holder),
  );
  expect((await state()).spares).toEqual([spare.info.name]);
  at.done = true;
  expect(await handle.result()).toMatchObject({ iteration: 20, generations: 2, failures: 1 });
  await until(async () => !(await cluster.poolStatus()).includes('held by'));
}, 120_000);

const payloadOf = ({ input }: { input?: { payloads?: { data?: Uint8Array | null }[] | null } | null }): string =>
  Buffer.from(input?.payloads?.[0]?.data ?? []).toString();

it('takes no state from whoever starts it', async (test) => {
  const cluster = await startFakeCluster(test);
  for (const name of ['a', 'b']) await cluster.node(name);
  const handle = await cluster.client.workflow.start('pretrain', {
    ...{ workflowId: `run-${cluster.pool}`, taskQueue: cluster.taskQueue },
    args: [cluster.runFile(), { state: { series: 'another' }, crew: { members: [] } }],
  });
  expect(await handle.result()).toMatchObject({ series: `s-${cluster.pool}`, iteration: 20, generations: 1 });
});
