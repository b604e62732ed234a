/** Patience with servers: what they may answer otherwise the next time is asked again, later each time. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DownloadError } from './download.js';
import { failure } from './failures.js';

export interface RetryOptions {
  signal?: AbortSignal | undefined;
  /** Failures in a row without any new byte before the step gives up and leaves it to the activity's own retries. */
  attempts?: number;
  firstPauseMs?: number;
  /** Bytes so far: an attempt that got further is not a failure in a row. */
  progress?: () => number;
}

/** A server that asks for more than this is not waited for inside an attempt. */
const LONGEST_PAUSE = 120_000;

export async function retrying<T>(work: () => Promise<T>, options: RetryOptions = {}): Promise<T> {
  const { signal, attempts = 5, firstPauseMs = 500, progress = () => 0 } = options;
  let wrongs = 0;
  for (let failures = 0; ; failures++) {
    const before = progress();
    try {
      return await work();
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (!(error instanceof DownloadError && mayPass(error, wrongs))) throw error;
      if (error.kind === 'wrong') wrongs++;
      if (progress() > before) failures = 0;
      if (failures >= attempts - 1) throw error;
      const pause = error.retryAfterMs ?? firstPauseMs * 2 ** failures * (0.5 + Math.random());
      if (pause > LONGEST_PAUSE)
        throw failure('CommandFailed', `${error.message} and asks to wait ${Math.ceil(pause / 1000)} s`, {
          retryIn: pause,
          cause: error,
        });
      await sleep(pause, undefined, signal ? { signal } : {}).catch(() => {
        throw signal?.reason;
      });
    }
  }
}

/** Wrong bytes get one more chance, from the first byte: the start may have been a leftover of something else. */
function mayPass({ kind, status = 0 }: DownloadError, wrongs: number): boolean {
  if (kind === 'wrong') return wrongs === 0;
  return kind === 'cut' || status === 408 || status === 429 || status >= 500;
}
