/**
 * `npm run preprocess -- …`: the native preprocessor alone, with the flags of MindSpeed-LLM's `preprocess_data.py` and
 * its bytes. `--json` prints what was measured as one object on the last line.
 */
import { fork } from 'node:child_process';
import { join } from 'node:path';
import { reasonOf } from '../activities/failures.js';
import { UsageError } from '../activities/preprocess/command-flags.js';
import type { Progress } from '../activities/preprocess/encode-rows.js';
import { encodeFiles, type FilesJob, type FilesResult } from '../activities/preprocess/preprocess-files.js';
import { runCommand } from '../activities/preprocess/run-command.js';
import { cacheDir } from './config.js';

const JOB = '--job';
const say = (line: string) => void process.stderr.write(`${line}\n`);

async function main(args: string[]): Promise<void> {
  const started = process.hrtime.bigint();
  let childCpuSeconds = 0;
  const onCpu = (seconds: number) => void (childCpuSeconds += seconds);
  const words = args.filter((word) => word !== '--json');
  const done = await runCommand(words, {
    say,
    elsewhere: (job, onProgress, signal) => elsewhere(job, onProgress, signal, onCpu),
    tablesIn: join(cacheDir(), 'encoder'),
  });
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  for (const { path, bytes, sha256 } of done.outputs) process.stdout.write(`${sha256}  ${path} (${bytes} bytes)\n`);
  process.stdout.write(`${done.documents} documents, ${done.tokens} tokens, ${seconds.toFixed(1)} s\n`);
  if (args.length === words.length) return;
  process.stdout.write(`${JSON.stringify({ ...done, seconds, cpuSeconds: cpuSeconds() + childCpuSeconds })}\n`);
}

interface Answer {
  progress?: Progress;
  failed?: string;
  result?: FilesResult;
  cpuSeconds?: number;
}

/** A job in a child process, which ends with this one. */
function elsewhere(
  job: FilesJob,
  onProgress: (done: Progress) => void,
  signal: AbortSignal,
  onCpu: (seconds: number) => void,
): Promise<FilesResult> {
  return new Promise((resolve, reject) => {
    const child = fork(process.argv[1]!, [JOB], { execArgv: process.execArgv });
    signal.addEventListener('abort', () => child.kill('SIGKILL'));
    let failed = '';
    child.on('message', (answer: Answer) => {
      if (answer.progress) onProgress(answer.progress);
      if (answer.failed !== undefined) failed = answer.failed;
      if (answer.cpuSeconds) onCpu(answer.cpuSeconds);
      if (answer.result) resolve(answer.result);
    });
    child.on('exit', (code, signal) => reject(new Error(failed || `a process ended with ${signal ?? code}`)));
    child.on('error', reject);
    child.send(job);
  });
}

function answerJob(): void {
  const answer = (message: Answer, then?: () => void) => void process.send!(message, () => then?.());
  process.on('disconnect', () => process.exit(1));
  process.once('message', (job: FilesJob) => {
    let last = 0;
    const onProgress = (progress: Progress) => {
      if (Date.now() - last < 500) return;
      last = Date.now();
      answer({ progress });
    };
    encodeFiles(job, onProgress).then(
      (result) => answer({ result, cpuSeconds: cpuSeconds() }, () => process.exit(0)),
      (error: unknown) => answer({ failed: reasonOf(error) }, () => process.exit(1)),
    );
  });
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

if (process.argv[2] === JOB && process.send) answerJob();
else
  main(process.argv.slice(2)).catch((error: unknown) => {
    say(`preprocess: error: ${reasonOf(error)}`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  });
