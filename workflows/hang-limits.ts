/** How long a run's training may be silent: its own settings, and what it has learned of itself. Pure. */
import type { HangLimits, Pace } from './contract.js';
import { milliseconds } from './duration.js';
import type { RunSpec } from './spec.js';

/** Nothing where the run does not want hangs to be looked for. */
export function hangLimits({ recovery, train }: RunSpec, startedFrom: number, pace?: Pace): HangLimits | undefined {
  if (recovery.hangAfter === 'off') return undefined;
  const every = Number(train.extraArgs['--eval-interval']);
  const evaluates = every > 0 && Number(train.extraArgs['--eval-iters']) > 0;
  return {
    floorMs: milliseconds(recovery.hangAfter),
    startMs: milliseconds(recovery.startWithin),
    startedFrom,
    saveEvery: train.saveInterval,
    ...(evaluates && { evaluateEvery: every }),
    ...(pace && { pace }),
  };
}

/** The longest of each phase that either has seen. */
export const longer = (a: Pace = {}, b: Pace = {}): Pace =>
  Object.fromEntries(
    (Object.keys({ ...a, ...b }) as (keyof Pace)[]).map((phase) => [phase, Math.max(a[phase] ?? 0, b[phase] ?? 0)]),
  );
