/** Encodes in a process of its own: memory is then bounded for each part, several cores work, and nobody waits to heartbeat. */
import { fork } from 'node:child_process';
import { ApplicationFailure } from '@temporalio/common';
import { programOf } from '../own-program.js';
import type { EncodeJob, JobResult } from './encode-job.js';
import type { Progress } from './encode-rows.js';
import type { JobAnswer, Told } from './job-process.js';

export interface ElsewhereOptions {
  onProgress?(done: Progress): void;
  /** Ends the process at once; what it was writing has temporary names. */
  signal?: AbortSignal | undefined;
  onCpu?(seconds: number): void;
}

/** Settles when the process has ended, so that whoever removes what it wrote is the last. */
export function runElsewhere(job: EncodeJob, { onProgress, signal, onCpu }: ElsewhereOptions = {}): Promise<JobResult> {
  signal?.throwIfAborted();
  const { path, execArgv } = programOf(import.meta.url, './job-process');
  return new Promise((resolve, reject) => {
    const child = fork(path, [], { execArgv });
    const kill = () => void child.kill('SIGKILL');
    signal?.addEventListener('abort', kill);
    let answered: { result: JobResult } | { failed: Told } | undefined;
    child.on('message', (answer: JobAnswer) => {
      if ('progress' in answer) onProgress?.(answer.progress);
      else answered = answer;
      if ('cpuSeconds' in answer) onCpu?.(answer.cpuSeconds);
    });
    child.once('error', reject);
    child.once('exit', (code, killedBy) => {
      signal?.removeEventListener('abort', kill);
      if (answered && 'result' in answered) resolve(answered.result);
      else if (answered) reject(errorOf(answered.failed));
      else
        reject(
          signal?.aborted ? (signal.reason as Error) : new Error(`an encoding process ended with ${killedBy ?? code}`),
        );
    });
    child.send(job);
  });
}

function errorOf({ message, code, failure }: Told): Error {
  if (failure) return ApplicationFailure.create({ message, ...failure });
  return Object.assign(new Error(message), code === undefined ? {} : { code });
}
