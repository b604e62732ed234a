/** The pipeline, phase by phase. Each phase may be repeated: what is already there is found, not made again. */
import {
  ApplicationFailure,
  CancellationScope,
  isCancellation,
  log,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { onControl } from './contract.js';
import { failureIn, lostNode, messageOf, unfitNode } from './failure-chain.js';
import { createCrew } from './crew.js';
import { generationNews, status } from './messages.js';
import { prepareLaunch } from './prepare-launch.js';
import { afterFailure, note, runGeneration, show, waitingOf, type Run } from './run-generation.js';
import { describeProblems, parseRunSpec } from './spec.js';
import { addPoints, describeRun, enterPhase, newState, type PretrainResult, type RunState } from './status.js';

export async function pretrain(input: unknown): Promise<PretrainResult> {
  const parsed = parseRunSpec(input, seriesDefault());
  if ('problems' in parsed)
    throw ApplicationFailure.nonRetryable(describeProblems(parsed.problems), 'InvalidInput', parsed.problems);
  const { spec } = parsed;

  // A schedule's workflow ids hold a time with colons; the run's name becomes part of paths.
  const name = workflowInfo().workflowId.replace(/[^A-Za-z0-9._-]/g, '_');
  const state = newState(name, spec.series, spec.train.iterations);
  const crew = createCrew(spec, (what) => waitingOf(run)(what));
  const run: Run = { spec, name, state, crew, lostSpares: [] };
  setHandler(status, () => describeRun(state));
  followNews(run);
  try {
    await crew.lease();
    const ended = await trainToTarget(run);
    enterPhase(state, 'report', Date.now());
    const report = await writeReport(state, ended);
    enterPhase(state, 'done', Date.now());
    show(run);
    return { ...ended, ...(report && { report }) };
  } catch (error) {
    enterPhase(state, 'failed', Date.now());
    note(run, isCancellation(error) ? 'cancelled' : `failed: ${messageOf(error)}`);
    // The failure that says what happened, not the layers of calls that it came through.
    throw isCancellation(error) ? error : (failureIn(error) ?? error);
  } finally {
    await CancellationScope.nonCancellable(() => crew.release());
  }
}

/** Prepares and trains, generation after generation, until this run's last iteration is saved and copied. */
async function trainToTarget(run: Run): Promise<PretrainResult> {
  const { state, crew } = run;
  let again = 0;
  for (;;) {
    try {
      const launch = await prepareLaunch(run);
      if (launch === 'reached')
        return result(state, `nothing to do: ${state.iteration} of ${state.total} iterations are trained`);
      again = 0;
      enterPhase(state, 'train', Date.now());
      const generation = await runGeneration(run, launch);
      if (generation.outcome === 'finished')
        return result(state, `trained to iteration ${generation.iteration} of ${state.total}`);
      await afterFailure(run, launch, generation);
    } catch (error) {
      // Outside a generation a lost node is replaced and the phase begun again, and so is what may pass by itself,
      // such as a peer that died while it was copied from: the new beginning asks every node. The rest is for a person.
      if (isCancellation(error)) throw error;
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
  failures: state.failures.length,
  message,
  ...(state.loss !== undefined && { loss: state.loss }),
});

/** A generation tells the run how far it is; news of an earlier one may still arrive and is old. */
function followNews(run: Run): void {
  const { state } = run;
  setHandler(
    generationNews,
    ({ generation, iteration, loss, secondsPerIteration, replicated, points, slow, lostSpares = [] }) => {
      if (generation !== state.generation) return;
      state.iteration = iteration;
      state.replicated = replicated;
      state.asOf = Date.now();
      if (slow) state.slow = slow;
      else delete state.slow;
      if (loss !== undefined) state.loss = loss;
      if (secondsPerIteration !== undefined) state.secondsPerIteration = secondsPerIteration;
      addPoints(state, points);
      run.lostSpares.push(...lostSpares);
      show(run);
    },
  );
}

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
