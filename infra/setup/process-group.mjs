/**
 * A command of which nothing is left, though it hands its work on to others: it has a process group of its own, which
 * is ended with it, and also when this program is interrupted, since the terminal does not reach that group.
 */
import { spawn } from 'node:child_process';

/** @type {NodeJS.Signals[]} */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/**
 * @param {string} command
 * @param {string[]} args
 * @param {import('node:child_process').SpawnOptions} options
 */
export function startGroup(command, args, options) {
  const child = spawn(command, args, { ...options, detached: true });
  const interrupted = (/** @type {NodeJS.Signals} */ signal) => {
    end();
    process.kill(process.pid, signal);
  };
  for (const signal of SIGNALS) process.once(signal, interrupted);
  /** Ends whatever is left of it. */
  function end() {
    for (const signal of SIGNALS) process.removeListener(signal, interrupted);
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // Nothing is.
    }
  }
  return { child, end };
}
