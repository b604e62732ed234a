/** Tells a run how far its dataset is, as shards are done: not of each, which are thousands. */
import { getExternalWorkflowHandle, log } from '@temporalio/workflow';
import { isProgressDue } from './dataset-figures.js';
import { preparationNews } from './messages.js';
import type { ShardPlan } from './plan.js';
import { progressOf, type Done } from './shard-progress.js';

/** @param to nobody is told where it is absent */
export function shardTeller(
  plans: readonly ShardPlan[],
  to: { run: string; token: number } | undefined,
): (shards: readonly Done[]) => void {
  const began = Date.now();
  let last = -Infinity;
  return (shards) => {
    const now = Date.now();
    if (!to || !isProgressDue(now - began, now - last)) return;
    last = now;
    const preprocessed = progressOf(plans, shards, (now - began) / 1000);
    // Nobody waits for it: the next shard does not need it.
    getExternalWorkflowHandle(to.run)
      .signal(preparationNews, { token: to.token, preprocessed })
      .catch((error: unknown) => log.warn('the run was not told how far its dataset is', { error: String(error) }));
  };
}
