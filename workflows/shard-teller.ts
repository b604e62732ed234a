/** Tells a run how far its dataset is, as shards are done or say how far they are: not of each word, which are thousands. */
import { getExternalWorkflowHandle, log, patched, workflowInfo } from '@temporalio/workflow';
import type { ShardReport } from './contract.js';
import { isProgressDue, RAREST } from './dataset-figures.js';
import { preparationNews, shardProgress, type ShardProgress } from './messages.js';
import { onSignal } from './on-signal.js';
import type { ShardPlan } from './plan.js';
import { progressOf, type Done } from './shard-progress.js';

/** Before, a shard spoke only by its end, and of an old dataset the run heard ever more seldom. */
const SPEAK = 'shards under way say how far they are';

export interface ShardTeller {
  /** From now on this node makes the shard, and nobody else. @returns what it needs to know to speak, if it is to */
  begins(shard: number, node: string): ShardReport | undefined;
  /** The attempt is over, well or not. */
  ends(shard: number): void;
  tell(): void;
}

/**
 * @param shards what is done, by place; changes
 * @param to nobody is told where it is absent
 */
export function shardTeller(
  plans: readonly ShardPlan[],
  shards: readonly Done[],
  to: { run: string; token: number } | undefined,
  atATime: number,
): ShardTeller {
  const began = Date.now();
  const underWay = new Map<number, ShardProgress>();
  const speak = to !== undefined && patched(SPEAK);
  let last = -Infinity;
  const tell = () => {
    const now = Date.now();
    if (!to || !isProgressDue(now - began, now - last, speak ? RAREST : Infinity)) return;
    last = now;
    const preprocessed = progressOf(plans, shards, (now - began) / 1000, underWay);
    // Nobody waits for it: the next shard does not need it.
    getExternalWorkflowHandle(to.run)
      .signal(preparationNews, { token: to.token, preprocessed })
      .catch((error: unknown) => log.warn('the run was not told how far its dataset is', { error: String(error) }));
  };
  if (speak)
    onSignal(shardProgress, (progress) => {
      // A node that was taken for lost may go on making what another makes by now.
      if (underWay.get(progress.shard)?.node !== progress.node) return;
      underWay.set(progress.shard, progress);
      tell();
    });
  return {
    begins(shard, node) {
      if (!speak) return undefined;
      underWay.set(shard, { shard, node, documents: 0, tokens: 0, bytes: 0 });
      const { workflowId, runId } = workflowInfo();
      return { to: { workflowId, runId }, age: Date.now() - began, atATime };
    },
    ends: (shard) => void underWay.delete(shard),
    tell,
  };
}
