/** One process of a cluster on this machine: started, killed, and started again on what it left. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';

export const HOST = '127.0.0.1';

export interface Part {
  readonly pid: number | undefined;
  start(): Promise<void>;
  kill(signal?: NodeJS.Signals): Promise<void>;
}

/** Variable that marks each part in its environment, by its log: whoever starts a cluster may be killed and leave it. */
export const PART_LOG = 'PRETRAIN_PART_LOG';

/** They would outlive a process that exits without stopping them. */
const running = new Set<ChildProcess>();
process.once('exit', () => running.forEach((child) => child.kill('SIGKILL')));

export interface Program {
  command: string[];
  env: NodeJS.ProcessEnv;
  /** Whom it runs as, where that is not this program's own user. */
  owner?: { uid: number; gid: number };
  /** A line on stdout, or a question to ask until it is answered with true. */
  ready: RegExp | (() => Promise<boolean>);
}

/** How long a part may take to be ready, and to end when asked, before it is a failure, or killed. */
const READY_MS = 60_000;
const END_MS = 20_000;

export function createPart(log: string, { command, env, owner, ready }: Program): Part {
  let child: ChildProcess | undefined;
  return {
    get pid() {
      return child?.pid;
    },
    async start() {
      const marked = { ...env, [PART_LOG]: log };
      const started = spawn(command[0]!, command.slice(1), {
        env: marked,
        ...owner,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      child = started;
      running.add(started);
      const file = createWriteStream(log, { flags: 'a' });
      started.stdout.pipe(file, { end: false });
      started.stderr.pipe(file, { end: false });
      started.once('close', () => {
        running.delete(started);
        file.end();
      });
      await waitUntilReady(started, ready, log);
    },
    async kill(signal = 'SIGTERM') {
      const dying = child;
      if (!dying || dying.exitCode !== null || dying.signalCode !== null) return;
      const ended = new Promise((done) => dying.once('exit', done));
      dying.kill(signal);
      const hard = setTimeout(() => dying.kill('SIGKILL'), END_MS);
      await ended;
      clearTimeout(hard);
    },
  };
}

async function waitUntilReady(child: ChildProcess, ready: Program['ready'], log: string): Promise<void> {
  let seen = false;
  let failed: Error | undefined;
  let text = '';
  child.stdout!.on('data', (chunk: Buffer) => {
    if (ready instanceof RegExp && !seen) seen = ready.test((text += chunk.toString()));
  });
  child.once('error', (error) => (failed = error));
  for (const deadline = Date.now() + READY_MS; Date.now() < deadline; await pause(50)) {
    if (failed) throw failed;
    if (child.exitCode !== null || child.signalCode !== null) {
      const tail = (await readFile(log, 'utf8').catch(() => '')).trim().split('\n').slice(-3).join('\n');
      throw new Error(
        `${child.spawnargs.join(' ')} ended at once (${child.exitCode ?? child.signalCode}); log ${log}:\n${tail}`,
      );
    }
    if (seen || (typeof ready === 'function' && (await ready()))) return;
  }
  throw new Error(`${child.spawnargs.join(' ')} was not ready in ${READY_MS / 1000} s; log ${log}`);
}

export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
