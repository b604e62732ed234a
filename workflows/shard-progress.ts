/** How far a dataset is, by the shards that are done. Pure. */
import type { ShardResult } from './contract.js';
import type { Preprocessed } from './dataset-figures.js';
import type { ShardPlan } from './plan.js';

export type Done = Pick<ShardResult, 'documents' | 'tokens'> | undefined;

export function progressOf(plans: readonly ShardPlan[], shards: readonly Done[], seconds: number): Preprocessed {
  const progress: Preprocessed = { documents: 0, tokens: 0, bytes: 0, of: 0, seconds };
  for (const [index, { files, slice }] of plans.entries()) {
    const bytes = files.reduce((sum, { size }) => sum + size, 0) / slice.of;
    const shard = shards[index];
    progress.of += bytes;
    if (!shard) continue;
    progress.bytes += bytes;
    progress.documents += shard.documents;
    progress.tokens += shard.tokens;
  }
  return progress;
}
