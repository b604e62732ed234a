/** A worker that came back with another data directory answers for the same node, and knows nothing of its launches. */
import type { ApplicationFailure } from '@temporalio/common';
import { failure } from './failures.js';
import type { LaunchId } from './generation-files.js';

export const neverSeen = (node: string, dataDir: string, { run, generation, token }: LaunchId): ApplicationFailure =>
  failure(
    'EnvCheckFailed',
    `${node}: the data directory ${dataDir} never saw this launch (generation ${generation} of ${run}, token ${token}); is PRETRAIN_DATA right?`,
    { nonRetryable: true, details: { node, token, dataDir } },
  );
