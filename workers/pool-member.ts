/** Keeps a node in its pool's book: it joins at start, and again when the pool is not the one that it joined. */
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import type { NodeAnswer } from '../workflows/contract.js';

/** Somebody may have terminated the pool; until its nodes join the next one, runs wait for nobody. */
const LOOK_EVERY_MS = 30_000;

/**
 * @param answer what the node says of itself, asked anew at each joining
 * @returns what ends it
 */
export async function joinPool(
  client: Client,
  pool: string,
  answer: () => Promise<NodeAnswer>,
  { lookEveryMs = LOOK_EVERY_MS, taskQueue = 'pretrain' } = {},
): Promise<() => void> {
  const workflowId = `pool-${pool}`;
  const join = async () =>
    client.workflow.signalWithStart('nodePool', {
      ...{ workflowId, taskQueue, signal: 'join' },
      signalArgs: [await answer()],
    });
  /** The same for as long as the pool lives, however often it continues as new; `undefined` when none runs. */
  const current = async (): Promise<string | undefined> => {
    try {
      const { status, raw } = await client.workflow.getHandle(workflowId).describe();
      return status.name === 'RUNNING' ? (raw.workflowExecutionInfo?.firstRunId ?? undefined) : undefined;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return undefined;
      throw error;
    }
  };

  await join();
  let joined = await current();
  const look = async (): Promise<void> => {
    const now = await current();
    if (now !== undefined && now === joined) return;
    await join();
    joined = await current();
  };
  // A server that does not answer is no news of the pool: the next look will tell.
  const timer = setInterval(() => void look().catch(() => undefined), lookEveryMs);
  return () => clearInterval(timer);
}
