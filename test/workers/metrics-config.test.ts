/** Where a worker's figures go, and what a line of its log says of whose it is. */
import { expect, it } from 'vitest';
import { newState } from '../../workflows/status.js';
import { readMetricsConfig } from '../../workers/config.js';
import { runOf } from '../../workers/connect.js';
import { figuresOf } from '../../workers/run-metrics.js';

it.each([
  ['', undefined],
  ['off', undefined],
  ['127.0.0.1:9464', { scrapedAt: '127.0.0.1:9464' }],
  ['[::1]:9464', { scrapedAt: '[::1]:9464' }],
  ['http://collector:4317', { sentTo: 'http://collector:4317' }],
])('PRETRAIN_METRICS=%s is read', (said, expected) =>
  expect(readMetricsConfig({ PRETRAIN_METRICS: said })).toEqual(expected),
);

it('refuses a password in PRETRAIN_METRICS, and does not tell it', () => {
  const read = () => readMetricsConfig({ PRETRAIN_METRICS: 'http://me:planted@collector:4317' });
  expect(read).toThrow(/^PRETRAIN_METRICS: expected an address without a name or password/);
  expect(read).not.toThrow(/planted/);
});

it.each(['9464', 'somewhere:9464', '127.0.0.1:99999', '1.2:80'])('PRETRAIN_METRICS=%s is refused', (said) =>
  expect(() => readMetricsConfig({ PRETRAIN_METRICS: said })).toThrow(/^PRETRAIN_METRICS: expected an IP address/),
);

it.each([
  ['qwen/gen-3', { run: 'qwen', generation: 3 }],
  ['a/b/data', { run: 'a/b' }],
  ['a/b/prepare-2', { run: 'a/b' }],
  ['qwen', { run: 'qwen' }],
  ['pool-default', {}],
  [undefined, {}],
])('a log line of workflow %s says %j', (id, expected) => expect(runOf(id)).toEqual(expected));

it('a run that has ended trains no tokens and has no nodes, whatever it did last', () => {
  const failure = { generation: 1, startedFrom: 0, endedAt: 0, iteration: 1, at: 1, why: '' };
  const state = {
    ...{
      ...newState('r', 's', 100),
      phase: 'train' as const,
      iteration: 40,
      replicated: 30,
      nodes: ['a', 'b'],
      replicatedAt: 5_000,
    },
    ...{ secondsPerIteration: 2, tokensPerIteration: 1000, copies: { a: ['b'], b: ['a'] } },
    failures: (['node', 'hang', 'node'] as const).map((cause) => ({ ...failure, cause })),
  };
  const of = (active: boolean) => Object.fromEntries(figuresOf(state, active).map(({ name, value }) => [name, value]));
  expect(figuresOf(state, true).filter(({ name }) => name === 'pretrain_run_failures')).toMatchObject([
    { value: 2, labels: { cause: 'node' } },
    { value: 1, labels: { cause: 'hang' } },
  ]);
  expect(of(true)).toMatchObject({
    ...{ pretrain_run_active: 1, pretrain_run_training: 1, pretrain_run_tokens_per_second: 500, pretrain_run_nodes: 2 },
    ...{ pretrain_run_checkpoint_lag_iterations: 10, pretrain_run_checkpoint_copies: 1 },
    pretrain_run_checkpoint_timestamp_seconds: 5,
  });
  const fellBack = figuresOf({ ...state, replicatedAt: undefined as never }, true);
  expect(fellBack).toContainEqual({ name: 'pretrain_run_checkpoint_timestamp_seconds', value: NaN });
  expect(of(false)).toMatchObject({
    ...{ pretrain_run_active: 0, pretrain_run_training: 0, pretrain_run_tokens_per_second: 0, pretrain_run_nodes: 0 },
  });
});

it.each([
  ['paused', 1],
  ['approval', 1],
  ['nodes', 0],
] as const)('a run in phase %s waits for a person: %i', (phase, expected) => {
  const state = { ...newState('r', 's', 100), phase, waitsFor: 'something' };
  const figures = figuresOf(state, true);
  expect(figures).toContainEqual({ name: 'pretrain_run_waiting', value: 1 });
  expect(figures).toContainEqual({ name: 'pretrain_run_waiting_for_person', value: expected });
});
