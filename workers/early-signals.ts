/**
 * Signals before a worker runs. The SDK takes them from Node as it begins to connect, for workers to stop by, and while
 * there is none they would do nothing.
 */
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

function die(signal: NodeJS.Signals): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}

/** From here on they end the process, as they do any other. */
export function endOnSignals(): void {
  for (const signal of SIGNALS) process.on(signal, die);
}

/** A worker that runs knows what to do with them. */
export function leaveSignalsToWorker(): void {
  for (const signal of SIGNALS) process.off(signal, die);
}
