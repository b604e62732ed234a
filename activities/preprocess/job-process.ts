/** A process that encodes one part of a dataset and ends: see run-elsewhere.ts. It ends as well when its parent does. */
import { toldOf, type Told } from '../told-error.js';
import { encodeJob, type EncodeJob, type JobResult } from './encode-job.js';
import type { Progress } from './encode-rows.js';

export type JobAnswer = 'alive' | { progress: Progress } | { failed: Told } | { result: JobResult; cpuSeconds: number };

/** Nobody looks more often. */
const REPORT_EVERY = 250;
const ALIVE_EVERY = 1000;

const answer = (message: JobAnswer, then?: () => void) => void process.send!(message, () => then?.());

process.on('disconnect', () => process.exit(1));
process.once('message', (job: EncodeJob) => {
  setInterval(() => answer('alive'), ALIVE_EVERY).unref();
  let last = 0;
  const onProgress = (progress: Progress) => {
    if (Date.now() - last < REPORT_EVERY) return;
    last = Date.now();
    answer({ progress });
  };
  encodeJob(job, { onProgress }).then(
    (result) => {
      const { user, system } = process.cpuUsage();
      answer({ result, cpuSeconds: (user + system) / 1e6 }, () => process.exit(0));
    },
    (error: unknown) => answer({ failed: toldOf(error) }, () => process.exit(1)),
  );
});
