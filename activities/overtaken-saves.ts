/**
 * Saves that the next one has overtaken while they were waited for. Those that are kept for ever are sealed and copied
 * before it; of the others what this node wrote is sealed when nothing newer waits, so that a node that is behind
 * catches up.
 */
import { log } from '@temporalio/activity';
import { isMissing } from './atomic.js';
import { iterationsIn, sealShard, shardDir } from './checkpoint-files.js';
import { reasonOf } from './failures.js';

export interface Overtaken {
  dataDir: string;
  dir: string;
  seals: string[];
  /** Older ones may be another launch's. */
  after: number;
  options: NonNullable<Parameters<typeof sealShard>[2]>;
}

/** @returns what seals the oldest of them that is newer than `after` and older than `before`, and says whether there was one */
export function createSealOvertaken({ dataDir, dir, seals, after, options }: Overtaken) {
  const seen = new Set<number>();
  return async (before: number): Promise<boolean> => {
    if (seals.length === 0) return false;
    const left = (await iterationsIn(dataDir, dir)).find((it) => it > after && it < before && !seen.has(it));
    if (left === undefined) return false;
    seen.add(left);
    for (const shard of seals)
      try {
        await sealShard(dataDir, shardDir(dir, left, shard), options);
      } catch (error) {
        if (options.signal?.aborted) throw error;
        // It may have been removed by now, as older ones are. Of a full disk the newest save tells.
        if (!isMissing(error))
          log.warn('an older save was not sealed', { iteration: left, shard, why: reasonOf(error) });
      }
    return true;
  };
}
