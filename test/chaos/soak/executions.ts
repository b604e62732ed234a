/** Every execution of every workflow of a soak, those that were continued as new as well: how long, how large, what failed. */
import type { Client } from '@temporalio/client';
import { taskFailuresIn } from '../histories.js';
import type { Execution } from './verdict.js';

export interface Executions {
  all: Execution[];
  /** Workflow tasks that failed in any of them. */
  taskFailures: string[];
}

/** Keeps what it has read of closed executions, which change no more. */
export function createExecutions(client: Client): () => Promise<Executions> {
  const closed = new Map<string, { execution: Execution; failures: string[] }>();
  return async () => {
    const found: { execution: Execution; failures: string[] }[] = [...closed.values()];
    for await (const { workflowId, runId, status } of client.workflow.list()) {
      if (closed.has(runId)) continue;
      const { events } = await client.workflow.getHandle(workflowId, runId).fetchHistory();
      const all = events ?? [];
      const largest = all
        .map((event) => ({ bytes: largestPayload(event), in: kindOf(event) }))
        .reduce((most, one) => (one.bytes > most.bytes ? one : most), { bytes: 0, in: '' });
      const execution = { workflowId, events: all.length, payload: largest.bytes, payloadIn: largest.in };
      const read = { execution, failures: taskFailuresIn(workflowId, all) };
      if (status.name !== 'RUNNING') closed.set(runId, read);
      found.push(read);
    }
    return {
      all: found.map(({ execution }) => execution),
      taskFailures: found.flatMap(({ failures }) => failures),
    };
  };
}

const kindOf = (event: object): string =>
  Object.entries(event).find(([key, value]) => key.endsWith('Attributes') && value !== null)?.[0] ?? '';

function largestPayload(value: unknown): number {
  if (value instanceof Uint8Array) return value.length;
  if (typeof value !== 'object' || value === null) return 0;
  return Object.values(value).reduce<number>((most, item) => Math.max(most, largestPayload(item)), 0);
}
