/** How many failures a run lives through: what its run file says, else what suits so many devices. Pure. */
import type { Cause } from './failure-cause.js';
import { DEVICE_DAYS } from './save-interval.js';
import type { RunFile } from './spec-fields.js';

export interface CauseLimits {
  /** Failures within a day, newer checkpoints between them or not, after which the run gives up. */
  aDay: number;
  /** The same over all of the run. */
  aRun: number;
  /** How often one node may be to blame within a day until another takes its place. */
  aNode: number;
}

export interface FailureLimits {
  /** Of the whole run, whatever the causes. */
  maxFailures: number;
  /** Failures in a row without a newer checkpoint, at which it gives up. */
  withoutProgress: number;
  causes: Record<Cause, CauseLimits>;
}

/** Up to so many devices. What comes with machines grows with their number beyond, what comes with settings does not. */
const SMALL_DEVICES = 1_024;
const SMALL: Record<Cause, { aDay: number; aNode: number; grows: boolean }> = {
  node: { aDay: 20, aNode: 1, grows: true },
  hardware: { aDay: 12, aNode: 1, grows: true },
  hang: { aDay: 8, aNode: 2, grows: true },
  network: { aDay: 12, aNode: 2, grows: true },
  environment: { aDay: 8, aNode: 2, grows: true },
  leftover: { aDay: 8, aNode: 2, grows: true },
  numeric: { aDay: 4, aNode: 2, grows: false },
  user: { aDay: 2, aNode: Infinity, grows: false },
  unknown: { aDay: 12, aNode: 3, grows: true },
};
const SMALL_WITHOUT_PROGRESS = 3;

const FEWEST_FAILURES = 20;
const MOST_FAILURES = 10_000;
/** In all, a run may have what so many days cost at the worse of the published rates. */
const DAYS = 100;

/** @param devices of the whole gang */
export function failureLimits(
  { maxFailures, limits = {} }: Partial<RunFile['recovery']>,
  devices: number,
): FailureLimits {
  const times = Math.max(1, devices / SMALL_DEVICES);
  const usual = Math.round((DAYS * devices) / DEVICE_DAYS.often);
  const cause = ([name, { aDay, aNode, grows }]: [string, (typeof SMALL)[Cause]]) => {
    const own: { [K in keyof CauseLimits]?: number | undefined } = limits[name as Cause] ?? {};
    const aDayHere = own.aDay ?? Math.ceil(aDay * (grows ? times : 1));
    return [name, { aDay: aDayHere, aRun: own.aRun ?? Infinity, aNode: own.aNode ?? aNode }];
  };
  return {
    maxFailures: maxFailures ?? Math.min(MOST_FAILURES, Math.max(FEWEST_FAILURES, usual)),
    // The more devices, the more often one fails before the first checkpoint, through nobody's fault.
    withoutProgress: limits.withoutProgress ?? SMALL_WITHOUT_PROGRESS + Math.floor(Math.log2(times)),
    causes: Object.fromEntries(Object.entries(SMALL).map(cause)) as FailureLimits['causes'],
  };
}

/** For a person, before a run. */
export function describeLimits({ maxFailures, withoutProgress, causes }: FailureLimits): string {
  const each = Object.entries(causes).map(
    ([name, { aDay, aRun }]) => `${name} ${aDay}${aRun === Infinity ? '' : ` (${aRun} in all)`}`,
  );
  return `the run gives up after ${maxFailures} failures in all, at ${withoutProgress} in a row without a newer checkpoint, or after more within a day than: ${each.join(', ')}`;
}
