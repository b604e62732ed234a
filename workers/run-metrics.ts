/** Figures of the runs, for whoever scrapes a control worker: the same that their page shows. */
import type { Client } from '@temporalio/client';
import type { MetricMeter } from '@temporalio/common';
import { failuresByCause } from '../workflows/past.js';
import type { RunState } from '../workflows/status.js';
import { regularly } from './regularly.js';

const LOOK_EVERY_MS = 15_000;

/** Each with its help text. A name is for dashboards and alerts of others: change none. */
export const RUN_GAUGES = {
  pretrain_run_active: 'Whether the run goes on',
  pretrain_run_waiting: 'Whether the run waits for something, such as nodes or an approval',
  pretrain_run_waiting_for_person:
    'Whether the run is paused or at a gate, where only a person or its time limit lets it go on',
  pretrain_run_training: 'Whether a generation is launched, be it before its first iteration or after',
  pretrain_run_iteration: 'Last iteration heard of',
  pretrain_run_target_iteration: 'Iteration at which the run ends',
  pretrain_run_loss: 'Loss of the last iteration heard of',
  pretrain_run_iteration_seconds: 'Seconds an iteration',
  pretrain_run_tokens_per_second: 'Tokens trained a second, over all nodes',
  pretrain_run_generation: 'Number of the gang launch',
  pretrain_run_nodes: 'Nodes that train',
  pretrain_run_spares: 'Nodes that stand by',
  pretrain_run_failures: 'Generations that failed, by cause',
  pretrain_run_checkpoint_iteration: 'Newest checkpoint that is complete, proven and copied',
  pretrain_run_checkpoint_timestamp_seconds:
    'When it became that, in seconds since the epoch: its age is time() less this. Not of one from before the run',
  pretrain_run_checkpoint_lag_iterations: 'Iterations that would be trained again if a node died now',
  pretrain_run_checkpoint_copies: 'Copies on other nodes that the least copied shard of checkpoints has',
  pretrain_run_heard_timestamp_seconds: 'When the training was last heard of, in seconds since the epoch',
} as const;

type Name = keyof typeof RUN_GAUGES;
export interface Figure {
  name: Name;
  value: number;
  labels?: Record<string, string>;
}

/** What one run amounts to. Nothing is said of what is not known. */
export function figuresOf(state: RunState, active: boolean): Figure[] {
  const { iteration, secondsPerIteration: pace, tokensPerIteration: tokens, asOf, nodes, copies } = state;
  const { replicated, replicatedAt } = state;
  const trains = active && state.phase === 'train';
  const figure = (name: Name, value: number | undefined): Figure[] => (value === undefined ? [] : [{ name, value }]);
  return [
    ...figure('pretrain_run_active', Number(active)),
    ...figure('pretrain_run_waiting', Number(active && state.waitsFor !== undefined)),
    ...figure('pretrain_run_waiting_for_person', Number(active && ['paused', 'approval'].includes(state.phase))),
    ...figure('pretrain_run_training', Number(trains)),
    ...figure('pretrain_run_iteration', iteration),
    ...figure('pretrain_run_target_iteration', state.target),
    ...figure('pretrain_run_loss', state.loss),
    ...figure('pretrain_run_iteration_seconds', pace),
    // A gauge keeps its last value: who does not train trains nothing a second.
    ...figure('pretrain_run_tokens_per_second', pace && tokens ? (trains ? tokens / pace : 0) : undefined),
    ...figure('pretrain_run_generation', state.generation),
    ...figure('pretrain_run_nodes', active ? nodes.length : 0),
    ...figure('pretrain_run_spares', active ? state.spares.length : 0),
    ...failuresByCause(state).map(([cause, value]) => ({
      name: 'pretrain_run_failures' as const,
      ...{ value, labels: { cause } },
    })),
    ...figure('pretrain_run_checkpoint_iteration', replicated),
    // NaN, which no comparison is true of: a gauge that is not set keeps the time of a checkpoint that is no more.
    ...figure('pretrain_run_checkpoint_timestamp_seconds', replicatedAt === undefined ? NaN : replicatedAt / 1000),
    ...figure('pretrain_run_checkpoint_lag_iterations', Math.max(0, iteration - replicated)),
    ...figure('pretrain_run_checkpoint_copies', copies && fewestCopies(nodes, copies)),
    ...figure('pretrain_run_heard_timestamp_seconds', asOf === undefined ? undefined : asOf / 1000),
  ];
}

const fewestCopies = (nodes: string[], copies: Record<string, string[]>): number | undefined =>
  nodes.length === 0
    ? undefined
    : Math.min(...nodes.map((node) => Object.values(copies).filter((kept) => kept.includes(node)).length));

/**
 * @param warn hears why a run could not be measured
 * @returns what ends it
 */
export function measureRuns(
  client: Client,
  meter: MetricMeter,
  warn: (reason: unknown) => void,
  everyMs = LOOK_EVERY_MS,
): () => void {
  const names = Object.entries(RUN_GAUGES) as [Name, string][];
  const gauges = new Map(names.map(([name, help]) => [name, meter.createGauge(name, 'float', undefined, help)]));
  let before = new Set<string>();
  const measure = async (run: string, active: boolean): Promise<void> => {
    const state = await client.workflow.getHandle(run).query<RunState>('runState');
    for (const { name, value, labels } of figuresOf(state, active))
      gauges.get(name)!.set(value, { run, series: state.series, ...labels });
  };
  const look = async (): Promise<void> => {
    const running = new Set<string>();
    const query = 'WorkflowType = "pretrain" AND ExecutionStatus = "Running"';
    for await (const { workflowId } of client.workflow.list({ query })) running.add(workflowId);
    const ended = [...before].filter((run) => !running.has(run));
    const measured = await Promise.allSettled([
      ...[...running].map((run) => measure(run, true)),
      ...ended.map((run) => measure(run, false)),
    ]);
    for (const one of measured) if (one.status === 'rejected') warn(one.reason);
    // One that has ended is asked again until its end is on record: a gauge would say for ever that it goes on.
    const untold = ended.filter((_, index) => measured[running.size + index]?.status === 'rejected');
    before = new Set([...running, ...untold]);
  };
  return regularly(everyMs, look, warn);
}
