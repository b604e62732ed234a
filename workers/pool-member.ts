/** Keeps a node in its pool's book: it joins at start, and again when the pool is not the one that it joined. */
import type { Client } from '@temporalio/client';
import { currentRun } from '../activities/current-run.js';
import type { NodeAnswer } from '../workflows/contract.js';
import type { PoolState } from '../workflows/roster.js';

/** A pool whose control worker is gone answers nothing. */
const ANSWERS_WITHIN_MS = 5_000;

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
  {
    lookEveryMs = LOOK_EVERY_MS,
    taskQueue = 'pretrain',
    say = (text: string) => void process.stderr.write(`${text}\n`),
  } = {},
): Promise<() => Promise<void>> {
  const workflowId = `pool-${pool}`;
  const current = () => currentRun(client, workflowId);
  let waitsFor: string | undefined;
  /** @returns the pool that it is in now; none while a run of the pool before has the node */
  const join = async (): Promise<string | undefined> => {
    const said = await answer();
    const held = await heldElsewhere(client, workflowId, said.name);
    if (held !== undefined && held !== waitsFor) say(`${held}: ${said.name} joins ${workflowId} when that is over`);
    waitsFor = held;
    if (held !== undefined) return undefined;
    await client.workflow.signalWithStart('nodePool', {
      ...{ workflowId, taskQueue, signal: 'join' },
      signalArgs: [said],
    });
    return current();
  };

  // A call that is open when its connection is closed is tried again by the client, from a timer whose error nobody can catch.
  const asking = new AbortController();
  let joined = await join();
  const look = async (): Promise<void> => {
    const now = await current();
    if (now !== undefined && now === joined) return;
    joined = await join();
  };
  let looking: Promise<void> | undefined;
  // A server that does not answer is no news of the pool: the next look will tell.
  const lookOnce = () => client.withAbortSignal(asking.signal, look).catch(() => undefined);
  const timer = setInterval(() => void (looking ??= lookOnce().finally(() => (looking = undefined))), lookEveryMs);
  return async () => {
    clearInterval(timer);
    asking.abort();
    await looking;
  };
}

/** Which run has the node by the book of another pool, in which it was before. */
async function heldElsewhere(client: Client, own: string, node: string): Promise<string | undefined> {
  const others: string[] = [];
  const query = 'WorkflowType = "nodePool" AND ExecutionStatus = "Running"';
  for await (const { workflowId } of client.workflow.list({ query })) if (workflowId !== own) others.push(workflowId);
  const ask = async (pool: string): Promise<string | undefined> => {
    const within = Date.now() + ANSWERS_WITHIN_MS;
    const book = () => client.workflow.getHandle(pool).query<PoolState>('poolState');
    const state = await client.withDeadline(within, book).catch(() => undefined);
    const holder = state?.nodes.find(({ name }) => name === node)?.holder;
    // One that was terminated has given nothing back.
    const isOpen = holder && (await currentRun(client, holder.workflowId)) === holder.firstRunId;
    return isOpen ? `${holder.workflowId} has this node from ${pool}` : undefined;
  };
  return (await Promise.all(others.map(ask))).find(Boolean);
}
