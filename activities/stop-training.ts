/** Ends one member of a gang for certain, and says what it saw. */
import { log } from '@temporalio/activity';
import type { MemberEvidence, RankState, StopTrainingInput } from '../workflows/contract.js';
import { endLaunched } from './end-launched.js';
import { exclusive } from './exclusive.js';
import { fenceOff, mayHaveSeen } from './fence.js';
import { readIfThere, readJson, writeJson } from './atomic.js';
import { filesOf, generationDir, type ExitFile } from './generation-files.js';
import { firstErrorAt } from './first-error.js';
import { keepStacks } from './keep-stacks.js';
import { neverSeen } from './never-seen.js';
import type { NodeDeps } from './node-deps.js';
import { toFailure, whileBeating } from './step.js';
import { readLogFile, tailOf } from './tail.js';

type Seen = Omit<MemberEvidence, 'node' | 'confirmed' | 'lastIteration' | 'lastSaved' | 'logPath'>;

/** Of every member, and all of them end up in one workflow's history. */
const TAIL_BYTES = 1_024;

export const createStopTraining =
  (deps: NodeDeps) =>
  (input: StopTrainingInput): Promise<MemberEvidence> =>
    whileBeating(() => closeAndStop(deps, input));

async function closeAndStop(deps: NodeDeps, input: StopTrainingInput): Promise<MemberEvidence> {
  try {
    // A scan for processes of another data directory finds none, and its fence keeps nobody out.
    // Where that cannot be read, ranks are ended all the same: they are the ones with this directory's mark.
    if (!(await isKnown(deps.dataDir, input).catch(() => true))) throw neverSeen(deps.name, deps.dataDir, input);
    // First the fence, and not in line behind a launch: one that is still on its way must find it closed.
    const close = () => fenceOff(deps.dataDir, input.token);
    const closed = await close().then(
      () => true,
      () => false,
    );
    return await exclusive(`${deps.dataDir}/launch`, async () => {
      const evidence = await stop(deps, input);
      // On a full disk the ranks end all the same; only with the fence closed it is certain that none will begin.
      if (!closed) await close();
      return evidence;
    });
  } catch (error) {
    throw toFailure(error, { node: deps.name, name: `stop of generation ${input.generation}` });
  }
}

const isKnown = async (dataDir: string, launch: StopTrainingInput): Promise<boolean> =>
  (await mayHaveSeen(dataDir, launch.token)) ||
  (await readIfThere(filesOf(generationDir(dataDir, launch)).command)) !== undefined;

async function stop(deps: NodeDeps, input: StopTrainingInput): Promise<MemberEvidence> {
  const { name: node, dataDir } = deps;
  const { token, graceSeconds } = input;
  const files = filesOf(generationDir(dataDir, input));
  const seen = await lookOnce(files, token, input.keepStacks ? () => keepStacks(deps, token, files.stacks) : undefined);
  const confirmed = await endLaunched(dataDir, (launched) => launched <= token, graceSeconds * 1000);
  if (confirmed) await closeUp(token, files.exit).catch(noted);
  const { lastIteration, lastSaved } = (await readLogFile(files.log)).verdict();
  const evidence: MemberEvidence = {
    ...{ node, confirmed, ...seen },
    ...(lastIteration !== undefined && { lastIteration }),
    ...(lastSaved !== undefined && { lastSaved }),
    logPath: files.log,
  };
  if (confirmed) await writeJson(files.stopped, evidence).catch(noted);
  return evidence;
}

/**
 * What this member had seen before anybody signalled it, kept for a second attempt: exit codes and errors that our
 * own signals make say nothing about the failure.
 */
async function lookOnce(
  files: ReturnType<typeof filesOf>,
  token: number,
  stacks?: () => Promise<RankState[]>,
): Promise<Seen> {
  const { stopping, exit: path, log: logPath } = files;
  const before = await readJson<Seen>(stopping);
  if (before) return before;
  const exit = await readJson<ExitFile>(path);
  const own = exit?.token === token ? exit : undefined;
  const log = await readLogFile(logPath);
  const signal = log.rankSignal() ?? (own?.reason ? undefined : own?.signal);
  const firstError = log.firstError() ?? own?.reason;
  const errorAt = await firstErrorAt(files, log);
  const tail = await tailOf(logPath, TAIL_BYTES);
  const seen: Seen = {
    ...(typeof own?.code === 'number' && { exitCode: own.code }),
    ...(signal && { signal }),
    ...(firstError !== undefined && { firstError }),
    ...(errorAt !== undefined && { firstErrorAt: errorAt }),
    ...{ lookedAt: Date.now(), verdict: log.verdict() },
    ...(tail && { tail }),
    ...(stacks && { ranks: await stacks().catch(none), stacksPath: files.stacks }),
  };
  await writeJson(stopping, seen).catch(noted);
  return seen;
}

/** What a stop writes down helps a second attempt; a disk that does not take it must not keep ranks alive. */
function noted(error: unknown): void {
  log.warn('a stop could not write down what it saw', { error: String(error) });
}

/** Stacks help a person to understand; without them the ranks are ended all the same. */
function none(error: unknown): [] {
  log.warn('the stacks of a hung gang could not be kept', { error: String(error) });
  return [];
}

/** Where the guard was killed, or there never was one, nobody else is left to say that it has ended. */
async function closeUp(token: number, path: string): Promise<void> {
  if ((await readJson<ExitFile>(path))?.token === token) return;
  const reason = 'stopped, and no guard was there to see how it ended';
  await writeJson(path, { token, code: null, signal: null, at: new Date().toISOString(), reason } satisfies ExitFile);
}
