/** What a signal does to the demo, from its first step on: a process that dies of one ends nothing of what it started. */
import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export type OnSignal = (signal: (typeof SIGNALS)[number]) => void;

/** Ends this process by an exit, and with that every part of a cluster that runs. */
export const leave: OnSignal = (signal) => process.exit(128 + constants.signals[signal]);

/**
 * Takes signals over; they end the process by an exit until told otherwise.
 * @returns what says what they do from now on
 */
export function takeSignals(): (does: OnSignal) => void {
  let now = leave;
  for (const signal of SIGNALS) process.on(signal, () => now(signal));
  return (does) => void (now = does);
}
