/** Keeping what a gang saves: sealed where it was written, and copied to other nodes. */
import { CancellationScope, isCancellation, log, sleep, workflowInfo } from '@temporalio/workflow';
import { onNode, peerOf } from './contract.js';
import { copyingNodes, type GenerationInput, type Progress } from './generation-progress.js';
import type { MemberFailure } from './recovery.js';

/** How long the copies of the last checkpoint may take before it counts as not replicated. */
export const LAST_COPIES = '30 minutes';

/** Seals and copies each save, on all nodes that have a part in it, until this iteration is safe or the ranks are gone. */
export function copyAll(input: GenerationInput, progress: Progress, until: number): Promise<void>[] {
  const { run, series, generation, token, timing } = input;
  return copyingNodes(input).map(async ({ node, seals, copies }) => {
    try {
      await onNode(node.name, timing).replicateCheckpoint({
        ...{ run, series, generation, token, seals, copies, until },
        after: progress.state.replicated,
        master: peerOf(input.nodes[0]!),
        keep: input.keepCheckpoints,
        reportTo: { workflowId: workflowInfo().workflowId, runId: workflowInfo().runId },
      });
    } catch (error) {
      if (isCancellation(error)) return;
      // It costs redundancy, not training: the next checkpoint that counts comes later.
      log.warn('a copier of checkpoints ended', { node: node.name, error: String(error) });
      // A spare only keeps copies; without it checkpoints are less safe, but there are some.
      if (seals.length === 0) progress.without(node.name);
    }
  });
}

/** What the ranks saved when they were told to stop is where the next run of the series goes on: it is to be safe as well. */
export async function keepLastSave(
  input: GenerationInput,
  progress: Progress,
  members: MemberFailure[],
): Promise<void> {
  const saved = Math.max(0, ...members.map(({ evidence }) => evidence?.lastSaved ?? 0));
  // A member that is gone has its part of the save with it.
  if (saved <= progress.state.replicated || !members.every(({ evidence }) => evidence?.confirmed)) return;
  const scope = new CancellationScope({ cancellable: true });
  await scope.run(() => Promise.race([Promise.all(copyAll(input, progress, saved)), sleep(LAST_COPIES)]));
  scope.cancel();
}
