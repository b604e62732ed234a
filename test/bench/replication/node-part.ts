/** One node in a process of its own: its file service, and what follows its saves, when it is told to. */
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { readArtifact } from '../../../activities/artifact.js';
import { shardDir } from '../../../activities/checkpoint-files.js';
import { startFileService } from '../../../activities/file-service.js';
import { grantAccess } from '../../../activities/grants.js';
import type { NodeDeps } from '../../../activities/node-deps.js';
import { removeOld } from '../../../activities/remove-checkpoints.js';
import { createReplicateCheckpoint } from '../../../activities/replicate-checkpoint.js';
import { checkpointsDir } from '../../../workflows/plan.js';
import type { Peer, ReplicateCheckpointInput } from '../../../workflows/contract.js';
import { SERIES } from './series.js';

/** A save that is to be copied, with what the other node writes, or only makes older ones superfluous. */
export type Order = Pick<ReplicateCheckpointInput, 'after' | 'until' | 'master' | 'seals' | 'copies'> & {
  isCopied: boolean;
};
export type Answer = Peer | 'done';

const [name = '', dataDir = ''] = process.argv.slice(2);
const host = '127.0.0.1';
const { port } = await startFileService({ name, dataDir, host, port: 0 });
const token = await grantAccess(dataDir, { run: 'bench', series: SERIES });
const dir = checkpointsDir(SERIES);
let before = 0;
const deps: NodeDeps = {
  ...{ name, address: host, port, dataDir, mindspeedDir: '/nonexistent', python: 'python3', pairTest: '/nonexistent' },
  ...{ profile: 'cpu', devices: 1, env: {} },
  signal: () => Promise.resolve(),
  retention: () => Promise.resolve({ before, keep: [] }),
};
const replicate = createReplicateCheckpoint(deps);

async function follow({ isCopied, ...order }: Order): Promise<void> {
  before = order.until;
  if (!isCopied) return void (await removeOld(dataDir, dir, { before, keep: [] }, before));
  const input: ReplicateCheckpointInput = {
    ...{ run: 'bench', series: SERIES, generation: 1, token: 1, task: name, patienceSeconds: 60, ...order },
    reportTo: { workflowId: 'bench', runId: 'bench' },
  };
  await new MockActivityEnvironment({}, { logger: new DefaultLogger('WARN') }).run(replicate, input);
  for (const shard of [...order.seals, ...order.copies.map((copy) => copy.shard)])
    if (!(await readArtifact(dataDir, shardDir(dir, order.until, shard))))
      throw new Error(`${name} has no whole ${shard} of iteration ${order.until}`);
}

process.on('disconnect', () => process.exit(1));
process.on('message', (order: Order) => {
  follow(order).then(
    () => process.send!('done' satisfies Answer),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.send!({ name, url: `http://${host}:${port}`, token } satisfies Answer);
