/** The run's side of one generation: starting the child, and the decision after it has failed. */
import {
  ApplicationFailure,
  CancellationScope,
  isCancellation,
  log,
  setCurrentDetails,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import { runChild } from './child.js';
import { soakFailed, type Crew } from './crew.js';
import { blame } from './failure-cause.js';
import { failureLimits } from './failure-limits.js';
import { noteHeld, noteTrained } from './ledger.js';
import { noteAside, type Removal } from './old-checkpoints.js';
import type { Untried } from './pause-settings.js';
import type { Waiting } from './pool-requests.js';
import type { PreparedData } from './prepare-data.js';
import { decide } from './recovery.js';
import type { Complete } from './retention.js';
import { refillSpares } from './refill-spares.js';
import { relayEnding } from './relay-ending.js';
import type { Gate } from './requests.js';
import type { RunSpec } from './spec.js';
import { addEvent, describeRun, noteReplicated, type RunState } from './status.js';
import type { GenerationInput, GenerationResult } from './generation-progress.js';
import { trainGeneration } from './train-generation.js';
import type { Ending, Wishes } from './wishes.js';
import { cutOff } from './witnesses.js';

/** Of each failure that is kept: for the page and the report. */
const LONGEST_WHY = 400;
/** Failures that the last one tells of. */
const TOLD = 20;

export interface Run {
  spec: RunSpec;
  /** The workflow id, made fit for paths. */
  name: string;
  state: RunState;
  crew: Crew;
  /** The run file as it holds now. */
  file: unknown;
  wishes: Wishes;
  /** Gates that are behind the run. */
  passed: Gate[];
  /** The gate that it waits at now. */
  atGate?: Gate;
  /** Settings of a pause that no launch has begun with. */
  untried?: Untried;
  /** Spares that a generation has lost, to be replaced. */
  lostSpares: string[];
  /** Iteration from which its first generation began. */
  beganAt?: number;
  /** Nodes without anything of the series when they were looked at, and no launch since: when they are lost, nothing is. */
  empty: Set<string>;
  /** What the last launch found on every node: the next ones do not ask the hub again what the dataset is. */
  data?: PreparedData;
  /** Generations whose spares are being replaced or made ready: one may be over for a while. */
  refilling: number;
  /** Complete checkpoints that are known of. */
  complete: Complete[];
  /** Spares to which data and checkpoint are being brought. */
  settling: Set<string>;
}

/** The run file as it holds for the nodes that train now, which may be fewer than it asks for. */
export const asItTrains = ({ spec, crew }: Pick<Run, 'spec' | 'crew'>): RunSpec =>
  isFewer({ spec, crew }) ? { ...spec, cluster: { ...spec.cluster, nodes: crew.members.length } } : spec;

export const isFewer = ({ spec, crew }: Pick<Run, 'spec' | 'crew'>): boolean =>
  crew.members.length < spec.cluster.nodes;

export async function runGeneration(
  run: Run,
  input: GenerationInput,
  wantedEnding: () => Ending | undefined,
): Promise<GenerationResult> {
  const { state } = run;
  const workflowId = `${workflowInfo().workflowId}/gen-${input.generation}`;
  state.child = workflowId;
  run.beganAt ??= input.startedFrom;
  note(
    run,
    `generation ${input.generation} starts from ${input.startedFrom === 0 ? 'the beginning' : `iteration ${input.startedFrom}`} on ${state.nodes.join(', ')}`,
  );
  const summary = `generation ${input.generation}, token ${input.token}`;
  let isOver = false;
  const relaying = relayEnding(workflowId, input.token, wantedEnding, () => isOver);
  // When the run is cancelled nobody waits for it.
  relaying.catch(() => undefined);
  const refilling = new CancellationScope({ cancellable: true });
  run.refilling++;
  refilling
    .run(() => refillSpares(run, input))
    .catch((error: unknown) => {
      if (!isCancellation(error)) log.warn('spares are not refilled', { error: String(error) });
    })
    .finally(() => {
      run.refilling--;
    });
  const result = await runChild(trainGeneration, { workflowId, input, summary }, waitingOf(run)).finally(() => {
    isOver = true;
    refilling.cancel();
  });
  await relaying;
  state.iteration = result.iteration;
  if (result.replicated >= state.replicated) noteReplicated(state, result.replicated, result.replicatedAt);
  noteTrained(state, result.asOf ?? Date.now(), {
    ...{ iteration: result.iteration, secondsPerIteration: state.secondsPerIteration },
  });
  if (result.loss !== undefined) state.loss = result.loss;
  if (result.pace) state.pace = result.pace;
  if (result.complete) run.complete = result.complete;
  if (result.behind !== undefined) note(run, `generation ${input.generation} ended, and ${result.behind}`);
  delete state.slow;
  delete state.troubles;
  return result;
}

/** Decides what a failed generation means; returns when the crew is whole again, throws when the run must end. */
export async function afterFailure(run: Run, input: GenerationInput, result: GenerationResult): Promise<void> {
  const { spec, state, crew } = run;
  const { generation, startedFrom } = input;
  const { iteration, replicated: endedAt } = result;
  const ended = { generation, startedFrom, endedAt, iteration, at: Date.now() };
  const decision = decide(blame(result.members, input, input.nodes), ended, state.failures, {
    limits: failureLimits(spec.recovery, spec.cluster.nodes * spec.cluster.devicesPerNode),
    ...{ globalBatch: spec.train.globalBatch, spares: crew.spares.length },
    ...(state.past && { dropped: state.past.dropped }),
  });
  const { cause, culprit } = decision;
  state.failures.push({ ...ended, cause, ...(culprit && { culprit }), why: decision.why.slice(0, LONGEST_WHY) });
  log.info('a generation failed', { ...ended, decision, members: result.members });
  note(run, `generation ${generation} failed at iteration ${iteration}: ${decision.why}`);
  // The whole gang may have the memory that a part of it has not, or take a checkpoint that it does not.
  const isForFewness = isFewer(run) && iteration <= startedFrom && (cause === 'user' || cause === 'unknown');
  if (isForFewness && decision.action !== 'fail') {
    note(run, `${input.nodes.length} of ${spec.cluster.nodes} nodes did not come to train, and are not tried again`);
    return crew.notSoFew();
  }
  if (decision.action === 'ask' || decision.action === 'fail')
    throw ApplicationFailure.nonRetryable(
      `training stopped at iteration ${iteration}: ${decision.why}`,
      decision.action === 'ask' ? 'CommandFailed' : 'NoProgress',
      { ...{ culprit, cause, lastCheckpoint: endedAt }, failures: state.failures.slice(-TOLD) },
    );
  const { soak } = spec.cluster;
  if (soak !== undefined && decision.action === 'retry') throw soakFailed(soak, decision.why);
  // A node that only its peers do not reach answers the server, and would join the next gang to no avail.
  const unreached = cause === 'network' ? await cutOff(crew.members, [...crew.members, ...crew.spares]) : [];
  const asDecided = decision.action === 'replace' ? decision.replace : [];
  const replaced = [...new Set([...asDecided, ...unreached])];
  if (replaced.length) {
    const hardware = decision.action === 'replace' && decision.hardware;
    await crew.replace(replaced, unreached.length ? 'no other node reaches it' : decision.why, hardware);
    note(run, `${replaced.join(', ')} ${isFewer(run) ? 'given up' : 'replaced'}: the gang is ${gangOf(run)}`);
  }
  if (decision.pauseMs > 0) await sleep(decision.pauseMs);
}

/** Its nodes, for a person. */
export const gangOf = ({ spec, crew }: Pick<Run, 'spec' | 'crew'>): string => {
  const names = crew.members.map(({ name }) => name).join(', ');
  return isFewer({ spec, crew }) ? `${names}, ${crew.members.length} of ${spec.cluster.nodes} nodes` : names;
};

export function note(run: Run, text: string): void {
  addEvent(run.state, Date.now(), text);
  show(run);
}

/** How old checkpoints of the run's series are removed. */
export const removalOf = (run: Run): Removal => ({
  ...{ spec: run.spec, complete: run.complete },
  note: (text) => note(run, text),
  onAside: (node, aside) => noteAside(run.state, node, aside),
});

/** Nodes that may hold something of the series: the run's own, and those that served it before. */
export const servedBy = ({ crew, empty }: Run): string[] => {
  const before = crew.keepers.filter(({ name }) => !empty.has(name));
  return [...new Set([...crew.members, ...crew.spares, ...before].map(({ name }) => name))];
};

/** Says on the run's page what it waits for. */
export const waitingOf =
  (run: Run): Waiting =>
  (what) => {
    if (what) run.state.waitsFor = what;
    else delete run.state.waitsFor;
    show(run);
  };

export function show({ spec, state, crew }: Run): void {
  state.nodes = crew.members.map(({ name }) => name);
  state.spares = crew.spares.map(({ name }) => name);
  if (crew.members.length > 0 && isFewer({ spec, crew })) state.fewerThan = spec.cluster.nodes;
  else delete state.fewerThan;
  noteHeld(state, Date.now());
  setCurrentDetails(describeRun(state));
}
