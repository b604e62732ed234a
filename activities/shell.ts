/** The only place that runs short commands. Argument lists only; output bounded; failures in one line. */
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { $, type ProcessOutput, type ProcessPromise } from 'zx';
import { failure } from './failures.js';
import { isGroupAlive } from './process.js';
import { tailOf } from './tail.js';
import { timeLimit } from './time-limit.js';

export interface RunOptions {
  cwd?: string;
  env: Record<string, string>;
  /** Milliseconds after which the command and all that it started are killed. */
  timeout: number;
  signal?: AbortSignal;
  /**
   * Whether it has printed all that is wanted of it: then it has so long to end, and is killed without that being a
   * failure. Not with `logPath`.
   */
  enough?: { isIn(printed: string): boolean; endsWithinMs: number };
  /** Where a chatty command's output goes; without it the output is returned. */
  logPath?: string;
  /** For messages: node and step. */
  what: string;
}

const TAIL_BYTES = 2048;

/** Between SIGTERM and SIGKILL to a command that is cancelled or took too long. */
const GRACE_MS = 5_000;
const LOOK_EVERY_MS = 50;

/**
 * Runs a command to its end.
 * @returns its standard output, or nothing where it went to a log
 * @throws CommandFailed with exit code, log path and a bounded tail; the signal's reason when cancelled
 */
export async function run(argv: string[], options: RunOptions): Promise<string> {
  const { cwd, env, timeout, signal, logPath, enough, what } = options;
  signal?.throwIfAborted();
  const log = logPath === undefined ? undefined : await open(logPath, 'a');
  try {
    // Its own process group, so that its end takes along what it has started.
    const command = $({
      ...(cwd !== undefined && { cwd }),
      env,
      detached: true,
      nothrow: true,
      quiet: true,
      stdio: log ? ['ignore', log.fd, log.fd] : ['ignore', 'pipe', 'pipe'],
    })`${argv}`;
    const printed = enough && follow(command, enough);
    const cut = await within(command, timeout, { signal, late: printed?.late });
    signal?.throwIfAborted();
    if (printed && enough.isIn(printed.text())) return printed.text();
    const {
      exitCode,
      signal: endedBy,
      stdout,
      stderr,
    } = cut ? { ...NOTHING, ...(await ended(command)) } : await command;
    if (exitCode === 0 && !cut) return stdout;
    const tail = logPath ? await tailOf(logPath, TAIL_BYTES) : (stderr || stdout).slice(-TAIL_BYTES);
    const lastLine = tail.trim().split('\n').at(-1) ?? '';
    const how = cut ? `did not end within ${timeout / 1000} s` : `ended with ${endedBy ?? `exit code ${exitCode}`}`;
    throw failure(
      'CommandFailed',
      `${what}: ${argv[0]} ${how}: ${lastLine.slice(0, 300)}${logPath ? `; log: ${logPath}` : ''}`,
      { details: { exitCode, logPath, tail } },
    );
  } finally {
    await log?.close();
  }
}

function follow(command: ProcessPromise, { isIn, endsWithinMs }: NonNullable<RunOptions['enough']>) {
  let text = '';
  const late = new Promise<true>((resolve) => {
    command.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (isIn(text)) setTimeout(resolve, endsWithinMs, true).unref();
    });
  });
  return { late, text: () => text };
}

const NOTHING = { exitCode: null, signal: null, stdout: '', stderr: '' };

/** What a command that was killed has left to say; one that hangs in a driver does not even end on SIGKILL. */
const ended = (command: ProcessPromise): Promise<ProcessOutput | undefined> =>
  Promise.race([command, sleep(1_000, undefined)]);

interface Until {
  signal: AbortSignal | undefined;
  /** It has printed enough, and still not ended. */
  late: Promise<true> | undefined;
}

/** Waits for the end of a command. True when it took too long or was cancelled, and was killed. */
async function within(command: ProcessPromise, timeout: number, { signal, late }: Until): Promise<boolean> {
  const limit = timeLimit(timeout, signal);
  const cut = new Promise<true>((resolve) => {
    if (limit.signal.aborted) resolve(true);
    else limit.signal.addEventListener('abort', () => resolve(true), { once: true });
  });
  const ran = command.then(() => false);
  const isCut = await Promise.race([ran, cut, ...(late ? [late] : [])]);
  limit.lift();
  if (!isCut) return false;
  for (const name of ['SIGTERM', 'SIGKILL'] as const) if (await isGroupGone(command.pid, name)) break;
  return true;
}

/** Signals what is in a process group and waits for all of it, not for its leader alone. */
async function isGroupGone(group: number | undefined, signal: NodeJS.Signals): Promise<boolean> {
  if (group === undefined) return true;
  try {
    process.kill(-group, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return true;
    throw error;
  }
  const end = performance.now() + GRACE_MS;
  while (await isGroupAlive(group)) {
    if (performance.now() > end) return false;
    await sleep(LOOK_EVERY_MS);
  }
  return true;
}
