/** A Temporal development server on a SQLite file, for tests that need one of their own to kill and start again. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { Connection } from '@temporalio/client';
import { freePort, pause, temporalBinary } from '../../infra/demo/stack.js';

export interface TemporalServer {
  readonly address: string;
  readonly pid: number;
  /** Ends the process and waits until it is gone; the database stays. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it on the same port and database; ends it first when it runs. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export interface TemporalServerOptions {
  /** The server's log is beside it, with `.log` added. */
  dbFile: string;
  port?: number;
  ui?: boolean;
}

/** Generous, for a machine that is busy with something else as well. */
const READY_MS = 60_000;
/** A busy server has been seen to take minutes over a SIGTERM. */
const STOP_MS = 10_000;

export async function startTemporalServer(options: TemporalServerOptions): Promise<TemporalServer> {
  const { dbFile, port = await freePort(), ui = false } = options;
  const address = `127.0.0.1:${port}`;
  const binary = await temporalBinary();
  const page = ui ? ['--ui-port', String(await freePort())] : ['--headless'];
  const args = ['server', 'start-dev', '--ip', '127.0.0.1', '--port', String(port), '--log-level', 'error', ...page];
  // SQLite's default journal stalls under a burst of activities.
  args.push('--db-filename', dbFile, '--sqlite-pragma', 'journal_mode=wal', '--sqlite-pragma', 'synchronous=1');

  const start = async (): Promise<ChildProcess> => {
    const log = openSync(`${dbFile}.log`, 'a');
    const child = spawn(binary, args, { detached: false, stdio: ['ignore', log, log] });
    closeSync(log);
    try {
      await untilItAnswers(child, address);
      return child;
    } catch (error) {
      await end(child, 'SIGKILL');
      const tail = readFileSync(`${dbFile}.log`, 'utf8').slice(-2000);
      throw new Error(`no Temporal server: ${String(error)}\n${tail}`, { cause: error });
    }
  };

  let child = await start();
  // Not a child in a session of its own, and still it would outlive a test process that exits without stopping it.
  const atExit = (): void => void child.kill('SIGKILL');
  process.once('exit', atExit);
  return {
    address,
    get pid() {
      return child.pid!;
    },
    kill: (signal = 'SIGKILL') => end(child, signal),
    async restart() {
      await end(child, 'SIGTERM');
      child = await start();
    },
    async stop() {
      process.off('exit', atExit);
      await end(child, 'SIGTERM');
    },
  };
}

const isRunning = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null;

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.pid === undefined || !isRunning(child)) return;
  const exited = once(child, 'exit');
  child.kill(signal);
  const hard = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await exited;
  clearTimeout(hard);
}

async function untilItAnswers(child: ChildProcess, address: string): Promise<void> {
  let failed: Error | undefined;
  child.once('error', (error) => (failed = error));
  for (const deadline = Date.now() + READY_MS; ; await pause(50)) {
    if (failed !== undefined) throw failed;
    if (!isRunning(child)) throw new Error(`it ended with ${child.exitCode ?? child.signalCode}`);
    if (await answers(address)) return;
    if (Date.now() > deadline) throw new Error(`it did not answer at ${address} for ${READY_MS / 1000} s`);
  }
}

/** Answering is having the namespace: the port is open a little earlier. */
async function answers(address: string): Promise<boolean> {
  const connection = await Connection.connect({ address, connectTimeout: 1000 }).catch(() => undefined);
  if (connection === undefined) return false;
  try {
    await connection.workflowService.describeNamespace({ namespace: 'default' });
    return true;
  } catch {
    return false;
  } finally {
    await connection.close();
  }
}
