/** Looking on while a gang trains. A watcher that is lost is not a host that is lost: the ranks may well train on. */
import { CancellationScope, condition, isCancellation, log, sleep, workflowInfo } from '@temporalio/workflow';
import { onNode, type NodeInfo, type WatchHeartbeat, type WatchResult } from './contract.js';
import { copyAll, LAST_COPIES } from './copy-checkpoints.js';
import { lastHeartbeat, lostNode } from './failure-chain.js';
import type { GenerationInput, Progress } from './generation-progress.js';
import { milliseconds } from './duration.js';
import { lookAt, patienceWith } from './witnesses.js';

/** Room for the other members' own errors to reach their logs before the stop makes noise of its own. */
const EVIDENCE = '2 seconds';

/** Of members that have not ended when another fails, or not confirmed their stop, at most so many are looked at by others: those may be gone. */
export const FEW = 5;

/** What others see of members that did not end when another failed, by name, as far as somebody looks. */
export type Looks = Map<string, ReturnType<typeof lookAt>>;

/** Why watching ended before the ranks did: somebody asked for it, or the history is to be continued as new. */
export type Interrupted = 'asked' | 'history full';

/**
 * Watches the gang and follows its checkpoints until all ranks are done; throws what the first failing member threw.
 * @param scope in which the others are still watched then, for whoever stops them to cancel: most end with their ranks
 * @param looks is filled when one fails
 */
export async function watchAll(
  input: GenerationInput,
  progress: Progress,
  scope: CancellationScope,
  looks: Looks,
): Promise<WatchResult[] | Interrupted> {
  let results: WatchResult[] = [];
  let watches: Promise<WatchResult>[] = [];
  let interrupted: Interrupted | undefined;
  try {
    await scope.run(async () => {
      watches = input.nodes.map((node, rank) => tagged(node.name, () => watchMember(input, progress, node, rank)));
      const copiers = copyAll(input, progress, input.target, {
        askFirst: input.attached !== undefined,
        isLast: () => results.length > 0,
      });
      // The history limit of a long generation: hand over to a fresh execution, which attaches to the same ranks.
      const why = () => (progress.isToEnd() ? 'asked' : workflowInfo().continueAsNewSuggested && 'history full');
      const interruption = condition(() => why() !== false).then(() => {
        interrupted = why() || undefined;
        scope.cancel();
      });
      interruption.catch(() => undefined);
      results = await Promise.all(watches);
      await Promise.race([copiers, sleep(LAST_COPIES)]);
    });
  } catch (error) {
    // Unless the run is cancelled at this very moment: the next execution would not hear of it.
    if (interrupted && isCancellation(error) && !CancellationScope.current().consideredCancelled) return interrupted;
    // A lost node is to blame whatever the others say.
    if (!isCancellation(error) && lostNode(error) === undefined) await lastWords(input, watches, looks);
    throw error;
  }
  scope.cancel();
  return results;
}

/** Until every member has ended by itself, and so has said what it has to say; but not for long. */
async function lastWords(input: GenerationInput, watches: Promise<WatchResult>[], looks: Looks): Promise<void> {
  const running = new Set(input.nodes);
  for (const [rank, watch] of watches.entries()) {
    const node = input.nodes[rank]!;
    const ended = () => running.delete(node);
    // Whoever has said something has a worker that is there.
    const said = () => ended() && looks.delete(node.name);
    watch.then(said, (error: unknown) => (lostNode(error) === undefined ? said() : ended()));
  }
  await CancellationScope.nonCancellable(async () => {
    const isFew = condition(() => running.size <= FEW, EVIDENCE).then((few) => {
      if (!few) return;
      // Its own watch may take much longer to say so, and so would its stop.
      for (const node of running) looks.set(node.name, lookAt(node, [...input.nodes, ...input.spares]));
    });
    await Promise.all([isFew, condition(() => running.size === 0, EVIDENCE)]);
  });
}

async function watchMember(
  input: GenerationInput,
  progress: Progress,
  node: NodeInfo,
  rank: number,
): Promise<WatchResult> {
  const { run, generation, token, timing, hang } = input;
  const leaseSeconds = milliseconds(timing.lease) / 1000;
  const { workflowId, runId } = workflowInfo();
  const askAfter = patienceWith(node, [...input.nodes, ...input.spares], timing, progress.looking);
  for (;;) {
    const began = Date.now();
    try {
      return await onNode(node.name, timing, input.nodes.length).watchTraining({
        ...{ run, generation, token, leaseSeconds },
        ...(rank === 0 && input.loads !== undefined && { loads: input.loads }),
        ...(rank === input.nodes.length - 1 && {
          reportTo: { workflowId, runId },
          ...(hang && { hang: { ...hang, pace: progress.state.pace } }),
        }),
      });
    } catch (error) {
      if (lostNode(error) === undefined) throw error;
      const { iteration = 0, at } = (lastHeartbeat(error) ?? {}) as WatchHeartbeat;
      progress.reached(iteration, at);
      const { over, state } = await askAfter(began);
      if (over) throw Object.assign(error as Error, { host: state });
      log.warn('a watcher is lost, and is asked for again', { node: node.name, host: state });
    }
  }
}

/** Lets an error of an activity be traced to its node, whatever else runs in the same scope. */
export async function tagged<T>(node: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (!isCancellation(error) && error instanceof Error) Object.assign(error, { node });
    throw error;
  }
}

/** What the other nodes saw of the machine of a node that was lost while it was watched. */
export const lostHost = (error: unknown): string | undefined => (error as { host?: string }).host;

export const failedNode = (error: unknown): string | undefined => (error as { node?: string }).node;
