/** The peer: a workflow that asks each node one thing, all at once, and nothing else. */
import { proxyActivities } from '@temporalio/workflow';

interface Nodes {
  launchTraining(input: object): Promise<void>;
}

export async function bareFanOut({ nodes }: { nodes: string[] }): Promise<void> {
  await Promise.all(
    nodes.map((node) =>
      proxyActivities<Nodes>({ taskQueue: `node-${node}`, startToCloseTimeout: '10 minutes' }).launchTraining({}),
    ),
  );
}
