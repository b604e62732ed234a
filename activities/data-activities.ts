/** The steps that bring data to a node and prepare it there. */
import type { NodeActivities } from '../workflows/contract.js';
import { createFetchFiles } from './fetch-files.js';
import { createFindArtifact } from './find-artifact.js';
import { createListSource } from './list-source.js';
import type { NodeDeps } from './node-deps.js';
import { createMindspeedMerge } from './preprocess/mindspeed-merge.js';
import { createMindspeedShard } from './preprocess/mindspeed-shard.js';
import { createMergeShards } from './preprocess/merge-shards.js';
import { createPreprocessShard } from './preprocess/preprocess-shard.js';
import { createRemoveParts } from './remove-parts.js';
import { createSetAsideDamaged } from './set-aside.js';
import { createSyncFiles } from './sync-files.js';

export const createDataActivities = (
  deps: NodeDeps,
): Pick<
  NodeActivities,
  | 'listSource'
  | 'fetchFiles'
  | 'preprocessShard'
  | 'mergeShards'
  | 'findArtifact'
  | 'setAsideDamaged'
  | 'syncFiles'
  | 'removeParts'
> => ({
  listSource: createListSource(deps),
  fetchFiles: createFetchFiles(deps),
  preprocessShard: byEngine(createPreprocessShard(deps), createMindspeedShard(deps)),
  mergeShards: byEngine(createMergeShards(deps), createMindspeedMerge(deps)),
  findArtifact: createFindArtifact(deps),
  setAsideDamaged: createSetAsideDamaged(deps),
  syncFiles: createSyncFiles(deps),
  removeParts: createRemoveParts(deps),
});

const byEngine =
  <I extends { engine?: 'native' | 'mindspeed' }, O>(native: (input: I) => O, mindspeed: (input: I) => O) =>
  (input: I): O =>
    (input.engine === 'mindspeed' ? mindspeed : native)(input);
