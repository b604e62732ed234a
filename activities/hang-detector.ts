/** Whether training stands still: how long each of its phases may be silent, learned while it goes on. Pure. */
import type { HangLimits, Pace } from '../workflows/contract.js';
import type { LogEvent } from './training-log.js';

type Phase = keyof Pace | 'step';

export interface Silence {
  phase: Phase;
  silentMs: number;
  allowedMs: number;
  /** Last iteration that was printed. */
  iteration: number;
}

export interface HangDetector {
  take(event: LogEvent, now: number): void;
  /** To be asked often: time in which nobody looked does not count, since it may be the machine that stood still. */
  look(now: number): Silence | undefined;
  /** The longest of each phase so far. */
  pace(): Pace;
}

const STEPS = 5;
/** A phase that has been seen may take so many times as long the next time. */
const START = 3;
const PAUSE = 5;
/** Floors that a save or an evaluation gets which nobody has seen yet. */
const UNSEEN = 10;
const KEPT = 101;
/** Between two looks; more, and this process or its machine was stopped. */
const LOOKS_WITHIN_MS = 5_000;

export function createHangDetector(limits: HangLimits, began: number): HangDetector {
  const { floorMs, startMs, startedFrom, saveEvery, evaluateEvery } = limits;
  const learned: Pace = { ...limits.pace };
  const steps: number[] = [];
  let phase: Phase = 'start';
  let since = began;
  let looked = began;
  let iteration = startedFrom;

  function enter(next: Phase, now: number): void {
    if (phase !== 'step') learned[phase] = Math.max(learned[phase] ?? 0, Math.round(now - since));
    phase = next;
    since = now;
  }

  /** An interval that nobody counts is due after no iteration. */
  const isDue = (every: number | undefined): boolean => every !== undefined && iteration % every === 0;

  function allowed(): number {
    if (phase === 'start' || phase === 'index' || phase === 'firstStep')
      return Math.max(startMs, START * (learned[phase] ?? 0));
    const step = Math.max(floorMs, STEPS * median(steps));
    if (phase === 'step') return step;
    const pause = (name: 'save' | 'evaluation') => {
      const longest = learned[name];
      return longest === undefined ? UNSEEN * floorMs : Math.max(floorMs, PAUSE * longest);
    };
    // Both may be due after one iteration, evaluation first.
    return step + pause(phase) + (phase === 'evaluation' && isDue(saveEvery) ? pause('save') : 0);
  }

  return {
    take(event, now) {
      if (event.kind === 'indexing') enter('index', now);
      if (event.kind === 'indexed') enter('start', now);
      if (event.kind === 'stepping') enter('firstStep', now);
      if (event.kind === 'saving') enter('save', now);
      if (event.kind === 'saved' || event.kind === 'saveTimer' || event.kind === 'evaluated') enter('step', now);
      if (event.kind !== 'iteration') return;
      if (event.msPerIteration !== undefined)
        steps.push(event.msPerIteration * Math.max(1, event.iteration - iteration));
      if (steps.length > KEPT) steps.shift();
      iteration = event.iteration;
      enter(isDue(evaluateEvery) ? 'evaluation' : isDue(saveEvery) ? 'save' : 'step', now);
    },
    look(now) {
      if (now - looked > LOOKS_WITHIN_MS) since += now - looked;
      looked = now;
      const silentMs = now - since;
      const allowedMs = allowed();
      return silentMs > allowedMs ? { phase, silentMs, allowedMs, iteration } : undefined;
    },
    pace: () => ({ ...learned }),
  };
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
