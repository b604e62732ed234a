/**
 * Looks on while one member trains, and never touches it: its end for whatever reason ends the looking, and the next
 * attempt attaches to the same ranks. Renews the lease, keeps the figures, reports progress.
 */
import { heartbeat, log, sleep } from '@temporalio/activity';
import { appendFile } from 'node:fs/promises';
import type { WatchResult, WatchTrainingInput } from '../workflows/contract.js';
import type { TrainingProgress } from '../workflows/messages.js';
import { readIfThere } from './atomic.js';
import { failure } from './failures.js';
import { filesOf, generationDir, readJson, type ExitFile, type StateFile } from './generation-files.js';
import { renewLease } from './lease.js';
import type { NodeDeps } from './node-deps.js';
import { bootId, isAlive } from './process.js';
import { LogTail, tailOf } from './tail.js';
import { newFacts, readLine, verdictOf, type Iteration, type LogFacts } from './training-log.js';

const LOOK_EVERY_MS = 500;
const REPORT_EVERY_MS = 60_000;
const MAX_POINTS = 60;
/** Bounded, since a failure's details are kept in workflow state, cut at 4 KiB. */
const TAIL_BYTES = 2048;

export const createWatchTraining =
  (deps: NodeDeps) =>
  async (input: WatchTrainingInput): Promise<WatchResult> => {
    const dir = generationDir(deps.dataDir, input);
    const files = filesOf(dir);
    const facts = newFacts();
    const tail = new LogTail(files.log);
    const report = createReporter(deps, input);
    let kept = await lastKept(files.metrics);

    for (;;) {
      // In this order: what had ended before the log was read cannot have written more of it since.
      const end = await endOf(files, input.token);
      for await (const line of tail.lines()) readLine(facts, line);
      kept = await keepMetrics(files.metrics, facts, kept);
      const last = facts.iterations.at(-1);
      heartbeat({ iteration: last?.iteration, loss: last?.loss, at: Date.now() });

      if (end === 'running' && !facts.failedRank) {
        await report(facts);
        forget(facts);
        await renewLease(files.lease, input.token, input.leaseSeconds);
        // Rejects with the reason of a cancellation, and that is what must leave an activity that is paused or reset.
        await sleep(LOOK_EVERY_MS);
        continue;
      }
      await report(facts, true);
      if (end === 'lost')
        throw failure(
          'ProcessLost',
          `${deps.name}: training of generation ${input.generation} is gone without an exit code; log: ${files.log}`,
          {
            nonRetryable: true,
            details: { node: deps.name, logPath: files.log },
          },
        );
      const code = end === 'running' ? facts.failedRank!.exitCode : (end.code ?? -1);
      if (code === 0) return { exitCode: 0, verdict: verdictOf(facts) };
      const why =
        facts.firstError ??
        (end === 'running'
          ? `rank ${facts.failedRank!.rank} failed`
          : (end.reason ?? end.signal ?? 'no error in the log'));
      throw failure('CommandFailed', `${deps.name}: training ended with exit code ${code}: ${why}; log: ${files.log}`, {
        nonRetryable: true,
        details: { node: deps.name, exitCode: code, logPath: files.log, tail: await tailOf(files.log, TAIL_BYTES) },
      });
    }
  };

/** The exit file of this very launch, or whether its processes are still there. */
async function endOf(files: ReturnType<typeof filesOf>, token: number): Promise<ExitFile | 'running' | 'lost'> {
  const state = await readJson<StateFile>(files.state);
  const running = state !== undefined && state.bootId === (await bootId()) && (await isAlive(state.guard));
  // After the look at the guard: it may have written the file and ended in between.
  const exit = await readJson<ExitFile>(files.exit);
  if (exit?.token === token) return exit;
  return running ? 'running' : 'lost';
}

async function lastKept(path: string): Promise<number> {
  const lines = (await readIfThere(path))?.toString('utf8').trim().split('\n') ?? [];
  const last = lines.at(-1);
  return last ? (JSON.parse(last) as Iteration).iteration : 0;
}

/** Adds the iterations that are not in the file yet; an attempt that attaches again reads the whole log again. */
async function keepMetrics(path: string, { iterations }: LogFacts, kept: number): Promise<number> {
  const fresh = iterations.filter(({ iteration }) => iteration > kept);
  if (fresh.length === 0) return kept;
  await appendFile(path, fresh.map((iteration) => `${JSON.stringify({ ...iteration, at: Date.now() })}\n`).join(''));
  return fresh.at(-1)!.iteration;
}

/** Of a month's iterations only the last is needed once they are in the file. */
const forget = (facts: LogFacts): void => void facts.iterations.splice(0, facts.iterations.length - 1);

function createReporter({ signal }: NodeDeps, { reportTo, token }: WatchTrainingInput) {
  let reportedAt = 0;
  let reported = 0;
  let saves = 0;
  let pending: TrainingProgress['points'] = [];
  let rates: number[] = [];

  return async (facts: LogFacts, final = false): Promise<void> => {
    const last = facts.iterations.at(-1);
    if (!reportTo || !last) return;
    for (const { iteration, loss, milliseconds } of facts.iterations) {
      if (iteration <= (pending.at(-1)?.[0] ?? reported)) continue;
      if (loss !== undefined) pending.push([iteration, loss]);
      if (milliseconds !== undefined) rates = [...rates.slice(-49), milliseconds];
    }
    if (pending.length > MAX_POINTS)
      pending = pending.filter((_, index, all) => index % 2 === 0 || index === all.length - 1);
    if (last.iteration === reported) return;
    const due = reported === 0 || final || facts.saves > saves || Date.now() - reportedAt >= REPORT_EVERY_MS;
    if (!due) return;
    const progress: TrainingProgress = {
      token,
      iteration: last.iteration,
      points: pending,
      ...(last.loss !== undefined && { loss: last.loss }),
      ...(rates.length && { secondsPerIteration: median(rates) / 1000 }),
    };
    try {
      await signal(reportTo, 'trainingProgress', progress);
    } catch (error) {
      // Without a server there is nobody to tell; what was not told is told with the next report.
      return void log.warn('progress was not reported', { error: String(error) });
    }
    reportedAt = Date.now();
    reported = last.iteration;
    saves = facts.saves;
    pending = [];
  };
}

const median = (values: number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
