/** What is done and killed: activities of a node, outside of a worker. */
import { asyncLocalStorage, Context, type Info } from '@temporalio/activity';
import { noopMetricMeter, type Logger } from '@temporalio/common';
import type { NodeDeps } from '../../../activities/node-deps.js';
import { createMergeShards } from '../../../activities/preprocess/merge-shards.js';
import { createPreprocessShard } from '../../../activities/preprocess/preprocess-shard.js';
import { createReplicateCheckpoint } from '../../../activities/replicate-checkpoint.js';
import { createRestoreCheckpoint } from '../../../activities/restore-checkpoint.js';
import { createSyncFiles } from '../../../activities/sync-files.js';

export const deeds = {
  shard: createPreprocessShard,
  transfer: createSyncFiles,
  merge: createMergeShards,
  replication: createReplicateCheckpoint,
  restore: createRestoreCheckpoint,
};

export type Deed = keyof typeof deeds;

/** What is older than the iteration that is copied goes. */
const retention = { before: 10, keep: [] };

/** @param dataDir absolute path */
export async function perform(deed: Deed, dataDir: string, input: unknown): Promise<void> {
  const deps: NodeDeps = {
    ...{ name: 'n2', address: '127.0.0.1', port: 0, dataDir, mindspeedDir: '/nonexistent', python: 'python3' },
    ...{ profile: 'cpu', devices: 1, env: {}, pairTest: '/nonexistent' },
    signal: () => Promise.resolve(),
    retention: () => Promise.resolve(retention),
  };
  const quiet = () => undefined;
  const log: Logger = { log: quiet, trace: quiet, debug: quiet, info: quiet, warn: quiet, error: quiet };
  const never = new Promise<never>(quiet);
  const { signal } = new AbortController();
  const context = new Context({} as Info, never, signal, quiet, undefined, log, noopMetricMeter, {});
  await asyncLocalStorage.run(context, () => deeds[deed](deps)(input as never));
}
