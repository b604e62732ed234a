/** A node in quarantine is tried out by a run of its own, and comes back when it has passed. */
import { ApplicationFailure } from '@temporalio/common';
import { describe, expect, it } from 'vitest';
import type { NodeActivities, WatchResult } from '../../workflows/contract.js';
import { passSoak, noteFault, SOAK_STEPS } from '../../workflows/quarantine.js';
import { candidates, enqueue, grant, nextRequest, type PoolState } from '../../workflows/roster.js';
import { startFakeCluster, type FakeCluster, type FakeNode } from '../support/fake-cluster.js';
import { until } from '../support/until.js';

const HOUR = 3_600_000;
const T0 = Date.parse('2026-03-01T10:00:00Z');
const HOLDER = { workflowId: 'soak', firstRunId: 'f' };

/** Node a has failed twice, b is well. */
function pool(): PoolState {
  const state: PoolState = {
    ...{ waiting: [], token: 0 },
    nodes: ['a', 'b'].map((name) => ({ name, address: name, port: 1, devices: 8, profile: 'npu' as const })),
  };
  for (const at of [T0, T0 + HOUR]) noteFault(state, { node: 'a', reason: 'HBM ECC', at });
  return state;
}
const asks = (more: object) => ({ requestId: 'r', holder: HOLDER, series: 's', devices: 8, nodes: 1, ...more });
const names = (state: PoolState, more: object) => candidates(state, asks(more))?.map(({ name }) => name);

describe('in the book of the pool, a run that is to try out a node', () => {
  it('gets that one, though it is left to a person, and no other', () => {
    const state = pool();
    expect([names(state, {}), names(state, { soak: 'a' }), names(state, { soak: 'c' })]).toEqual([
      ['b'],
      ['a'],
      undefined,
    ]);
  });

  it('lets others pass while it waits for the node', () => {
    const state = pool();
    state.nodes[0]!.away = 'switched off';
    enqueue(state, asks({ soak: 'a', requestId: 'soak' }), T0);
    enqueue(state, asks({ requestId: 'other' }), T0 + 1);
    expect(nextRequest(state, T0 + 2)?.requestId).toBe('other');
    delete state.nodes[0]!.away;
    expect(nextRequest(state, T0 + 2)?.requestId).toBe('soak');
  });

  it.each([
    ['the run that has it', HOLDER, SOAK_STEPS, ['a', 'b']],
    ['a run that has it no more', { ...HOLDER, workflowId: 'other' }, SOAK_STEPS, undefined],
    ['too few iterations', HOLDER, SOAK_STEPS - 1, undefined],
  ])('takes it out of quarantine by the word of %s', (_, holder, iterations, expected) => {
    const state = pool();
    grant(state, asks({ soak: 'a' }), [state.nodes[0]!]);
    passSoak(state, { node: 'a', holder, iterations }, T0 + 2 * HOUR);
    delete state.nodes[0]!.holder;
    expect(names(state, { nodes: 2 })).toEqual(expected);
    // Should it fail again, it is left to a person at once.
    noteFault(state, { node: 'a', reason: 'HBM ECC', at: T0 + 3 * HOUR });
    expect(state.nodes[0]!.quarantined).toEqual({ since: T0 + 3 * HOUR, reason: 'HBM ECC' });
  });
});

const passed: WatchResult = {
  exitCode: 0,
  verdict: { outcome: 'finished', lastIteration: SOAK_STEPS, lastSaved: SOAK_STEPS },
};

async function quarantined(cluster: FakeCluster, activities: Partial<NodeActivities>): Promise<FakeNode> {
  const node = await cluster.node('a', activities);
  const handle = cluster.client.workflow.getHandle(`pool-${cluster.pool}`);
  for (const at of [1, 2]) await handle.signal('reportFault', { node: node.info.name, reason: 'HBM ECC', at });
  await until(async () => (await cluster.poolStatus()).includes('until somebody lifts it'));
  return node;
}

const soak = (cluster: FakeCluster, node: FakeNode) => {
  const file = cluster.runFile({
    cluster: { nodes: 1, soak: node.info.name },
    parallel: { pp: 1 },
    train: { iterations: SOAK_STEPS },
  });
  return cluster.client.workflow.start('pretrain', {
    ...{ workflowId: `soak-${cluster.pool}`, taskQueue: cluster.taskQueue },
    args: [file],
  });
};

it.concurrent('takes a node out of quarantine that has trained for some hundred iterations', async (test) => {
  const cluster = await startFakeCluster(test);
  const node = await quarantined(cluster, { watchTraining: () => Promise.resolve(passed) });
  const handle = await soak(cluster, node);
  expect(await handle.result()).toMatchObject({ iteration: SOAK_STEPS });
  expect(await handle.query<string>('status')).toContain(
    `${node.info.name} has passed: ${SOAK_STEPS} iterations alone`,
  );
  await until(async () => (await cluster.poolStatus()).includes('| free |'));
  expect(await cluster.poolStatus()).toContain(`taken out of quarantine by soak-${cluster.pool}: ${SOAK_STEPS}`);
});

it.concurrent.for([
  ['hardware that fails again', 'HBM MULTI BIT ECC ERROR'],
  ['an error that elsewhere would be tried again', 'RuntimeError: something odd'],
])('leaves it there after %s, and tries nothing else', async ([, firstError], test) => {
  const cluster = await startFakeCluster(test);
  const node = await quarantined(cluster, {
    watchTraining: () => Promise.reject(ApplicationFailure.nonRetryable('ended with exit code 1', 'CommandFailed')),
    stopTraining: () => Promise.resolve({ node: 'a', confirmed: true, logPath: '/log', firstError: firstError! }),
  });
  const error = (await (await soak(cluster, node)).result().catch((reason: unknown) => reason)) as Error;
  expect(String((error.cause as Error).message)).toContain(`${node.info.name} has not passed`);
  await until(async () => !(await cluster.poolStatus()).includes('held by'));
  expect(await cluster.poolStatus()).toContain('in quarantine');
  expect(node.calls.filter((call) => call === 'launchTraining')).toHaveLength(1);
});

it.concurrent('leaves it there when the series was trained before, and nothing is left to do', async (test) => {
  const cluster = await startFakeCluster(test);
  const listCheckpoints = () =>
    Promise.resolve([{ iteration: SOAK_STEPS, shards: [{ shard: 'mp_rank_00', digest: 'd', bytes: 1 }] }]);
  const node = await quarantined(cluster, { listCheckpoints });
  const handle = await soak(cluster, node);
  await handle.result();
  expect(await handle.query<string>('status')).toContain('this run trained 0 iterations');
  expect(await cluster.poolStatus()).toContain('in quarantine');
});
