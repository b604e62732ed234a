/** What the server knows of the runs that nodes have something of. It alone says which are closed. */
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import type { ControlActivities } from '../workflows/contract.js';
import { holdersOf, type PoolState } from '../workflows/roster.js';
import { runName } from '../workflows/spec.js';
import { failure } from './failures.js';

export const createLookAtPool =
  (client: Client): ControlActivities['lookAtPool'] =>
  async ({ pool }) => {
    const state = await client.workflow
      .getHandle(`pool-${pool}`)
      .query<PoolState>('poolState')
      .catch((error: unknown) => {
        if (!(error instanceof WorkflowNotFoundError)) throw error;
        throw failure(
          'InvalidInput',
          `pool: expected the name of a pool, got "${pool}": the server has no pool-${pool}`,
          { nonRetryable: true },
        );
      });
    const heldBy = (id: string) => state.nodes.filter(({ holder }) => holder?.workflowId === id);
    return {
      nodes: state.nodes.map(({ name }) => name),
      holders: holdersOf(state).map((holder) => ({
        holder,
        nodes: heldBy(holder.workflowId).map(({ name }) => name),
      })),
    };
  };

/** A run, and what it starts: as long as one of these is open, something of it may go on. */
const OPEN =
  'WorkflowType IN ("pretrain", "prepareData", "prepareGeneration", "trainGeneration") AND ExecutionStatus = "Running"';
const CLOSED = 'WorkflowType = "pretrain" AND ExecutionStatus != "Running" AND ExecutionStatus != "ContinuedAsNew"';

export const createAskAfterRuns =
  (client: Client): ControlActivities['askAfterRuns'] =>
  async ({ runs }) => {
    const asked = new Set(runs);
    const open = new Set<string | undefined>();
    let openSince: number | undefined;
    for await (const { workflowId, runId } of client.workflow.list({ query: OPEN })) {
      open.add(runName(workflowId)).add(runName(workflowId.replace(/\/[^/]*$/, '')));
      openSince = Math.min(openSince ?? Infinity, await firstStart(client, workflowId, runId));
    }
    const known = new Set<string>();
    const closedAt = new Map<string, number>();
    for await (const { workflowId } of client.workflow.list({ query: CLOSED })) {
      const run = runName(workflowId);
      if (run === undefined || !asked.has(run) || known.has(workflowId)) continue;
      known.add(workflowId);
      // Lists are behind the truth: whether the id is open by now is asked of the run itself.
      const closed = await closeTime(client, workflowId);
      if (closed === undefined) open.add(run);
      else closedAt.set(run, Math.max(closed, closedAt.get(run) ?? 0));
    }
    return {
      closed: [...closedAt].flatMap(([run, at]) => (open.has(run) ? [] : [{ run, closedAt: at }])),
      unknown: runs.filter((run) => !open.has(run) && !closedAt.has(run)),
      ...(openSince !== undefined && { openSince }),
    };
  };

async function closeTime(client: Client, workflowId: string): Promise<number | undefined> {
  return (await client.workflow.getHandle(workflowId).describe()).closeTime?.getTime();
}

/** When the run began, however often it continued as new or was reset; 0, before everything, where the server has forgotten. */
async function firstStart(client: Client, workflowId: string, runId: string): Promise<number> {
  try {
    const { raw, startTime } = await client.workflow.getHandle(workflowId, runId).describe();
    const first = raw.workflowExecutionInfo?.firstRunId;
    if (!first) return 0;
    return first === runId
      ? startTime.getTime()
      : (await client.workflow.getHandle(workflowId, first).describe()).startTime.getTime();
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return 0;
    throw error;
  }
}
