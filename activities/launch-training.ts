/** Starts one member of a gang, detached, once, and only if no newer launch has been seen on this node. */
import { spawn } from 'node:child_process';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LaunchTrainingInput } from '../workflows/contract.js';
import { exclusive } from './exclusive.js';
import { failure } from './failures.js';
import { fenceBelow } from './fence.js';
import { filesOf, generationDir, readJson, writeJson, type CommandFile, type StateFile } from './generation-files.js';
import { renewLease } from './lease.js';
import type { NodeDeps } from './node-deps.js';
import { mark, pause, TOKEN } from './process.js';

/** Grace for ranks that the guard ends when the lease is over; a save of a large model takes longer, but nobody waits for it. */
const LEASE_GRACE_SECONDS = 30;
const GUARD_STARTS_WITHIN_MS = 20_000;

export const createLaunchTraining =
  (deps: NodeDeps) =>
  (input: LaunchTrainingInput): Promise<void> =>
    exclusive(`${deps.dataDir}/launch`, () => launch(deps, input));

async function launch(deps: NodeDeps, input: LaunchTrainingInput): Promise<void> {
  const { token, leaseSeconds, series } = input;
  const dir = generationDir(deps.dataDir, input);
  const files = filesOf(dir);
  await fenceBelow(deps, token);
  await mkdir(dir, { recursive: true });
  await mkdir(join(deps.dataDir, 'series', series, 'checkpoints'), { recursive: true });
  await renewLease(files.lease, token, leaseSeconds);
  if (await readJson<StateFile>(files.state)) return;

  await writeJson(files.command, {
    token,
    argv: commandLine(deps, input),
    dataDir: deps.dataDir,
    env: { ...deps.env, ...input.env, [TOKEN]: mark(token, deps.dataDir) },
    graceSeconds: LEASE_GRACE_SECONDS,
  } satisfies CommandFile);
  await startGuard(dir, deps);
  for (const deadline = Date.now() + GUARD_STARTS_WITHIN_MS; Date.now() < deadline; await pause(50))
    if (await readJson<StateFile>(files.state)) return;
  throw failure(
    'CommandFailed',
    `${deps.name}: launch of generation ${input.generation}: the guard did not start; see ${files.guardLog}`,
    {
      details: { node: deps.name, logPath: files.guardLog },
    },
  );
}

const commandLine = ({ python, mindspeedDir }: NodeDeps, { torchrun, script }: LaunchTrainingInput): string[] => [
  ...[python, '-m', 'torch.distributed.run', ...torchrun],
  ...[join(mindspeedDir, script[0]!), ...script.slice(1)],
];

async function startGuard(dir: string, { dataDir }: NodeDeps): Promise<void> {
  const log = await open(filesOf(dir).guardLog, 'a');
  const here = fileURLToPath(import.meta.url);
  const program = here.endsWith('.ts') ? ['--import', 'tsx', join(here, '../guard.ts')] : [join(here, '../guard.js')];
  // The guard carries no token itself: it must outlive the ranks that a stop ends, to write their exit code.
  const guard = spawn(process.execPath, [...program, dir], {
    cwd: dataDir,
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
  });
  guard.unref();
  await log.close();
}
