/**
 * Looks on while one member trains, and never touches it: its end for whatever reason ends the looking, and the next
 * attempt attaches to the same ranks. Renews the lease, keeps the figures, reports progress.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApplicationFailure } from '@temporalio/common';
import type { WatchHeartbeat, WatchResult, WatchTrainingInput } from '../workflows/contract.js';
import { wrongStart, type WrongStart } from '../workflows/wrong-start.js';
import { failure } from './failures.js';
import { openErrorNotes } from './first-error.js';
import { readIfThere, readJson } from './atomic.js';
import { filesOf, generationDir, type CommandFile, type ExitFile, type StateFile } from './generation-files.js';
import { createHangDetector, type Silence } from './hang-detector.js';
import { sealingIndices } from './index-cache.js';
import { renewLease } from './lease.js';
import { openMetrics } from './metrics.js';
import { neverSeen } from './never-seen.js';
import type { NodeDeps } from './node-deps.js';
import { bootId, isAlive } from './process.js';
import { openProgressReport } from './report-progress.js';
import { step } from './step.js';
import { followLog, tailOf } from './tail.js';
import { createTrainingLog, type Iteration, type LogEvent, type TrainingLog } from './training-log.js';

const LOOK_EVERY_MS = 200;
/** A rank that gives up with exit code 0 leaves the others to their time-outs: this long for torchrun to follow it. */
const QUIT_WAIT_MS = 5_000;
/** Bounded, since a failure's details are kept in workflow state, cut at 4 KiB. */
const TAIL_BYTES = 2_048;

export const createWatchTraining =
  (deps: NodeDeps) =>
  (input: WatchTrainingInput): Promise<WatchResult> => {
    const seen: Seen = { saved: false };
    const details = (): WatchHeartbeat => {
      const { iteration, loss } = seen.last ?? {};
      return { ...(iteration !== undefined && { iteration }), ...(loss !== undefined && { loss }), at: Date.now() };
    };
    return step({ node: deps.name, name: `watch generation ${input.generation}`, details }, (signal) =>
      whileSealing(deps, input, signal, () => watch(deps, input, seen, signal)),
    );
  };

/** Not after a restart of the machine: what its disk then has of an index need not be what the ranks wrote. */
async function whileSealing<T>(
  { dataDir }: NodeDeps,
  input: WatchTrainingInput,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  const files = filesOf(generationDir(dataDir, input));
  const { indexCache } = (await readJson<CommandFile>(files.command).catch(() => undefined)) ?? {};
  const { bootId: boot } = (await readJson<StateFile>(files.state).catch(() => undefined)) ?? {};
  const wasHere = boot === (await bootId());
  return indexCache !== undefined && wasHere ? sealingIndices(join(dataDir, indexCache), signal, work) : work();
}

interface Seen {
  last?: Iteration;
  saved: boolean;
  failedRank?: { exitCode: number };
  quitAt?: number;
  stepping?: boolean;
}

async function watch(deps: NodeDeps, input: WatchTrainingInput, seen: Seen, signal: AbortSignal): Promise<WatchResult> {
  const { token, leaseSeconds, reportTo, hang } = input;
  const files = filesOf(generationDir(deps.dataDir, input));
  if (!(await readIfThere(files.command))) throw neverSeen(deps.name, deps.dataDir, input);
  const member: Member = {
    node: deps.name,
    generation: input.generation,
    logPath: files.log,
    log: createTrainingLog(),
  };
  const metrics = await openMetrics(files.metrics);
  const errors = await openErrorNotes(files);
  const report =
    reportTo && (await openProgressReport({ to: reportTo, token, path: files.reported, signal: deps.signal }));

  // The time of the machine, which no change of the clock moves. Another watcher's patience began before, and is not known.
  const detector = hang && createHangDetector(hang, performance.now());

  const take = (event: LogEvent): void => {
    detector?.take(event, performance.now());
    if (event.kind === 'iteration') {
      seen.last = event;
      metrics.add(event);
      report?.add(event);
    }
    if (event.kind === 'saved' || event.kind === 'saveTimer') {
      seen.saved = true;
      report?.saved(event.kind === 'saved' ? event.iteration : undefined);
    }
    if (event.kind === 'stepping') seen.stepping = true;
    if (event.kind === 'rankFailed') seen.failedRank ??= event;
    if (event.kind === 'rankQuit') seen.quitAt ??= performance.now();
  };
  const follower = followLog(files.log, (line) => member.log.line(line).forEach(take));

  for (let renewAt = 0; ;) {
    signal.throwIfAborted();
    if (performance.now() >= renewAt) {
      await renewLease(files.lease, token, leaseSeconds);
      renewAt = performance.now() + Math.min(5_000, leaseSeconds * 250);
    }
    // In this order: what had ended before the log was read cannot have written more of it since.
    const end = await endOf(files, token);
    while (await follower.read()) signal.throwIfAborted();
    if (end !== 'running') follower.flush();
    await metrics.save();
    await errors.take(member.log);
    report?.send(seen.saved, detector?.pace());
    seen.saved = false;
    const silence = detector?.look(performance.now());

    const quit = seen.quitAt !== undefined && performance.now() - seen.quitAt > QUIT_WAIT_MS;
    // An error of their own says more than what the ranks did not load because of it.
    const isWell = end === 'running' || (end !== 'lost' && isSuccess(end, member.log));
    const ranksGoOn = isWell && !seen.failedRank && seen.quitAt === undefined;
    const wrong =
      ranksGoOn && input.loads !== undefined && wrongStart({ ...member.log.verdict(), ...seen }, input.loads);
    if (wrong) {
      await report?.close();
      throw wronglyStarted(member, wrong);
    }
    if (end === 'running' && !seen.failedRank && !quit) {
      if (silence) {
        await report?.close(detector?.pace());
        throw hung(member, silence);
      }
      await sleep(LOOK_EVERY_MS, undefined, { signal });
      continue;
    }
    await report?.close(detector?.pace());
    if (end === 'lost') throw lost(member);
    if (end !== 'running' && isSuccess(end, member.log)) return { exitCode: 0, verdict: member.log.verdict() };
    throw await commandFailed(member, end === 'running' ? undefined : end, seen);
  }
}

interface Member {
  node: string;
  generation: number;
  logPath: string;
  log: TrainingLog;
}

/** The exit file of this very launch, or whether somebody is there to write it. */
async function endOf(files: ReturnType<typeof filesOf>, token: number): Promise<ExitFile | 'running' | 'lost'> {
  const state = await readJson<StateFile>(files.state);
  const running = state !== undefined && state.bootId === (await bootId()) && (await isAlive(state.guard));
  // After the look at the guard: it may have written the file and ended in between.
  const exit = await readJson<ExitFile>(files.exit);
  if (exit?.token === token) return exit;
  return running ? 'running' : 'lost';
}

/** Some of MindSpeed-LLM's errors end a rank with exit code 0, and torchrun with it. */
const isSuccess = ({ code }: ExitFile, log: TrainingLog): boolean =>
  code === 0 && !(log.verdict().outcome === 'unclear' && log.firstError() !== undefined);

async function commandFailed(
  { node, generation, logPath, log }: Member,
  exit: ExitFile | undefined,
  seen: Seen,
): Promise<ApplicationFailure> {
  const exitCode = exit ? exit.code : seen.failedRank?.exitCode;
  const how = exit?.reason ?? exit?.signal ?? (exitCode === undefined ? 'a rank gave up' : `exit code ${exitCode}`);
  const firstError = log.firstError();
  const why = firstError ?? 'the log names no error';
  return failure(
    'CommandFailed',
    `${node}: training of generation ${generation} ended with ${how}: ${why}; log: ${logPath}`,
    {
      nonRetryable: true,
      details: {
        ...{ node, exitCode, logPath, firstError },
        signal: exit?.signal ?? log.rankSignal(),
        lastIteration: log.verdict().lastIteration,
        tail: await tailOf(logPath, TAIL_BYTES),
      },
    },
  );
}

const PHASES: Record<Silence['phase'], string> = {
  start: 'while training started',
  index: "while the dataset's index was built",
  firstStep: 'in the first step',
  step: 'in a step',
  save: 'at a checkpoint',
  evaluation: 'in an evaluation',
};

function hung(
  { node, generation, logPath }: Member,
  { phase, silentMs, allowedMs, iteration }: Silence,
): ApplicationFailure {
  const seconds = (ms: number) => `${Math.round(ms / 1000)} s`;
  return failure(
    'TrainingHung',
    `${node}: training of generation ${generation} hangs: no new iteration after ${iteration} for ${seconds(silentMs)} ${PHASES[phase]}, ${seconds(allowedMs)} are allowed; log: ${logPath}`,
    { nonRetryable: true, details: { ...{ node, logPath, phase, iteration }, silentMs: Math.round(silentMs) } },
  );
}

const wronglyStarted = ({ node, generation, logPath }: Member, { name, why }: WrongStart): ApplicationFailure =>
  failure(
    'CommandFailed',
    `${node}: training of generation ${generation} started from ${why} (${name}); log: ${logPath}`,
    {
      nonRetryable: true,
      details: { node, logPath, wrongStart: name },
    },
  );

const lost = ({ node, generation, logPath }: Member): ApplicationFailure =>
  failure(
    'ProcessLost',
    `${node}: training of generation ${generation} is gone without an exit code; log: ${logPath}`,
    {
      nonRetryable: true,
      details: { node, logPath },
    },
  );
