/** What to do after a generation has failed. Pure and table-tested: cause and history in, one decision out. */
import type { Blame, Cause } from './failure-cause.js';
import type { FailureLimits } from './failure-limits.js';

/** A generation that failed, as far as later decisions, the status and the report need it. */
export interface FailedGeneration {
  generation: number;
  /** Newest replicated checkpoint when it started, and when it ended. */
  startedFrom: number;
  endedAt: number;
  /** Last iteration that it trained. */
  iteration: number;
  /** When its end was decided upon, in milliseconds since the epoch. */
  at: number;
  culprit?: string;
  cause: Cause;
  /** Empty where it is long ago. */
  why: string;
  /** What it cost is among the sums of the past. */
  isSummed?: true;
}

/** The generation that has just ended, before its cause is known. */
export type EndedGeneration = Omit<FailedGeneration, 'culprit' | 'cause' | 'why' | 'isSummed'>;

interface About {
  cause: Cause;
  culprit?: string;
  why: string;
}

export type Decision = About &
  (
    | { action: 'retry'; pauseMs: number }
    /** `hardware`: the pool is to know that these nodes are not sound. */
    | { action: 'replace'; replace: string[]; hardware: boolean; pauseMs: number }
    /** Another attempt would end the same way until a person has changed something. */
    | { action: 'ask' }
    /** More attempts than the run has for this. */
    | { action: 'fail' }
  );

export interface Bounds {
  limits: FailureLimits;
  globalBatch: number;
  /** Spares at hand: for a suspicion alone no node is asked of the pool. */
  spares: number;
  /** Failures that are older than those that are told one by one, and than a day. */
  dropped?: Dropped;
}

export interface Dropped {
  failures: number;
  causes: Partial<Record<Cause, number>>;
}

const DAY_MS = 86_400_000;

/** Before the next attempt: what a leftover process holds, or a link that flaps, needs a moment. Doubles while nothing is gained. */
const PAUSE_MS: Partial<Record<Cause, number>> = { network: 1_000, environment: 1_000, leftover: 5_000 };
/** Where time mends nothing: only to be less busy, from the second time on that nothing is gained. */
const OTHER_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 120_000;

const NONE: Dropped = { failures: 0, causes: {} };

/** @param before the failed generations of this run before this one, the newest of them at least */
export function decide(
  { cause, nodes, why, advice, logPath }: Blame,
  ended: EndedGeneration,
  before: FailedGeneration[],
  { limits, globalBatch, spares, dropped = NONE }: Bounds,
): Decision {
  const [culprit] = nodes;
  const about = { cause, ...(culprit !== undefined && { culprit }), why };
  const history = [...before, { ...ended, ...about }];
  const log = logPath ? ` (log: ${logPath})` : '';

  if (cause === 'user' && !mayPass(history))
    return {
      ...about,
      action: 'ask',
      why: `${why}. A retry would end the same way: ${advice ?? 'read the log'}${log}`,
    };
  if (cause === 'numeric' && isNaNAgain(history))
    return { ...about, action: 'ask', why: `${why}. ${aboutNaN(history, globalBatch)}${log}` };
  const spent = overLimit(history, limits, dropped);
  if (spent)
    return { ...about, action: 'fail', why: `${spent}; last: ${why}${log}. So far: ${story(history, dropped)}` };

  const pauseMs = Math.min(LONGEST_PAUSE_MS, pauseAfter(cause, withoutProgress(history)));
  const surely = cause === 'node' || cause === 'hardware';
  const { aNode } = limits.causes[cause];
  const replace = nodes.filter((node) => blamedFor(history, node, cause) >= aNode);
  if (replace.length > 0 && (surely || spares >= replace.length))
    return { ...about, action: 'replace', replace, hardware: cause === 'hardware', pauseMs };
  return { ...about, action: 'retry', pauseMs };
}

function pauseAfter(cause: Cause, inVain: number): number {
  const first = PAUSE_MS[cause];
  if (first !== undefined) return first * 2 ** inVain;
  return inVain === 0 ? 0 : OTHER_PAUSE_MS * 2 ** inVain;
}

/** Too little memory or a key that is missing is sometimes no setting: training had gone on well. Once more, then. */
function mayPass(history: FailedGeneration[]): boolean {
  const { iteration, startedFrom } = history.at(-1)!;
  return iteration > startedFrom && inARow(history, 'user') < 2;
}

/** At the same iteration, or without a newer checkpoint in between. */
function isNaNAgain(history: FailedGeneration[]): boolean {
  const { iteration } = history.at(-1)!;
  const earlier = history.slice(0, -1).filter(({ cause }) => cause === 'numeric');
  return earlier.some((other) => other.iteration === iteration) || inARow(history, 'numeric') >= 2;
}

function aboutNaN(history: FailedGeneration[], globalBatch: number): string {
  const { iteration, startedFrom } = history.at(-1)!;
  const same = history.slice(0, -1).some((other) => other.cause === 'numeric' && other.iteration === iteration);
  const samples = `samples ${iteration * globalBatch} to ${(iteration + 1) * globalBatch - 1} in the order of training`;
  return same
    ? `It came again after a restart from iteration ${startedFrom}, at the same iteration, ${iteration + 1}: data (${samples}) or settings, not a node`
    : `It came again after a restart from iteration ${startedFrom}, now at iteration ${iteration + 1} (${samples}): settings, or a device that computes wrongly`;
}

/** What the run has used up, if it has. */
function overLimit(history: FailedGeneration[], limits: FailureLimits, dropped: Dropped): string | undefined {
  const { maxFailures, withoutProgress: inVain, causes } = limits;
  const { cause, at } = history.at(-1)!;
  if (withoutProgress(history) >= inVain) return `${inVain} generations in a row ended without a newer checkpoint`;
  const all = history.length + dropped.failures;
  if (all > maxFailures) return `${all} failures, more than recovery.maxFailures = ${maxFailures}`;
  const same = history.filter((failure) => failure.cause === cause);
  const today = same.filter((failure) => at - failure.at < DAY_MS).length;
  const { aDay, aRun } = causes[cause];
  if (today > aDay)
    return `${today} failures of cause ${cause} within a day, more than recovery.limits.${cause}.aDay = ${aDay}`;
  const inRun = same.length + (dropped.causes[cause] ?? 0);
  if (inRun > aRun) return `${inRun} failures of cause ${cause}, more than recovery.limits.${cause}.aRun = ${aRun}`;
  return undefined;
}

/** Since that node was replaced, which its absence from later gangs sees to: a node that is back begins anew only after a day. */
const blamedFor = (history: FailedGeneration[], node: string, cause: Cause): number =>
  history.filter(
    (failure, index) =>
      (failure.culprit === node || index === history.length - 1) &&
      failure.cause === cause &&
      history.at(-1)!.at - failure.at < DAY_MS,
  ).length;

function withoutProgress(history: Pick<FailedGeneration, 'startedFrom' | 'endedAt'>[]): number {
  let count = 0;
  for (const { startedFrom, endedAt } of [...history].reverse()) {
    if (endedAt > startedFrom) break;
    count++;
  }
  return count;
}

/** Failures of one cause at the end of the history, from one and the same checkpoint. */
function inARow(history: FailedGeneration[], cause: Cause): number {
  const last = history.at(-1)!;
  let count = 0;
  for (const failure of [...history].reverse()) {
    if (failure.cause !== cause || failure.endedAt !== last.endedAt) break;
    count++;
  }
  return count;
}

const STORY = 5;

/** The last failures, one short sentence each. */
function story(history: FailedGeneration[], dropped: Dropped): string {
  const told = history
    .slice(-STORY)
    .map(
      ({ generation, startedFrom, iteration, cause, culprit }) =>
        `generation ${generation} went from ${startedFrom} to ${iteration} (${cause}${culprit ? `, ${culprit}` : ''})`,
    );
  const before = history.length + dropped.failures - told.length;
  return [...(before > 0 ? [`${before} failures before`] : []), ...told].join('; ');
}
