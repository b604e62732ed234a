/** Keeps a node in its pool's book: it joins at start, and again when the pool is not the one that it joined. */
import type { Client } from '@temporalio/client';
import { currentRun } from '../activities/current-run.js';
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
  const current = () => currentRun(client, workflowId);

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
