/** What every long step of a node shares: it heartbeats, ends on cancellation as Temporal wants it, and fails in words. */
import { ApplicationFailure, cancellationSignal, heartbeat } from '@temporalio/activity';
import { errorCode, isFullDisk } from './atomic.js';
import { failure, reasonOf } from './failures.js';

export interface StepOptions {
  node: string;
  /** Verb and object, for messages: `fetch hf://…`. */
  name: string;
  /** What `describe` shows of a running step. */
  details?: () => unknown;
}

/** Calls are held back by the SDK, so a short interval costs nothing and lets the shortest heartbeat time-outs work. */
const BEAT_EVERY = 500;

export async function step<T>(options: StepOptions, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const signal = cancellationSignal();
  try {
    return await whileBeating(() => work(signal), options.details);
  } catch (error) {
    // Anything but the SDK's own reason would count as a failure, and on a pause wedge the activity.
    if (signal.aborted) throw signal.reason;
    throw toFailure(error, options);
  }
}

/** For what no cancellation ends: only its heartbeats, without which a worker that died with it would be waited for. */
export async function whileBeating<T>(work: () => Promise<T>, details?: () => unknown): Promise<T> {
  const beat = () => heartbeat(details?.());
  const timer = setInterval(beat, BEAT_EVERY);
  beat();
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}

export function toFailure(error: unknown, { node, name }: StepOptions): ApplicationFailure {
  if (error instanceof ApplicationFailure) {
    // Thrown by what does not know where it runs.
    if (!error.message.startsWith(`${node}: `)) error.message = `${node}: ${name}: ${error.message}`;
    return error;
  }
  const code = errorCode(error);
  if (isFullDisk(error))
    return failure(
      'EnvCheckFailed',
      `${node}: ${name}: the disk is full, of bytes or of files (df, df -i). Make room there, then start the run again`,
      {
        nonRetryable: true,
        details: { node, code },
        cause: error,
      },
    );
  return failure('CommandFailed', `${node}: ${name}: ${reasonOf(error)}`, { details: { node, code }, cause: error });
}
