/** One node a name: two machines made from one image call themselves alike, and the server would share tasks out between them. */
import type { Client } from '@temporalio/client';
import type { NodeAnswer } from '../workflows/contract.js';

/** The server forgets a poller that was killed after minutes: it is asked whether it is there. */
const ANSWERS_WITHIN_MS = 2_000;

/** `temporal.api.enums.v1.TaskQueueType`, of which the client shows no names. */
const ACTIVITIES = 2;

type Place = Pick<NodeAnswer, 'name' | 'address' | 'port'>;

/** How a node worker calls itself to the server, so that another of its name can find it. */
export const identityOf = ({ name, address, port }: Place): string => `${name}@${address}:${port}`;

/** @throws Error when another node worker of this name polls its queue, and answers */
export async function onlyOfName(client: Client, own: Place): Promise<void> {
  const { pollers } = await client.workflowService.describeTaskQueue({
    namespace: client.options.namespace,
    taskQueue: { name: `node-${own.name}` },
    taskQueueType: ACTIVITIES,
  });
  for (const { identity } of pollers ?? []) {
    const at = /@(.+:\d+)$/.exec(identity ?? '')?.[1];
    if (!at || identity === identityOf(own) || (await nameAt(at)) !== own.name) continue;
    throw new Error(
      `PRETRAIN_NODE: another node worker calls itself ${own.name}, at ${at}. Each node has a name of its own: rename this one, or stop the other`,
    );
  }
}

/** Who answers at a file service's address, if anybody. */
async function nameAt(address: string): Promise<string | undefined> {
  try {
    const answer = await fetch(`http://${address}/health`, { signal: AbortSignal.timeout(ANSWERS_WITHIN_MS) });
    return answer.ok ? await answer.text() : undefined;
  } catch {
    return undefined;
  }
}
