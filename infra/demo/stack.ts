/**
 * A whole cluster on one machine, each part a process of its own: Temporal server on a SQLite file, control
 * worker, node workers with private data directories, and a hub. The demo and the end-to-end tests run on it.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { root } from '../../workers/config.js';

export interface StackOptions {
  /** Everything is kept below this directory. */
  dir: string;
  nodes: string[];
  hub: string;
  /** Serves Temporal's web interface. */
  ui?: boolean;
  pool?: string;
  /** More environment for the node workers, for all that they run. */
  env?: Record<string, string>;
}

export interface Stack {
  address: string;
  uiUrl?: string;
  client: Client;
  dataOf(node: string): string;
  server: Part;
  control: Part;
  node(name: string): Part;
  stop(): Promise<void>;
}

/** One process of the stack, which can be killed and started again on what it left. */
export interface Part {
  readonly pid: number | undefined;
  start(): Promise<void>;
  kill(signal?: NodeJS.Signals): Promise<void>;
}

const HOST = '127.0.0.1';

export async function startStack(options: StackOptions): Promise<Stack> {
  const { dir, nodes, hub, ui = false, pool = 'demo' } = options;
  await mkdir(join(dir, 'logs'), { recursive: true });
  const temporal = await temporalBinary();
  const port = await freePort();
  const uiPort = ui ? await freePort() : undefined;
  const address = `${HOST}:${port}`;
  const env = { ...process.env, TEMPORAL_ADDRESS: address, PRETRAIN_REPORTS: join(dir, 'reports') };
  const worker = (role: string, more: Record<string, string> = {}) => ({
    command: [process.execPath, join(root, 'dist/workers/main.js'), role],
    env: { ...env, ...options.env, ...more },
    ready: /is ready/,
  });
  const dataOf = (name: string) => join(dir, 'nodes', name);

  const server = createPart(join(dir, 'logs/temporal.log'), {
    command: [
      ...[
        temporal,
        'server',
        'start-dev',
        '--ip',
        HOST,
        '--port',
        String(port),
        '--db-filename',
        join(dir, 'temporal.db'),
      ],
      // SQLite's default journal stalls under a burst of activities.
      ...['--sqlite-pragma', 'journal_mode=wal', '--sqlite-pragma', 'synchronous=1', '--log-level', 'error'],
      ...(uiPort ? ['--ui-port', String(uiPort)] : ['--headless']),
    ],
    env,
    ready: () => answers(address),
  });
  const control = createPart(join(dir, 'logs/control.log'), worker('control'));
  const workers = new Map(
    nodes.map((name) => [
      name,
      createPart(
        join(dir, `logs/${name}.log`),
        worker('node', {
          PRETRAIN_NODE: name,
          PRETRAIN_ADDRESS: HOST,
          PRETRAIN_DATA: dataOf(name),
          PRETRAIN_POOL: pool,
          PRETRAIN_PROFILE: 'cpu',
          HF_ENDPOINT: hub,
        }),
      ),
    ]),
  );
  const parts = [...workers.values(), control, server];
  try {
    await server.start();
    await Promise.all([control, ...workers.values()].map((part) => part.start()));
  } catch (error) {
    await Promise.all(parts.map((part) => part.kill('SIGKILL')));
    throw error;
  }
  const connection = await Connection.connect({ address });
  return {
    address,
    ...(uiPort && { uiUrl: `http://${HOST}:${uiPort}` }),
    client: new Client({ connection }),
    dataOf,
    server,
    control,
    node: (name) => workers.get(name)!,
    async stop() {
      await connection.close();
      await Promise.all(parts.slice(0, -1).map((part) => part.kill()));
      await server.kill();
    },
  };
}

interface Program {
  command: string[];
  env: NodeJS.ProcessEnv;
  /** A line on stdout, or a question to ask until it is answered with true. */
  ready: RegExp | (() => Promise<boolean>);
}

/** How long a part may take to be ready, and to end when asked, before it is a failure, or killed. */
const READY_MS = 60_000;
const END_MS = 20_000;

function createPart(log: string, { command, env, ready }: Program): Part {
  let child: ChildProcess | undefined;
  return {
    get pid() {
      return child?.pid;
    },
    async start() {
      const started = spawn(command[0]!, command.slice(1), { env, stdio: ['ignore', 'pipe', 'pipe'] });
      child = started;
      const file = createWriteStream(log, { flags: 'a' });
      started.stdout.pipe(file, { end: false });
      started.stderr.pipe(file, { end: false });
      started.once('close', () => file.end());
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

async function answers(address: string): Promise<boolean> {
  try {
    const connection = await Connection.connect({ address, connectTimeout: 1000 });
    const found = await connection.workflowService.describeNamespace({ namespace: 'default' }).then(
      () => true,
      () => false,
    );
    await connection.close();
    return found;
  } catch {
    return false;
  }
}

/** The server that set-up found or fetched. */
export async function temporalBinary(): Promise<string> {
  return (
    process.env['TEMPORAL_BIN'] ?? resolve(root, (await readFile(join(root, '.cache/temporal/path'), 'utf8')).trim())
  );
}

export const freePort = (): Promise<number> =>
  new Promise((done, fail) => {
    const server = createServer();
    server.once('error', fail);
    server.listen(0, HOST, () => {
      const { port } = server.address() as { port: number };
      server.close(() => done(port));
    });
  });

export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
