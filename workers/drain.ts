/** Before a node's machine or pod goes: the run that holds it moves away at its next checkpoint, and this waits for that. */
import type { Client } from '@temporalio/client';
import type { PoolState } from '../workflows/roster.js';
import { readNodeConfig } from './config.js';
import { connect } from './connect.js';

const LOOK_EVERY_MS = 5_000;

export async function runDrain(): Promise<void> {
  const { name, pool } = readNodeConfig();
  const { client, close } = await connect();
  try {
    await drainNode(client, { name, pool });
  } finally {
    await close();
  }
}

/**
 * Ends when no run holds the node; how long that takes is for the caller to bound. The node stays cordoned.
 * @throws Error what the pool says against it, or that there is no pool
 */
export async function drainNode(
  client: Pick<Client, 'workflow'>,
  { name, pool }: { name: string; pool: string },
  { lookEveryMs = LOOK_EVERY_MS, say = (text: string) => void process.stdout.write(`${text}\n`) } = {},
): Promise<void> {
  const handle = client.workflow.getHandle(`pool-${pool}`);
  const wish = {
    node: name,
    who: `worker of ${name}`,
    why: 'it was told to drain, as before its machine or pod stops',
  };
  say(await handle.executeUpdate<string, [unknown]>('drain', { args: [wish] }));
  for (;;) {
    const { nodes } = await handle.query<PoolState>('poolState');
    const holder = nodes.find((node) => node.name === name)?.holder;
    if (!holder) break;
    await new Promise((done) => setTimeout(done, lookEveryMs));
  }
  say(`no run holds ${name}; uncordon it when it is back`);
}
