/** How far a dataset is, by the shards that are done and those under way. Pure. */
import type { ShardResult } from './contract.js';
import type { Preprocessed } from './dataset-figures.js';
import type { ShardProgress } from './messages.js';
import type { ShardPlan } from './plan.js';

export type Done = Pick<ShardResult, 'documents' | 'tokens'> | undefined;

export type UnderWay = ReadonlyMap<number, Pick<ShardProgress, 'documents' | 'tokens' | 'bytes'>>;

/** @param underWay what shards said last, by their place; of one that is done it no longer counts */
export function progressOf(
  plans: readonly ShardPlan[],
  shards: readonly Done[],
  seconds: number,
  underWay: UnderWay = new Map(),
): Preprocessed {
  const progress: Preprocessed = { documents: 0, tokens: 0, bytes: 0, of: 0, seconds };
  for (const [index, { files, slice }] of plans.entries()) {
    const bytes = files.reduce((sum, { size }) => sum + size, 0) / slice.of;
    progress.of += bytes;
    const [done, running] = [shards[index], underWay.get(index)];
    const shard = done ?? running;
    if (!shard) continue;
    // One that has read all is still encoding and sealing: the whole is not there yet.
    progress.bytes += done ? bytes : Math.min(running!.bytes, Math.max(0, bytes - 1));
    progress.documents += shard.documents;
    progress.tokens += shard.tokens;
  }
  return progress;
}
