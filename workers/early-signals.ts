/**
 * Signals before a worker runs. The SDK takes them from Node as it begins to connect, for workers to stop by, and while
 * there is none they would do nothing.
 */
import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** As a shell would say it. To raise the signal again would do nothing in the first process of a container. */
function die(signal: NodeJS.Signals): void {
  process.exit(128 + constants.signals[signal]);
}

/** From here on they end the process, as they do any other. */
export function endOnSignals(): void {
  for (const signal of SIGNALS) process.on(signal, die);
}

/** A worker that runs knows what to do with them. */
export function leaveSignalsToWorker(): void {
  for (const signal of SIGNALS) process.off(signal, die);
}
