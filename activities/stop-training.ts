/** Ends one member of a gang for certain, and says what it saw. */
import { heartbeat } from '@temporalio/activity';
import { mkdir } from 'node:fs/promises';
import type { MemberEvidence, StopTrainingInput } from '../workflows/contract.js';
import { exclusive } from './exclusive.js';
import { fenceOff } from './fence.js';
import { filesOf, generationDir, readJson, writeJson, type ExitFile } from './generation-files.js';
import type { NodeDeps } from './node-deps.js';
import { endLaunched, findLaunched, pause } from './process.js';
import { LogTail } from './tail.js';
import { newFacts, readLine } from './training-log.js';

/** The guard writes the exit code a moment after its command has ended. */
const EXIT_CODE_WITHIN_MS = 2000;

export const createStopTraining =
  (deps: NodeDeps) =>
  (input: StopTrainingInput): Promise<MemberEvidence> =>
    exclusive(`${deps.dataDir}/launch`, () => stop(deps, input));

async function stop(deps: NodeDeps, input: StopTrainingInput): Promise<MemberEvidence> {
  const { token, graceSeconds } = input;
  const files = filesOf(generationDir(deps.dataDir, input));
  // First the fence: a launch of this token that is still on its way must find it closed.
  await fenceOff(deps, token);
  const before = await readJson<ExitFile>(files.exit);
  const facts = newFacts();
  for await (const line of new LogTail(files.log).lines()) readLine(facts, line);

  await endLaunched(
    deps.dataDir,
    (launched) => launched <= token,
    graceSeconds * 1000,
    () => heartbeat(),
  );
  const left = (await findLaunched(deps.dataDir)).filter((process) => process.token <= token);
  const exit = before ?? (await exitCode(files.exit)) ?? (await closeUp(input, files));
  const last = facts.iterations.at(-1);
  return {
    node: deps.name,
    confirmed: left.length === 0,
    logPath: files.log,
    // An exit code that our own signals made says nothing about the failure.
    ...(before && exit.code !== null && { exitCode: exit.code }),
    ...(before && exit.signal !== null && { signal: exit.signal }),
    ...(!before && facts.failedRank && describeRank(facts.failedRank.exitCode)),
    ...(facts.firstError !== undefined && { firstError: facts.firstError }),
    ...(last && { lastIteration: last.iteration }),
  };
}

/** torchrun gives a rank that a signal ended the negative number of it. */
const describeRank = (code: number): Pick<MemberEvidence, 'exitCode' | 'signal'> =>
  code < 0 ? { exitCode: code, signal: String(-code) } : { exitCode: code };

async function exitCode(path: string): Promise<ExitFile | undefined> {
  for (const deadline = Date.now() + EXIT_CODE_WITHIN_MS; Date.now() < deadline; await pause(50)) {
    const exit = await readJson<ExitFile>(path);
    if (exit) return exit;
  }
  return undefined;
}

/** Nobody is left to write an exit code: the guard was killed, or there never was one. */
async function closeUp(input: StopTrainingInput, files: ReturnType<typeof filesOf>): Promise<ExitFile> {
  const exit: ExitFile = {
    token: input.token,
    code: null,
    signal: null,
    at: new Date().toISOString(),
    reason: 'stopped, and no guard was there to see how it ended',
  };
  await mkdir(new URL('.', `file://${files.exit}`).pathname, { recursive: true });
  await writeJson(files.exit, exit);
  return exit;
}
