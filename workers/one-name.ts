/** One node a name: two machines made from one image call themselves alike, and the server would share tasks out between them. */
import type { Client } from '@temporalio/client';
import { askBytes, type Asker } from '../activities/peer-client.js';
import { peerOf, type NodeInfo } from '../workflows/contract.js';

/** The server forgets a poller that was killed after minutes: it is asked whether it is there. */
const ANSWERS_WITHIN_MS = 2_000;

/** `temporal.api.enums.v1.TaskQueueType`, of which the client shows no names. */
const ACTIVITIES = 2;

type Place = Pick<NodeInfo, 'name' | 'address' | 'port'>;

/** How a node worker calls itself to the server, so that another of its name can find it. */
export const identityOf = ({ name, address, port }: Place): string => `${name}@${address}:${port}`;

/** @throws Error when another node worker of this name polls its queue, and answers */
export async function onlyOfName(client: Client, own: NodeInfo & Asker): Promise<void> {
  const { pollers } = await client.workflowService.describeTaskQueue({
    namespace: client.options.namespace,
    taskQueue: { name: `node-${own.name}` },
    taskQueueType: ACTIVITIES,
  });
  for (const { identity } of pollers ?? []) {
    const [, address, port] = /@(.+):(\d+)$/.exec(identity ?? '') ?? [];
    if (!address || identity === identityOf(own)) continue;
    // All nodes of a pool speak TLS, or none: they read from each other.
    const other = { ...own, address, port: Number(port) };
    if ((await nameAt(own, other)) !== own.name) continue;
    throw new Error(
      `PRETRAIN_NODE: another node worker calls itself ${own.name}, at ${address}:${port}. Each node has a name of its own: rename this one, or stop the other`,
    );
  }
}

/** Who answers there, if anybody. */
const nameAt = (own: Asker, other: NodeInfo): Promise<string | undefined> =>
  askBytes(own, peerOf(other), '/health', { idleMs: ANSWERS_WITHIN_MS }).then(String, () => undefined);
