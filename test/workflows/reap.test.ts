/** The reaper on a real server, which says what is closed; what nodes have is made up, what they are told to remove is not. */
import type { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { expect, it } from 'vitest';
import type { Reaped, ReapInput } from '../../workflows/leftovers.js';
import { describeReaping, readReapRequest } from '../../workflows/reap-request.js';
import { longTraining } from '../support/one-gang.js';
import { startFakeCluster, type FakeCluster, type FakeNode } from '../support/fake-cluster.js';
import { until } from '../support/until.js';

const nothing: Reaped = { runs: [], downloads: { files: 0, bytes: 0 }, failed: [] };

const start = (cluster: FakeCluster, type: string, id: string, input: object) =>
  cluster.client.workflow.start(type, { ...{ workflowId: id, taskQueue: cluster.taskQueue }, args: [input] });
const reap = async (cluster: FakeCluster, input: object) => {
  const handle = await start(cluster, 'reap', `reap-${crypto.randomUUID()}`, { pool: cluster.pool, ...input });
  return ((await handle.result()) as { page: string[] }).page;
};
const trains = (node: FakeNode) => until(() => node.calls.includes('watchTraining'));

it.concurrent(
  'touches what the server says is closed, and neither what is open nor what it does not know',
  async (test) => {
    const cluster = await startFakeCluster(test);
    const named = (name: string) => `${name}-${cluster.pool}`;
    const told: ReapInput[] = [];
    const { activities, end } = longTraining();
    const left = () => Promise.resolve({ runs: ['closed', 'open', 'colons_in_it', 'stranger'].map(named) });
    const reapLeft = async (input: ReapInput): Promise<Reaped> => {
      told.push(input);
      return {
        ...nothing,
        runs: [{ run: named('closed'), processes: 0, launches: 2, probes: 1, tokens: 1, bytes: 3e8 }],
      };
    };
    const a = await cluster.node('a', { ...activities, findLeft: left, reapLeft });
    const b = await cluster.node('b', activities);
    const file = (series: string) => ({
      ...cluster.runFile({ cluster: { nodes: 1 }, parallel: { pp: 1 } }),
      ...{ series: named(series) },
    });
    // Ended, and started again under the same id: open.
    for (const id of ['open', 'colons:in_it', 'closed']) {
      const first = await start(cluster, 'pretrain', named(id), file(id));
      if (id === 'closed') await trains(a);
      await first.terminate();
    }
    await start(cluster, 'pretrain', named('open'), file('open'));
    await trains(b);
    const held = () => cluster.poolStatus();
    expect(await held()).toMatch(new RegExp(`held by ${named('closed')}`));

    const dry = await reap(cluster, { grace: '1s', dryRun: true });
    expect(told.at(-1)).toMatchObject({ dryRun: true });
    expect(await held()).toMatch(new RegExp(`held by ${named('closed')}`));
    expect(dry[0]).toMatch(/^dry run, nothing was touched: /);

    const page = await reap(cluster, { grace: '1s' });
    expect(
      told
        .at(-1)!
        .closed.map(({ run }) => run)
        .sort(),
    ).toEqual(['closed', 'colons_in_it'].map(named));
    for (const { closedAt } of told.at(-1)!.closed) expect(Math.abs(Date.now() - closedAt)).toBeLessThan(60_000);
    expect(told.at(-1)!.openSince).toBeLessThan(Date.now());
    expect(page).toContain(`pool ${cluster.pool}: ${named('closed')} is closed; ${a.info.name} is given back`);
    expect(page).toContain(
      `${a.info.name}: ${named('closed')}: 2 launch directories (0.3 GB), 1 probe, 1 file token removed`,
    );
    expect(page.at(-1)).toMatch(new RegExp(`the server knows no run of that name: ${named('stranger')};`));
    expect(await held()).not.toMatch(new RegExp(`held by ${named('closed')}`));
    expect(await held()).toMatch(new RegExp(`held by ${named('open')}`));
    end();
  },
);

it.concurrent('says which nodes it could not look at, and of a wrong input every field', async (test) => {
  const cluster = await startFakeCluster(test);
  const findLeft = () => Promise.reject(ApplicationFailure.nonRetryable('no'));
  const node = await cluster.node('a', { findLeft });
  expect(await reap(cluster, {})).toEqual([
    `what runs left that closed more than 7d ago, on 1 node of pool ${cluster.pool}`,
    `${node.info.name}: not looked at: no`,
  ]);
  const refused = async (input: object) =>
    ((await reap(cluster, input).catch((error: unknown) => error)) as WorkflowFailedError).cause;
  expect(await refused({ grace: 'soon', dryRun: 1 })).toMatchObject({
    ...{
      type: 'InvalidInput',
      message: expect.stringMatching(/grace: expected a duration.*; dryRun: expected/) as string,
    },
  });
  expect(await refused({ pool: 'nowhere' })).toMatchObject({
    cause: { type: 'InvalidInput', message: expect.stringMatching(/the server has no pool-nowhere/) as string },
  });
});

it('a reaper without input looks at the pool "default", and a page is bounded', () => {
  expect(readReapRequest(undefined)).toEqual({ request: { pool: 'default', grace: '7d', dryRun: false } });
  const nodes = Array.from({ length: 1000 }, (_, index) => ({ node: `n${index}`, error: 'away' }));
  const request = { pool: 'p', grace: '7d', dryRun: false };
  const page = describeReaping({ request, released: [], nodes, unknown: [] });
  expect([page.length, page.at(-1)]).toEqual([202, 'and 800 lines more']);
});
