/**
 * Stands between worker and torchrun, in a session of its own: starts the command, keeps its exit code, and ends it
 * when the lease is over. It needs no worker and no server, so neither's end is training's end.
 *
 *     node guard.js <generation directory>
 */
import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { createFileOnce, readJson, writeJson } from './atomic.js';
import { endLaunched } from './end-launched.js';
import { refusal } from './fence.js';
import { filesOf, type CommandFile, type ExitFile, type LeaseFile } from './generation-files.js';
import { bootId, bootSeconds, findLaunched, identify, mark, pause, TOKEN, type ProcessId } from './process.js';

const LOOK_EVERY_MS = 1000;

type End = Partial<Pick<ExitFile, 'code' | 'signal' | 'reason'>>;

export async function guard(dir: string): Promise<void> {
  const files = filesOf(dir);
  const command = (await readJson<CommandFile>(files.command))!;
  const { token, dataDir, launch } = command;
  const self = (await identify(process.pid))!;
  // Two attempts of a launch may both have started a guard; the second to come has nothing to do.
  if (!(await createFileOnce(files.lock, JSON.stringify(self)))) return;
  // Looked at when this process can be found by its mark: a stop or a newer launch either closes the fence in time, or finds it.
  const refused = await refusal(dataDir, token, launch);
  const noteEnd = (end: End) => persist(() => writeEnd(dir, self, token, end));
  if (refused) return noteEnd({ reason: `not started: ${refused}` });

  const boot = await bootId();
  const started = await start(command, files.log).catch((error: Error) => error.message);
  if (typeof started === 'string') return noteEnd({ code: 127, reason: `not started: ${started}` });
  const ending = { by: undefined as 'itself' | 'lease' | undefined };
  const noted = started.ended.then(async (end) => {
    if (ending.by) return;
    ending.by = 'itself';
    await noteEnd(end);
  });
  const child = (await identify(started.pid)) ?? { pid: started.pid, startTime: 'gone' };
  await persist(() => writeJson(files.state, { token, bootId: boot, guard: self, command: child }));

  let lease: LeaseFile | undefined;
  const launched = async () => (await findLaunched(dataDir)).some((process) => process.token === token);
  // When torchrun alone is killed its ranks go on: as long as there are any, there is something to guard.
  while (!ending.by || (await launched())) {
    await Promise.race([pause(LOOK_EVERY_MS), ...(ending.by ? [] : [noted])]);
    lease = await readLease(files.lease, lease);
    if (!lease || (lease.bootId === boot && (await bootSeconds()) < lease.deadline)) continue;
    const first = !ending.by;
    ending.by ??= 'lease';
    await endLaunched(dataDir, (other) => other === token, command.graceSeconds * 1000);
    if (first) {
      const end = await Promise.race([started.ended, pause(1000).then(() => ({}))]);
      await noteEnd({
        ...end,
        reason: 'the lease was over: nobody had watched this launch for as long as it allows',
      });
    }
    break;
  }
  await noted;
}

async function start({ argv, env, dataDir, owner, token }: CommandFile, logPath: string) {
  const log = await open(logPath, 'a');
  try {
    const child = spawn(argv[0]!, argv.slice(1), {
      cwd: dataDir,
      env: { ...env, [TOKEN]: mark(token, owner) },
      stdio: ['ignore', log.fd, log.fd],
    });
    const ended = new Promise<End>((done) => child.once('exit', (code, signal) => done({ code, signal })));
    await new Promise<void>((done, fail) => child.once('spawn', done).once('error', fail));
    return { pid: child.pid!, ended };
  } finally {
    await log.close();
  }
}

/** One that cannot be read changes nothing: the last one that could be still holds. */
async function readLease(path: string, before: LeaseFile | undefined): Promise<LeaseFile | undefined> {
  const found = await readJson<LeaseFile | null>(path).catch(() => undefined);
  return typeof found?.deadline === 'number' ? found : before;
}

/** Where a directory was made anew under a guard, another guard's launch is there now, and this end is not its. */
async function writeEnd(dir: string, self: ProcessId, token: number, end: End): Promise<void> {
  const { lock, exit } = filesOf(dir);
  const holder = await readJson<ProcessId>(lock).catch(() => undefined);
  if (holder?.pid !== self.pid || holder.startTime !== self.startTime) return;
  await writeJson(exit, { token, code: null, signal: null, at: new Date().toISOString(), ...end });
}

/** A full disk must not end training, and as long as this process lives nobody takes the command for lost. */
async function persist(write: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await write();
    } catch (error) {
      process.stderr.write(`${(error as Error).message}\n`);
      await pause(LOOK_EVERY_MS);
    }
  }
}

// Whoever ends the worker's service may signal all that it has started.
for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);

const dir = process.argv[2];
if (dir === undefined) throw new Error('guard: no directory of a launch given');
await guard(dir).then(
  // At once: whoever ends a launch waits for its guard, and a timer may still be running.
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exit(1);
  },
);
