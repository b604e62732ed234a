/**
 * One generation: an all-or-none launch over the gang. Launch everywhere, watch everywhere, and however it ends
 * stop everywhere: the first member that fails ends the generation, since a world of ranks cannot lose one.
 */
import {
  CancellationScope,
  condition,
  continueAsNew,
  isCancellation,
  log,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import { onNode, type NodeInfo, type WatchResult } from './contract.js';
import { copyAll, keepLastSave, LAST_COPIES } from './copy-checkpoints.js';
import { lostNode, messageOf } from './failure-chain.js';
import { followProgress, type GenerationInput, type GenerationResult, type Progress } from './generation-progress.js';
import { torchrunArgs } from './plan.js';
import type { MemberFailure } from './recovery.js';
import { milliseconds } from './spec.js';

/** Room for the other members' own errors to reach their logs before the stop makes noise of its own. */
const EVIDENCE = '2 seconds';

export async function trainGeneration(input: GenerationInput): Promise<GenerationResult> {
  const { nodes } = input;
  const progress = followProgress(input);
  const members = new Map<string, MemberFailure>();
  let results: WatchResult[] | 'history full' = [];

  try {
    if (!input.attached) await Promise.all(nodes.map((node, rank) => launch(input, node, rank)));
    results = await watchAll(input, progress);
  } catch (error) {
    const node = isCancellation(error) ? undefined : (lostNode(error) ?? failedNode(error));
    if (node === undefined) {
      await CancellationScope.nonCancellable(async () => {
        await stopAll(input, members);
        await keepLastSave(input, progress, [...members.values()]);
      });
      throw error;
    }
    noteFailure(members, node, error);
  }
  // Outside the try: it is thrown, and must not be taken for a failure that stops the ranks.
  if (results === 'history full')
    return continueAsNew<typeof trainGeneration>({ ...input, attached: progress.summary() });
  if (results.length > 0) noteUnclear(input, results, members);
  if (results.length === 0 || members.size > 0) {
    await CancellationScope.nonCancellable(async () => {
      await sleep(EVIDENCE);
      await stopAll(input, members);
      await progress.tell();
    });
    return { outcome: 'failed', ...progress.summary(), members: [...members.values()] };
  }
  await progress.tell();
  // The last node's log knows more than the last report of it.
  const { lastIteration = progress.state.iteration, loss } = results.at(-1)!.verdict;
  const ended = { ...progress.summary(), iteration: lastIteration, ...(loss !== undefined && { loss }) };
  return { outcome: 'finished', ...ended, members: [] };
}

/** Exit code 0 is not success: MindSpeed-LLM also exits 0 when it finds no checkpoint, cannot read one, or is told to stop. */
function noteUnclear(input: GenerationInput, results: WatchResult[], members: Map<string, MemberFailure>): void {
  const { outcome, lastSaved } = results[0]!.verdict;
  if ((outcome === 'finished' || outcome === 'exited') && (lastSaved ?? 0) >= input.target) return;
  const node = input.nodes[0]!.name;
  const message = `exit code 0, but ${outcome === 'unclear' ? 'the log says neither that training is done nor why it ended' : `it ended early (${outcome})`}; last save: ${lastSaved ?? 'none'}, wanted: ${input.target}`;
  members.set(node, { node, kind: 'failed', message });
}

const launch = (input: GenerationInput, node: NodeInfo, nodeRank: number): Promise<void> =>
  tagged(node.name, () =>
    onNode(node.name, input.timing).launchTraining({
      run: input.run,
      series: input.series,
      generation: input.generation,
      token: input.token,
      torchrun: torchrunArgs(nodeRank, input.nodes, input.devices, input.masterPort),
      script: input.script,
      env: input.env ?? {},
      leaseSeconds: milliseconds(input.timing.lease) / 1000,
    }),
  );

/** Watches the gang and follows its checkpoints until all ranks are done; throws what the first failing member threw. */
async function watchAll(input: GenerationInput, progress: Progress): Promise<WatchResult[] | 'history full'> {
  const { nodes, timing, run, generation, token } = input;
  const reportTo = { workflowId: workflowInfo().workflowId, runId: workflowInfo().runId };
  const leaseSeconds = milliseconds(timing.lease) / 1000;
  let results: WatchResult[] = [];
  let continuing = false;

  const scope = new CancellationScope({ cancellable: true });
  try {
    await scope.run(async () => {
      const watches = nodes.map((node, rank) =>
        tagged(node.name, () =>
          onNode(node.name, timing).watchTraining({
            ...{ run, generation, token, leaseSeconds },
            ...(rank === nodes.length - 1 && { reportTo }),
          }),
        ),
      );
      const copiers = copyAll(input, progress, input.target);
      // The history limit of a long generation: hand over to a fresh execution, which attaches to the same ranks.
      const full = condition(() => workflowInfo().continueAsNewSuggested).then(() => {
        continuing = true;
        scope.cancel();
      });
      full.catch(() => undefined);
      results = await Promise.all(watches);
      await Promise.race([Promise.all(copiers), sleep(LAST_COPIES)]);
    });
  } catch (error) {
    // Unless the run is cancelled at this very moment: the next execution would not hear of it.
    if (continuing && isCancellation(error) && !CancellationScope.current().consideredCancelled) return 'history full';
    scope.cancel();
    throw error;
  }
  scope.cancel();
  return results;
}

/** Stops every member and keeps what each one saw. Waits out the lease if nobody confirms: only then may another gang start. */
async function stopAll(input: GenerationInput, members: Map<string, MemberFailure>): Promise<void> {
  const { run, generation, token, timing } = input;
  const graceSeconds = milliseconds(timing.stopGrace) / 1000;
  let confirmed = false;
  await Promise.all(
    input.nodes.map(async ({ name }) => {
      try {
        const evidence = await onNode(name, timing).stopTraining({ run, generation, token, graceSeconds });
        confirmed ||= evidence.confirmed;
        const known = members.get(name);
        members.set(name, { node: name, kind: 'stopped', message: 'stopped with the gang', ...known, evidence });
      } catch (error) {
        if (lostNode(error) || !members.has(name)) noteFailure(members, name, error);
      }
    }),
  );
  if (confirmed) return;
  log.warn('no member confirmed its stop: waiting until the lease has ended everywhere', { lease: timing.lease });
  await sleep(milliseconds(timing.lease) + milliseconds(timing.stopGrace));
}

/** Lets an error of an activity be traced to its node, whatever else runs in the same scope. */
async function tagged<T>(node: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (!isCancellation(error) && error instanceof Error) Object.assign(error, { node });
    throw error;
  }
}

const failedNode = (error: unknown): string | undefined => (error as { node?: string }).node;

function noteFailure(members: Map<string, MemberFailure>, node: string, error: unknown): void {
  members.set(node, {
    node,
    kind: lostNode(error) ? 'lost' : 'failed',
    message: messageOf(error),
  });
}
