/** Where a run's time went: every node-second has a phase and a cause. Pure, from the run's own state. */
import type { Cause } from './failure-cause.js';
import type { RunState } from './status.js';

export interface LedgerRow {
  /** A phase of the run. A generation has five: start-up, train, train again, save, notice and stop. */
  phase: string;
  /**
   * Of the failure that it comes after, up to the next iteration, or whose loss it is; `work` where there was none. What is
   * trained on fewer nodes than asked for, and the start when others join, is `fewer nodes`.
   */
  cause: Cause | 'work' | 'fewer nodes';
  nodeSeconds: number;
}

export interface CauseSum {
  cause: Cause;
  failures: number;
  /** Iterations that were trained and had to be trained again. */
  lostIterations: number;
  /** Mean seconds from the decision to the next launch; absent where none followed. */
  toNextLaunch?: number;
}

/** What a generation has trained, noted with its span. */
export interface Trained {
  generation: number;
  /** Iteration that it began from, and the last one that it is known to have trained. */
  from: number;
  to: number;
  /** Seconds that these iterations took, by what the trainer says each takes. */
  seconds: number;
  /** When the first of them began and when the last was heard of, in milliseconds since the epoch. */
  since?: number;
  asOf?: number;
  /** On fewer nodes than the run asks for. */
  isFewer?: true;
}

export interface Part {
  phase: string;
  cause: LedgerRow['cause'];
  from: number;
  to: number;
}

/** @param now where the last span is still open */
export function ledgerOf(state: RunState, now: number): LedgerRow[] {
  return sumUp(state, partsOf(state, now), state.past?.ledger);
}

/** @param before to which they are added */
export function sumUp(state: RunState, parts: Part[], before: LedgerRow[] = []): LedgerRow[] {
  const sums = new Map(before.map((row) => [`${row.phase} ${row.cause}`, { ...row }]));
  for (const { phase, cause, from, to } of parts) {
    const row = sums.get(`${phase} ${cause}`) ?? { phase, cause, nodeSeconds: 0 };
    row.nodeSeconds += heldBetween(state, from, to) / 1000;
    sums.set(`${phase} ${cause}`, row);
  }
  return [...sums.values()];
}

/** Seconds that went into iterations that count, of the seconds since the run began: 0 to 1; absent before the first iteration. */
export function effectiveTime(state: RunState, now: number): number | undefined {
  const parts = partsOf(state, now);
  const training = (state.past?.time.train ?? 0) + timeIn(parts.filter(isTraining));
  return training > 0 ? training / ((state.past?.time.all ?? 0) + timeIn(parts)) : undefined;
}

export const timeIn = (parts: Part[]): number => parts.reduce((sum, { from, to }) => sum + to - from, 0);
export const isTraining = ({ phase }: Part): boolean => phase === 'train';

export function causesOf(state: RunState): CauseSum[] {
  const { past, phases } = state;
  const failures = state.failures.filter(({ isSummed }) => !isSummed);
  const before = past?.causes ?? [];
  return [...new Set([...before, ...failures].map(({ cause }) => cause))].map((cause) => {
    const costs = [
      ...before.filter((cost) => cost.cause === cause),
      ...failures.filter((failure) => failure.cause === cause).map((failure) => costOf(failure, phases)),
    ];
    const sum = (of: (cost: CauseCost) => number) => costs.reduce((total, cost) => total + of(cost), 0);
    const repairs = sum((cost) => cost.repairs);
    return {
      ...{ cause, failures: sum((cost) => cost.failures), lostIterations: sum((cost) => cost.lostIterations) },
      ...(repairs > 0 && { toNextLaunch: sum((cost) => cost.repairSeconds) / repairs }),
    };
  });
}

/** What failures of one cause have cost, in sums that can be added up. */
export interface CauseCost {
  cause: Cause;
  failures: number;
  lostIterations: number;
  /** Failures after which there was another launch, and the seconds until then. */
  repairs: number;
  repairSeconds: number;
}

export function costOf(
  { cause, at, iteration, endedAt }: RunState['failures'][number],
  phases: RunState['phases'],
): CauseCost {
  const next = phases.find(({ trained, from }) => trained && from >= at);
  return {
    ...{ cause, failures: 1 },
    // Whole saves that nobody had copied are sealed before the next launch.
    lostIterations: Math.max(0, iteration - (next?.trained?.from ?? endedAt)),
    ...(next ? { repairs: 1, repairSeconds: (next.from - at) / 1000 } : { repairs: 0, repairSeconds: 0 }),
  };
}

/** A generation is heard of: how far it is, and what an iteration takes. */
export function noteTrained(
  { phases }: RunState,
  at: number,
  { iteration, secondsPerIteration = 0 }: { iteration: number; secondsPerIteration?: number | undefined },
): void {
  const trained = phases.at(-1)?.trained;
  if (!trained || iteration <= trained.to) return;
  trained.seconds += (iteration - trained.to) * secondsPerIteration;
  trained.to = iteration;
  trained.since ??= at - trained.seconds * 1000;
  trained.asOf = at;
}

/** What comes up to the next iteration is for nodes to join that the run lacked. */
export function oweToFewness({ phases }: RunState): void {
  phases.at(-1)!.owedTo = 'fewer nodes';
}

/** How many nodes the run holds, from now on. */
export function noteHeld(state: RunState, at: number): void {
  const count = state.nodes.length + state.spares.length;
  if ((state.held?.at(-1)?.[1] ?? 0) !== count) (state.held ??= []).push([at, count]);
}

/** @param until the span before which to end */
export function partsOf(state: RunState, now: number, until = state.phases.length): Part[] {
  const { phases, failures } = state;
  return phases.slice(0, until).flatMap((span, index) => {
    const { name, from, to = now, trained } = span;
    const cause = causeOf(state, index);
    if (!trained) return [{ phase: name, cause, from, to }];
    const failed = failures.find(({ generation }) => generation === trained.generation);
    const next = phases.slice(index + 1).find((later) => later.trained)?.trained;
    const kept = next?.from ?? failed?.endedAt ?? trained.to;
    return generationParts({ from, to, trained }, { kept, cause, ...(failed && { undoneBy: failed.cause }) });
  });
}

/** Of the failure that the run has not got over yet, nothing having been trained since; else what the spans say themselves. */
function causeOf({ past, phases, failures }: RunState, index: number): Part['cause'] {
  const gained = phases.slice(0, index).findLastIndex(hasGained);
  const last = phases[gained]?.trained?.generation ?? past?.lastGained ?? 0;
  const failed = failures.findLast(({ at }) => at <= phases[index]!.from);
  if (failed && failed.generation >= last) return failed.cause;
  const since = phases.slice(gained + 1, index + 1).findLast(({ owedTo }) => owedTo !== undefined)?.owedTo;
  return since ?? (gained < 0 ? past?.owedTo : undefined) ?? 'work';
}

export const hasGained = ({ trained }: RunState['phases'][number]): boolean =>
  trained !== undefined && trained.to > trained.from;

/** Saves lie between the iterations; how long each took nobody counts, so that they come after them here. */
function generationParts(
  { from, to, trained }: { from: number; to: number; trained: Trained },
  { kept, cause, undoneBy }: { kept: number; cause: Part['cause']; undoneBy?: Cause },
): Part[] {
  const starts = within(trained.since ?? to, from, to);
  const ends = within(starts + trained.seconds * 1000, starts, to);
  const share = within((kept - trained.from) / (trained.to - trained.from || 1), 0, 1);
  const keptUntil = starts + (ends - starts) * share;
  const noticed = undoneBy ? within(trained.asOf ?? to, ends, to) : to;
  const parts: Part[] = [
    { phase: 'start-up', cause, from, to: starts },
    { phase: 'train', cause: trained.isFewer ? 'fewer nodes' : 'work', from: starts, to: keptUntil },
    { phase: 'train again', cause: undoneBy ?? 'work', from: keptUntil, to: ends },
    { phase: 'save', cause: 'work', from: ends, to: noticed },
    { phase: 'notice and stop', cause: undoneBy ?? 'work', from: noticed, to },
  ];
  return parts.filter((part) => part.to > part.from);
}

const within = (value: number, least: number, most: number): number => Math.min(Math.max(value, least), most);

/** Node-milliseconds. */
function heldBetween({ held = [], nodes, spares }: RunState, from: number, to: number): number {
  if (held.length === 0) return (nodes.length + spares.length) * (to - from);
  return held.reduce((sum, [at, count], index) => {
    const begin = Math.max(from, at);
    const end = Math.min(to, held[index + 1]?.[0] ?? to);
    return sum + count * Math.max(0, end - begin);
  }, 0);
}
