/** Figures of the pools, for whoever scrapes a control worker: the same that their page shows. */
import type { Client } from '@temporalio/client';
import type { MetricMeter } from '@temporalio/common';
import { isFree, type PoolState } from '../workflows/roster.js';
import { regularly } from './regularly.js';

const LOOK_EVERY_MS = 15_000;

/** Each with its help text. A name is for dashboards and alerts of others: change none. */
export const POOL_GAUGES = {
  pretrain_pool_node_state: 'Whether the node is in the state, of which it can be in several',
  pretrain_pool_waiting: 'Requests of runs that wait for nodes',
  pretrain_pool_waiting_seconds: 'How long the oldest request waits',
} as const;

export interface PoolFigure {
  name: keyof typeof POOL_GAUGES;
  value: number;
  labels?: Record<string, string>;
}

/** Every node in every state, since a gauge says its last value for ever. */
export function figuresOfPool({ nodes, waiting }: PoolState, now: number): PoolFigure[] {
  const states = nodes.flatMap((node) =>
    Object.entries({
      free: isFree(node),
      held: node.holder !== undefined,
      away: node.away !== undefined,
      cordoned: node.cordoned !== undefined,
      quarantined: node.quarantined !== undefined,
    }).map(([state, is]) => ({
      name: 'pretrain_pool_node_state' as const,
      value: Number(is),
      labels: { node: node.name, state },
    })),
  );
  const oldest = Math.min(now, ...waiting.map(({ since }) => since));
  return [
    ...states,
    { name: 'pretrain_pool_waiting', value: waiting.length },
    { name: 'pretrain_pool_waiting_seconds', value: (now - oldest) / 1000 },
  ];
}

/**
 * @param warn hears why a pool could not be measured
 * @returns what ends it
 */
export function measurePools(
  client: Client,
  meter: MetricMeter,
  warn: (reason: unknown) => void,
  everyMs = LOOK_EVERY_MS,
): () => void {
  const gauges = new Map(
    Object.entries(POOL_GAUGES).map(([name, help]) => [name, meter.createGauge(name, 'float', undefined, help)]),
  );
  const query = 'WorkflowType = "nodePool" AND ExecutionStatus = "Running"';
  const measure = async (workflowId: string): Promise<void> => {
    const state = await client.workflow.getHandle(workflowId).query<PoolState>('poolState');
    const pool = workflowId.replace(/^pool-/, '');
    for (const { name, value, labels } of figuresOfPool(state, Date.now()))
      gauges.get(name)!.set(value, { pool, ...labels });
  };
  const look = async (): Promise<void> => {
    const measured: Promise<void>[] = [];
    // One that does not answer is no reason to say nothing of the others.
    for await (const { workflowId } of client.workflow.list({ query })) measured.push(measure(workflowId).catch(warn));
    await Promise.all(measured);
  };
  return regularly(everyMs, look, warn);
}
