/** Signals the preparation of a dataset how far a shard is: some ten seconds after it began to encode, then ever more seldom. */
import { log } from '@temporalio/activity';
import type { PreprocessShardInput } from '../../workflows/contract.js';
import { isShardNewsDue } from '../../workflows/dataset-figures.js';
import type { ShardProgress } from '../../workflows/messages.js';
import { reasonOf } from '../failures.js';
import type { NodeDeps } from '../node-deps.js';
import type { Progress } from './encode-rows.js';

/** @returns takes each progress, and does not wait for the server */
export function createShardReport(
  { name: node, signal }: Pick<NodeDeps, 'name' | 'signal'>,
  { shard, report }: Pick<PreprocessShardInput, 'shard' | 'report'>,
): (done: Progress) => void {
  if (!report) return () => undefined;
  const { to, age, atATime } = report;
  const began = performance.now();
  // Not from `began`: it may have waited for a core until now, and be done in a moment.
  let spokeAt: number | undefined;
  let isSpeaking = false;
  const speak = async (progress: ShardProgress): Promise<void> => {
    try {
      await signal(to, 'shardProgress', progress);
    } catch (error) {
      log.warn('how far a shard is was not taken', { shard, why: reasonOf(error) });
    }
  };
  return ({ documents, tokens, bytes }) => {
    const now = performance.now();
    spokeAt ??= now;
    if (isSpeaking || !isShardNewsDue(age + now - began, now - spokeAt, atATime)) return;
    [spokeAt, isSpeaking] = [now, true];
    void speak({ shard, node, documents, tokens, bytes }).finally(() => (isSpeaking = false));
  };
}
