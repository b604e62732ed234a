/**
 * Stands between worker and torchrun, in a session of its own: starts the command, keeps its exit code, and ends it
 * when the lease is over. It needs no worker and no server, so neither's end is training's end.
 */
import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { filesOf, readJson, writeJson, type CommandFile, type ExitFile, type LeaseFile } from './generation-files.js';
import { bootId, bootSeconds, endLaunched, identify, pause } from './process.js';

const LOOK_EVERY_MS = 1000;

export async function guard(dir: string): Promise<void> {
  const files = filesOf(dir);
  const command = (await readJson<CommandFile>(files.command))!;
  // Two attempts of a launch may both have started a guard; the second to come has nothing to do.
  await (await open(join(dir, 'guard.lock'), 'wx')).close();

  const log = await open(files.log, 'a');
  const child = spawn(command.argv[0]!, command.argv.slice(1), {
    cwd: command.dataDir,
    env: command.env,
    stdio: ['ignore', log.fd, log.fd],
  });
  const ended = new Promise<Pick<ExitFile, 'code' | 'signal' | 'reason'>>((done) => {
    child.once('exit', (code, signal) => done({ code, signal }));
    child.once('error', (error) => done({ code: 127, signal: null, reason: error.message }));
  });
  const boot = await bootId();
  const self = (await identify(process.pid))!;
  const started = child.pid === undefined ? undefined : await identify(child.pid);
  await writeJson(files.state, {
    token: command.token,
    bootId: boot,
    guard: self,
    command: started ?? { pid: child.pid ?? 0, startTime: 'gone' },
  });

  let reason: string | undefined;
  let over = false;
  void ended.then(() => (over = true));
  while (!over) {
    await Promise.race([ended, pause(LOOK_EVERY_MS)]);
    if (over || reason || (await leaseHolds(files.lease, command.token, boot))) continue;
    reason = 'the lease was over: nobody had watched this launch for as long as it allows';
    await endLaunched(command.dataDir, (token) => token === command.token, command.graceSeconds * 1000);
  }
  const exit = await ended;
  await writeJson(files.exit, {
    token: command.token,
    at: new Date().toISOString(),
    ...exit,
    ...(reason && { reason }),
  } satisfies ExitFile);
}

async function leaseHolds(path: string, token: number, boot: string): Promise<boolean> {
  const lease = await readJson<LeaseFile>(path);
  return lease?.token === token && lease.bootId === boot && (await bootSeconds()) < lease.deadline;
}

const dir = process.argv[2];
if (dir === undefined) throw new Error('guard: no directory of a launch given');
await guard(dir).catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exit(1);
});
