/** Encodes in a process of its own: memory is then bounded for each part, several cores work, and nobody waits to heartbeat. */
import { fork } from 'node:child_process';
import { failure } from '../failures.js';
import { programOf } from '../own-program.js';
import { cpuSeconds } from '../process.js';
import { errorOf, type Told } from '../told-error.js';
import type { EncodeJob, JobResult } from './encode-job.js';
import type { Progress } from './encode-rows.js';
import type { JobAnswer } from './job-process.js';

export interface ElsewhereOptions {
  onProgress?(done: Progress): void;
  /** Ends the process at once; what it was writing has temporary names. */
  signal?: AbortSignal | undefined;
  /** CPU time in one go, without coming back to say that it lives, after which input counts as endless. */
  stuckAfterSeconds?: number;
  onCpu?(seconds: number): void;
}

/** Many times what the longest text takes; CPU time, so that a busy machine is no excuse. */
const STUCK_AFTER_SECONDS = 600;
const LOOK_EVERY_MS = 1000;

/**
 * Settles when the process has ended, so that whoever removes what it wrote is the last.
 * @throws DataCorrupt for a file whose bytes ask for work without end, such as a run of levels that no page is as long as
 */
export function runElsewhere(job: EncodeJob, options: ElsewhereOptions = {}): Promise<JobResult> {
  const { onProgress, signal, onCpu, stuckAfterSeconds = STUCK_AFTER_SECONDS } = options;
  signal?.throwIfAborted();
  const { path, execArgv } = programOf(import.meta.url, './job-process');
  return new Promise((resolve, reject) => {
    const child = fork(path, [], { execArgv });
    const kill = () => void child.kill('SIGKILL');
    signal?.addEventListener('abort', kill);
    let answered: { result: JobResult } | { failed: Told } | undefined;
    let heardAt: number | undefined;
    let stuck: Error | undefined;
    let [last, isLooking] = ['', false];
    const look = async () => {
      const cpu = await cpuSeconds(child.pid!);
      if (cpu === undefined) return;
      heardAt ??= cpu;
      if (cpu - heardAt < stuckAfterSeconds) return;
      stuck = endless(job, last, stuckAfterSeconds);
      kill();
    };
    const looking = setInterval(() => {
      if (isLooking) return;
      isLooking = true;
      void look().finally(() => (isLooking = false));
    }, LOOK_EVERY_MS);
    child.on('message', (answer: JobAnswer) => {
      heardAt = undefined;
      if (answer === 'alive') return;
      if ('progress' in answer) {
        last = answer.progress.file;
        onProgress?.(answer.progress);
      } else answered = answer;
      if ('cpuSeconds' in answer) onCpu?.(answer.cpuSeconds);
    });
    child.once('error', reject);
    child.once('exit', (code, killedBy) => {
      clearInterval(looking);
      signal?.removeEventListener('abort', kill);
      if (stuck) reject(stuck);
      else if (answered && 'result' in answered) resolve(answered.result);
      else if (answered) reject(errorOf(answered.failed));
      else
        reject(
          signal?.aborted ? (signal.reason as Error) : new Error(`an encoding process ended with ${killedBy ?? code}`),
        );
    });
    child.send(job);
  });
}

function endless({ files }: EncodeJob, last: string, seconds: number): Error {
  const where = last === '' ? files.join(', ') : `${last}, or the file after it`;
  const what = `${where}: nothing came of ${seconds} s of work in one go. It is damaged, or made to hold up whoever reads it`;
  return failure('DataCorrupt', what, { nonRetryable: true, details: { files } });
}
