/** The pipeline, phase by phase. Each phase may be repeated: what is already there is found, not made again. */
import {
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  continueAsNew,
  isCancellation,
  log,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { afterStop, betweenGenerations, ended, giveAllBack } from './between-generations.js';
import { isToContinue, keep, keepElsewhere, type Elsewhere, type Kept } from './continued.js';
import { onControl, type ExportedModel } from './contract.js';
import { converse, finishAll, spareArrived, wantedEnding } from './conversation.js';
import { exportModel } from './export-model.js';
import { failureIn, lostNode, messageOf, unfitNode } from './failure-chain.js';
import { createCrew } from './crew.js';
import { gatherCurves } from './gather-curves.js';
import { generationNews, runState, status } from './messages.js';
import { noteTrained } from './ledger.js';
import { onSignal } from './on-signal.js';
import { failureCount, foldPast } from './past.js';
import { removeFrom } from './old-checkpoints.js';
import { settingsRefused } from './pause-settings.js';
import { prepareLaunch, type Instead } from './prepare-launch.js';
import { afterFailure, note, removalOf, runGeneration, servedBy, show, waitingOf, type Run } from './run-generation.js';
import { endSoak } from './soak.js';
import { describeProblems, MAX_RUN_NAME, parseRunSpec, runName } from './spec.js';
import {
  addRate,
  addMissed,
  addPoints,
  describeRun,
  enterPhase,
  isCopied,
  newState,
  noteReplicated,
  type PretrainResult,
  type RunState,
} from './status.js';
import { noWishes } from './wishes.js';

/** @param told by the execution that this one continues, all that it knew or what holds for another series too; a person tells nothing */
export async function pretrain(input: unknown, told?: Kept | Elsewhere): Promise<PretrainResult> {
  const known = workflowInfo().continuedFromExecutionRunId === undefined ? undefined : told;
  const kept = known && 'state' in known ? known : undefined;
  const run = begin(input, known);
  if (known && 'why' in known) note(run, `series ${run.spec.series}: ${known.why}`);
  const { state, crew } = run;
  let goesOn = false;
  try {
    if (!kept) await crew.lease();
    const trained = await trainToTarget(run);
    if (trained === 'history full') {
      goesOn = true;
      foldPast(state);
      return await continueAsNew<typeof pretrain>(run.file, keep(run));
    }
    if ('instead' in trained) {
      await condition(allHandlersFinished);
      // The pool knows for which series nodes are leased.
      enterPhase(state, 'nodes', Date.now());
      await giveAllBack(run);
      goesOn = true;
      const file = { ...(run.file as object), series: trained.instead };
      return await continueAsNew<typeof pretrain>(file, keepElsewhere(run, trained.why));
    }
    await endSoak(run);
    const exported = await exportModel(run);
    enterPhase(state, 'report', Date.now());
    await removeFrom(removalOf(run), servedBy(run));
    await gatherCurves(run).catch((error: unknown) => {
      if (isCancellation(error)) throw error;
      note(run, `curves for TensorBoard are not together: ${messageOf(error)}`);
    });
    finishAll(run, trained.message);
    const report = await writeReport(state, trained);
    enterPhase(state, 'done', Date.now());
    show(run);
    return {
      ...{ ...trained, ...(exported && { exported: placeOf(exported) }) },
      ...(state.curves && { curves: { node: state.curves.node, path: state.curves.path } }),
      ...(report && { report }),
    };
  } catch (error) {
    if (goesOn) throw error;
    enterPhase(state, isCancellation(error) ? 'cancelled' : 'failed', Date.now());
    delete state.waitsFor;
    const how = isCancellation(error)
      ? 'cancelled'
      : `failed: ${[failureIn(error)?.type, messageOf(error)].filter(Boolean).join(': ')}`;
    finishAll(run, how);
    note(run, how);
    // The failure that says what happened, not the layers of calls that it came through.
    throw isCancellation(error) ? error : (failureIn(error) ?? error);
  } finally {
    if (!goesOn) await CancellationScope.nonCancellable(() => crew.release());
  }
}

/** Reads the run file, and hears from now on what is asked and told. */
function begin(input: unknown, known?: Kept | Elsewhere): Run {
  const kept = known && 'state' in known ? known : undefined;
  const parsed = parseRunSpec(input, kept?.state.series ?? seriesDefault());
  if ('problems' in parsed)
    throw ApplicationFailure.nonRetryable(describeProblems(parsed.problems), 'InvalidInput', parsed.problems);
  const { spec } = parsed;

  const name = runName(workflowInfo().workflowId);
  if (name === undefined)
    throw ApplicationFailure.nonRetryable(
      `this workflow id cannot name a run: expected at most ${MAX_RUN_NAME} characters and more than dots`,
      'InvalidInput',
    );
  const state = kept?.state ?? newState(name, spec.series, spec.train.iterations);
  if (known && 'record' in known) Object.assign(state, known.record);
  state.tokensPerIteration = spec.train.globalBatch * spec.train.seqLength;
  state.devices = spec.cluster.devicesPerNode;
  const crew = createCrew(
    spec,
    (what) => waitingOf(run)(what),
    { arrived: (node) => spareArrived(run, node), hasLaunched: () => state.generation > 0 },
    known?.crew,
  );
  const run: Run = {
    ...{ spec, name, crew, file: input, refilling: 0 },
    ...{
      state,
      wishes: known?.wishes ?? noWishes(),
      passed: [],
      lostSpares: [],
      complete: [],
      settling: new Set<string>(),
    },
    ...kept,
    ...{ empty: new Set(kept?.empty), crew },
  };
  setHandler(status, () => describeRun(state), {
    description: "The run's page: phase, nodes, iteration, loss, pace, checkpoint, what it waits for, what was asked",
  });
  setHandler(runState, () => state, { description: 'The same as JSON, with curves, timeline and requests' });
  followNews(run);
  converse(run);
  if (kept) show(run);
  return run;
}

/** Prepares and trains, generation after generation, until this run's last iteration is saved and copied. */
async function trainToTarget(run: Run): Promise<PretrainResult | Instead | 'history full'> {
  const { state, crew } = run;
  let again = 0;
  for (;;) {
    if (isToContinue(run)) return 'history full';
    try {
      await betweenGenerations(run);
      const launch = await prepareLaunch(run);
      if (launch === 'again') continue;
      if (launch !== 'reached' && 'instead' in launch) return launch;
      if (launch === 'reached')
        return result(
          state,
          state.generation > 0
            ? `trained to iteration ${state.iteration} of ${state.total}`
            : `nothing to do: ${state.iteration} of ${state.total} iterations are trained`,
        );
      again = 0;
      enterPhase(state, 'train', Date.now(), launch.startedFrom);
      const generation = await runGeneration(run, launch, () => wantedEnding(run));
      // No ranks train any more, and an update that comes now is to be answered so.
      if (generation.outcome !== 'finished') enterPhase(state, 'nodes', Date.now());
      if (generation.outcome === 'stopped') {
        afterStop(run, launch.generation, generation);
        continue;
      }
      ended(
        run,
        `generation ${launch.generation} ended first, at the checkpoint of iteration ${generation.replicated}`,
      );
      if (generation.outcome === 'finished')
        return result(state, `trained to iteration ${generation.iteration} of ${state.total}`);
      await afterFailure(run, launch, generation);
    } catch (error) {
      // Outside a generation a lost node is replaced and the phase begun again, and so is what may pass by itself,
      // such as a peer that died while it was copied from: the new beginning asks every node. The rest is for a person.
      if (isCancellation(error)) throw error;
      if (settingsRefused(run, error)) continue;
      const lost = lostNode(error);
      if (lost !== undefined) {
        note(run, `${lost} was lost in phase ${state.phase}`);
        await crew.replace([lost], 'did not answer');
        continue;
      }
      // A spare is there for this; without one a person has to look, rather than the run take node after node.
      const unfit = unfitNode(error);
      if (unfit !== undefined && crew.spares.length > 0) {
        note(run, messageOf(error));
        await crew.replace([unfit], messageOf(error));
        continue;
      }
      if (!mayPass(error) || ++again > AGAIN) throw error;
      note(run, `phase ${state.phase} begins again: ${messageOf(error)}`);
    }
  }
}

/** How often phases before a launch begin again without a node lost, after their activities' own retries. */
const AGAIN = 2;

const mayPass = (error: unknown): boolean => {
  const failure = failureIn(error);
  return failure?.type === 'CommandFailed' && !failure.nonRetryable;
};

const result = (state: RunState, message: string): PretrainResult => ({
  series: state.series,
  iteration: state.iteration,
  total: state.total,
  generations: state.generation,
  failures: failureCount(state),
  message,
  ...(state.loss !== undefined && { loss: state.loss }),
});

/** A generation tells the run how far it is; news of an earlier one may still arrive and is old. */
function followNews(run: Run): void {
  const { state } = run;
  let newest = 0;
  onSignal(generationNews, (news) => {
    const { generation, at = newest, iteration, loss, secondsPerIteration, points, slow, troubles } = news;
    if (generation !== state.generation) return;
    run.lostSpares.push(...(news.lostSpares ?? []));
    if (at < newest) return addMissed(state, points);
    newest = at;
    state.iteration = iteration;
    noteReplicated(state, news.replicated, news.replicatedAt);
    state.asOf = Date.now();
    if (slow) state.slow = slow;
    else delete state.slow;
    if (troubles) state.troubles = troubles;
    else delete state.troubles;
    if (loss !== undefined) state.loss = loss;
    if (secondsPerIteration !== undefined) state.secondsPerIteration = secondsPerIteration;
    addPoints(state, points);
    addRate(state);
    noteTrained(state, Date.now(), { iteration, secondsPerIteration });
    if (news.copies && (state.copies || isCopied(news))) state.copies = news.copies;
    show(run);
  });
}

const placeOf = ({ node, path, to }: ExportedModel) => ({ node, path, ...(to !== undefined && { to }) });

/** A report that cannot be written is a pity, not a failed run. */
async function writeReport(state: RunState, ended: PretrainResult): Promise<string | undefined> {
  try {
    return (await onControl().writeReport({ run: state.run, state, result: ended })).path;
  } catch (error) {
    if (isCancellation(error)) throw error;
    log.warn('no report was written', { error: String(error) });
    return undefined;
  }
}

/** The schedule's id, so that its runs continue one another, else the workflow's. */
function seriesDefault(): string {
  const { workflowId, searchAttributes } = workflowInfo();
  const schedule = searchAttributes['TemporalScheduledById']?.[0];
  return typeof schedule === 'string' ? schedule : workflowId;
}
