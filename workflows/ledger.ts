/** Where a run's time went: every node-second has a phase and a cause. Pure, from the run's own state. */
import type { Cause } from './failure-cause.js';
import type { RunState } from './status.js';

export interface LedgerRow {
  /** A phase of the run. A generation has five: start-up, train, train again, save, notice and stop. */
  phase: string;
  /** Of the failure that it comes after, up to the next iteration, or whose loss it is; `work` where there was none. */
  cause: Cause | 'work';
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
}

interface Part {
  phase: string;
  cause: LedgerRow['cause'];
  from: number;
  to: number;
}

/** @param now where the last span is still open */
export function ledgerOf(state: RunState, now: number): LedgerRow[] {
  const sums = new Map<string, LedgerRow>();
  for (const { phase, cause, from, to } of partsOf(state, now)) {
    const row = sums.get(`${phase} ${cause}`) ?? { phase, cause, nodeSeconds: 0 };
    row.nodeSeconds += heldBetween(state, from, to) / 1000;
    sums.set(`${phase} ${cause}`, row);
  }
  return [...sums.values()];
}

/** Seconds that went into iterations that count, of the seconds since the run began: 0 to 1; absent before the first iteration. */
export function effectiveTime(state: RunState, now: number): number | undefined {
  const parts = partsOf(state, now);
  const seconds = (some: Part[]) => some.reduce((sum, { from, to }) => sum + to - from, 0);
  const training = seconds(parts.filter(({ phase }) => phase === 'train'));
  return training > 0 ? training / seconds(parts) : undefined;
}

export function causesOf({ phases, failures }: RunState): CauseSum[] {
  return [...new Set(failures.map(({ cause }) => cause))].map((cause) => {
    const own = failures.filter((failure) => failure.cause === cause);
    const repairs = own.flatMap(({ at }) => {
      const next = phases.find(({ trained, from }) => trained && from >= at);
      return next ? [(next.from - at) / 1000] : [];
    });
    return {
      ...{ cause, failures: own.length },
      lostIterations: own.reduce((sum, { at, iteration, endedAt }) => {
        // Whole saves that nobody had copied are sealed before the next launch.
        const next = phases.find(({ trained, from }) => trained && from >= at);
        return sum + Math.max(0, iteration - (next?.trained?.from ?? endedAt));
      }, 0),
      ...(repairs.length > 0 && { toNextLaunch: repairs.reduce((sum, value) => sum + value, 0) / repairs.length }),
    };
  });
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

/** How many nodes the run holds, from now on. */
export function noteHeld(state: RunState, at: number): void {
  const count = state.nodes.length + state.spares.length;
  if ((state.held?.at(-1)?.[1] ?? 0) !== count) (state.held ??= []).push([at, count]);
}

function partsOf({ phases, failures }: RunState, now: number): Part[] {
  return phases.flatMap((span, index) => {
    const { name, from, to = now, trained } = span;
    const cause = causeOf(
      failures.filter(({ at }) => at <= from),
      phases.slice(0, index),
    );
    if (!trained) return [{ phase: name, cause, from, to }];
    const failed = failures.find(({ generation }) => generation === trained.generation);
    const next = phases.slice(index + 1).find((later) => later.trained)?.trained;
    const kept = next?.from ?? failed?.endedAt ?? trained.to;
    return generationParts({ from, to, trained }, { kept, cause, ...(failed && { undoneBy: failed.cause }) });
  });
}

/** Of the failure that the run has not got over yet: nothing was trained since. */
function causeOf(failures: RunState['failures'], before: RunState['phases']): Part['cause'] {
  const last = before.findLast(({ trained }) => trained && trained.to > trained.from)?.trained?.generation ?? 0;
  const failed = failures.at(-1);
  return failed && failed.generation >= last ? failed.cause : 'work';
}

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
    { phase: 'train', cause: 'work', from: starts, to: keptUntil },
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
