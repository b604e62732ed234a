/** Keeping what a gang saves: sealed where it was written, and copied to other nodes for as long as there are some. */
import { CancellationScope, isCancellation, log, sleep, workflowInfo } from '@temporalio/workflow';
import { shareOut, type CopyPlan } from './checkpoints.js';
import { onNode, peerOf } from './contract.js';
import { lostNode } from './failure-chain.js';
import { copyingNodes, type CopyTask, type GenerationInput, type Progress } from './generation-progress.js';
import type { MemberFailure } from './failure-cause.js';
import { patienceWith } from './witnesses.js';

/** How long the copies of the last checkpoint may take before it counts as not replicated. */
export const LAST_COPIES = '30 minutes';
/** Between attempts of a copier whose work no other node is to do. */
const AGAIN = '10 seconds';

/** Seals and copies each save, on all nodes that have a part in it, until iteration `until` is safe or the ranks are gone. */
export function copyAll(input: GenerationInput, progress: Progress, until: number): Promise<void>[] {
  const plan: CopyPlan = { ...input.copies };
  const all = [...input.nodes, ...input.spares];
  const away = new Set<string>();
  // Also one that waits for its next attempt ends quietly: where a watcher has failed nobody asks for it any more.
  return copyingNodes(input).map((task) =>
    follow(task).catch((error: unknown) => {
      if (!isCancellation(error)) throw error;
    }),
  );

  async function follow(task: CopyTask): Promise<void> {
    const askAfter = patienceWith(task.node, all, input.timing);
    for (;;) {
      const began = Date.now();
      try {
        await replicate(input, progress, until, task);
        return;
      } catch (error) {
        if (isCancellation(error)) return;
        log.warn('a copier of checkpoints ended', { node: task.node.name, error: String(error) });
        // What a node writes only it can seal; when it does not come back, its watcher ends the generation.
        const isForOthers = task.seals.length === 0 && (lostNode(error) === undefined || (await askAfter(began)).over);
        if (isForOthers) return handOver(task);
      }
      await sleep(AGAIN);
    }
  }

  /** Others keep the copies of a spare that is gone, where some are left: else checkpoints are less safe, but there are some. */
  async function handOver({ name, node, copies }: CopyTask): Promise<void> {
    away.add(node.name);
    const candidates = all.filter((other) => !away.has(other.name));
    const shares = shareOut(copies, plan, candidates.map(peerOf));
    delete plan[node.name];
    const tasks = Object.entries(shares).map(([target, more]): CopyTask => {
      plan[target] = [...(plan[target] ?? []), ...more];
      const other = candidates.find((candidate) => candidate.name === target)!;
      return { name: `${target} for ${name}`, node: other, seals: [], copies: more };
    });
    progress.replace(
      name,
      tasks.map((task) => task.name),
      node.name,
    );
    await Promise.all(tasks.map(follow));
  }
}

const replicate = (input: GenerationInput, progress: Progress, until: number, task: CopyTask) => {
  const { run, series, generation, token, timing } = input;
  const { name, node, seals, copies } = task;
  return onNode(node.name, timing).replicateCheckpoint({
    ...{ run, series, generation, token, task: name, seals, copies, until },
    after: progress.state.replicated,
    master: peerOf(input.nodes[0]!),
    keep: input.keepCheckpoints,
    reportTo: { workflowId: workflowInfo().workflowId, runId: workflowInfo().runId },
  });
};

/** What the ranks saved on their way out is where training goes on: it is to be safe as well. */
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
