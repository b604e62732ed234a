/** The only place that runs short commands. Argument lists only; output bounded; failures in one line. */
import { open } from 'node:fs/promises';
import { $ } from 'zx';
import { failure } from './failures.js';
import { tailOf } from './tail.js';

export interface RunOptions {
  cwd?: string;
  env: Record<string, string>;
  /** Milliseconds after which the command and all that it started are killed. */
  timeout: number;
  signal?: AbortSignal;
  /** Where a chatty command's output goes; without it the output is returned. */
  logPath?: string;
  /** For messages: node and step. */
  what: string;
}

const TAIL_BYTES = 2048;

/**
 * Runs a command to its end.
 * @returns its standard output, or nothing where it went to a log
 * @throws CommandFailed with exit code, log path and a bounded tail; the signal's reason when cancelled
 */
export async function run(argv: string[], options: RunOptions): Promise<string> {
  const { cwd, env, timeout, signal, logPath, what } = options;
  const log = logPath === undefined ? undefined : await open(logPath, 'a');
  try {
    // Its own process group, so that a timeout or a cancellation takes along what the command has started.
    const command = $({
      ...(cwd !== undefined && { cwd }),
      ...(signal && { signal }),
      env,
      timeout,
      detached: true,
      nothrow: true,
      quiet: true,
      stdio: log ? ['ignore', log.fd, log.fd] : ['ignore', 'pipe', 'pipe'],
    })`${argv}`;
    const { exitCode, signal: endedBy, stdout, stderr } = await command;
    if (signal?.aborted) throw signal.reason;
    if (exitCode === 0) return stdout;
    const tail = logPath ? await tailOf(logPath, TAIL_BYTES) : (stderr || stdout).slice(-TAIL_BYTES);
    const lastLine = tail.trim().split('\n').at(-1) ?? '';
    throw failure(
      'CommandFailed',
      `${what}: ${argv[0]} ended with ${endedBy ?? `exit code ${exitCode}`}: ${lastLine.slice(0, 300)}${logPath ? `; log: ${logPath}` : ''}`,
      {
        details: { exitCode, logPath, tail },
      },
    );
  } finally {
    await log?.close();
  }
}
