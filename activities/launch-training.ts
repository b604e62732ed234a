/** Starts one member of a gang, detached, once, and only if no newer launch has been seen on this node. */
import { spawn } from 'node:child_process';
import { mkdir, open, rename, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { LaunchTrainingInput } from '../workflows/contract.js';
import { checkpointsDir, torchrunEntry } from '../workflows/plan.js';
import { entryPoint } from './entry-point.js';
import { exclusive } from './exclusive.js';
import { failure } from './failures.js';
import { fenceBelow } from './fence.js';
import { besides, readJson, writeJson } from './atomic.js';
import { filesOf, generationDir, launchName, type CommandFile } from './generation-files.js';
import { indexCacheOf, removeUnproven } from './index-cache.js';
import { unsafeStart } from './launch-checks.js';
import { renewLease } from './lease.js';
import type { NodeDeps } from './node-deps.js';
import { programOf } from './own-program.js';
import { findLaunched, GUARD, isAlive, mark, ownerOf, pause, TOKEN, type ProcessId } from './process.js';
import { noteLaunch } from './series-launch.js';
import { step } from './step.js';

/** For ranks that end when the lease is over. Short: a newer gang starts no later than lease and stop grace after the last watch. */
const leaseGrace = (leaseSeconds: number): number => Math.min(10, leaseSeconds / 10);
const GUARD_STARTS_WITHIN_MS = 20_000;

export const createLaunchTraining =
  (deps: NodeDeps) =>
  (input: LaunchTrainingInput): Promise<void> =>
    step({ node: deps.name, name: `launch of generation ${input.generation}` }, () =>
      exclusive(`${deps.dataDir}/launch`, () => launch(deps, input)),
    );

async function launch(deps: NodeDeps, input: LaunchTrainingInput): Promise<void> {
  const { name: node, dataDir } = deps;
  const { token, leaseSeconds, series } = input;
  const dir = generationDir(dataDir, input);
  const files = filesOf(dir);
  const refused = await fenceBelow(dataDir, token, launchName(input));
  if (refused)
    throw failure('CommandFailed', `${node}: launch with token ${token} refused: ${refused}`, {
      nonRetryable: true,
      details: { node, token },
    });
  await mkdir(dir, { recursive: true });
  await mkdir(join(dataDir, checkpointsDir(series)), { recursive: true });
  await renewLease(files.lease, token, leaseSeconds);
  const owner = await ownerOf(dataDir);
  if (!(await isStarted(node, dataDir, dir, token))) {
    const argv = await commandLine(deps, input);
    const unsafe = await unsafeStart(dataDir, input);
    if (unsafe)
      throw failure('CommandFailed', `${node}: launch of generation ${input.generation} refused: ${unsafe}`, {
        nonRetryable: true,
        details: { node, unsafe },
      });
    const indexCache = indexCacheOf(input);
    if (indexCache !== undefined) {
      await removeUnproven(join(dataDir, indexCache), !input.script.includes('--no-shared-storage'));
      // Reading it may have taken as long as the lease.
      await renewLease(files.lease, token, leaseSeconds);
    }
    await noteLaunch(dataDir, input);
    await writeJson(files.command, {
      ...{ token, dataDir, owner, launch: launchName(input) },
      argv,
      env: { ...deps.env, PYTHONUNBUFFERED: '1', ...input.env, ...(await besideCheckout(deps, input)) },
      graceSeconds: leaseGrace(leaseSeconds),
      ...(indexCache !== undefined && { indexCache }),
    } satisfies CommandFile);
    await startGuard(dir, deps, mark(token, owner));
  }
  for (const deadline = Date.now() + GUARD_STARTS_WITHIN_MS; Date.now() < deadline; await pause(50))
    if (await isUp(dir)) return;
  throw failure(
    'CommandFailed',
    `${node}: launch of generation ${input.generation}: the guard did not start; see ${files.guardLog}`,
    { details: { node, logPath: files.guardLog } },
  );
}

/** The command runs, or has ended already. */
const isUp = async (dir: string): Promise<boolean> => {
  const { state, exit } = filesOf(dir);
  return ((await readJson(state)) ?? (await readJson(exit))) !== undefined;
};

/** Whether an earlier attempt got as far as a guard that has the right to start the command, or has. */
async function isStarted(node: string, dataDir: string, dir: string, token: number): Promise<boolean> {
  const { lock, guardLog } = filesOf(dir);
  const guard = await readJson<ProcessId>(lock);
  if (!guard) return false;
  // Asked in this order, since a guard writes before it ends.
  if ((await isAlive(guard)) || (await isUp(dir))) return true;
  if ((await findLaunched(dataDir)).some((process) => process.token === token)) return true;
  throw failure(
    'ProcessLost',
    `${node}: the guard of token ${token} was lost as it started training; see ${guardLog}`,
    {
      nonRetryable: true,
      details: { node, token, logPath: guardLog },
    },
  );
}

const commandLine = async (deps: NodeDeps, { torchrun, script }: LaunchTrainingInput): Promise<string[]> => [
  ...[deps.python, ...torchrunEntry(script), ...torchrun],
  ...[await entryPoint(deps, script[0]!), ...script.slice(1)],
];

/**
 * Some programs look for parts of their checkout in the directory that they are started in, and start others that import it.
 * @returns more of the environment
 */
async function besideCheckout(
  { dataDir, mindspeedDir, env }: NodeDeps,
  { script }: LaunchTrainingInput,
): Promise<Record<string, string>> {
  if (script[0] !== 'train_fsdp2.py') return {};
  for (const name of ['mindspeed_llm', 'configs']) {
    const link = besides(join(dataDir, name));
    await symlink(join(mindspeedDir, name), link);
    await rename(link, join(dataDir, name));
  }
  return { PYTHONPATH: [env['PYTHONPATH'], mindspeedDir].filter(Boolean).join(':') };
}

async function startGuard(dir: string, { dataDir, env }: NodeDeps, marked: string): Promise<void> {
  const { path, execArgv } = programOf(import.meta.url, './guard');
  const inherited = Object.entries(env).filter(([name]) => ['PATH', 'HOME', 'TMPDIR'].includes(name));
  const log = await open(filesOf(dir).guardLog, 'a');
  try {
    const guard = spawn(process.execPath, [...execArgv, path, dir], {
      cwd: dataDir,
      env: { ...Object.fromEntries(inherited), [TOKEN]: marked, [GUARD]: '1' },
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
    });
    await new Promise<void>((done, fail) => guard.once('spawn', done).once('error', fail));
    guard.unref();
  } finally {
    await log.close();
  }
}
