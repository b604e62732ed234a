/** The Temporal server as a cluster runs it, on PostgreSQL: both are one part, and are killed together. */
import { execFile } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { root } from '../../workers/config.js';
import { createPart, HOST, pause } from './part.js';
import { createPostgres, type Postgres } from './postgres.js';
import type { TemporalServer } from './temporal-server.js';

const run = promisify(execFile);

export interface TemporalOnPostgres extends TemporalServer {
  /** Dumps both databases to a folder, while they are used. */
  backUp(folder: string): Promise<void>;
  /** Starts on a fresh PostgreSQL cluster with what was dumped. */
  restore(folder: string): Promise<void>;
  /** Takes the database away, when it is stopped. */
  remove(): Promise<void>;
}

/** Each database with the schema that it gets. */
const DATABASES = { temporal: 'temporal', temporal_visibility: 'visibility' };
const NAMES = Object.keys(DATABASES);

/** Chooses ports; starts nothing yet. Fetches or builds what is not there. */
export async function createTemporalOnPostgres(options: {
  dir: string;
  logs: string;
  settings?: string[];
}): Promise<TemporalOnPostgres> {
  const { dir, logs, settings = [] } = options;
  const programs = await setUp();
  const database = await createPostgres({ bin: programs.postgres, log: join(logs, 'postgres.log') });
  const port = await lowPort();
  const address = `${HOST}:${port}`;
  const dynamicConfig = join(dir, 'dynamic-config.yaml');
  await writeFile(dynamicConfig, dynamicConfigOf(settings));
  const server = createPart(join(logs, 'temporal.log'), {
    command: [programs.server, 'start'],
    env: { ...process.env, ...(await serverEnvironment(port, database)), DYNAMIC_CONFIG_FILE_PATH: dynamicConfig },
    ready: () => hasNamespace(address),
  });
  const kill = async (signal?: NodeJS.Signals) => {
    await server.kill(signal);
    await database.kill(signal);
  };
  let isMade = false;
  const tool = sqlTool(programs.sqlTool, database);
  const make = async () => {
    await database.create();
    await database.start();
    for (const name of NAMES) await tool(name, 'create-database');
    isMade = true;
  };
  const fill = async () => {
    for (const [name, schema] of Object.entries(DATABASES)) {
      await tool(name, 'setup-schema', '--version', '0.0');
      await tool(name, 'update-schema', '--schema-name', `postgresql/v12/${schema}`);
    }
  };
  return {
    address,
    get pid() {
      return server.pid;
    },
    async start() {
      if (isMade) await database.start();
      else await make().then(fill);
      await server.start();
    },
    kill,
    backUp: (folder) => database.dump(folder, NAMES),
    async restore(folder) {
      await kill('SIGKILL');
      await make();
      await database.restore(folder, NAMES);
      await server.start();
    },
    remove: () => database.remove(),
  };
}

/** Runs apart from this program, which is compiled: set-up is not. */
async function setUp(): Promise<{ postgres: string; server: string; sqlTool: string }> {
  try {
    const running = run(process.execPath, [join(root, 'infra/setup/temporal-on-postgres.mjs')]);
    running.child.stderr?.pipe(process.stderr, { end: false });
    return JSON.parse((await running).stdout) as { postgres: string; server: string; sqlTool: string };
  } catch {
    throw new Error('there is no Temporal server on PostgreSQL; the lines above say what to install');
  }
}

/** What the server's own configuration takes from the environment, as its official image does. */
async function serverEnvironment(port: number, database: Postgres): Promise<Record<string, string>> {
  const names = ['FRONTEND_MEMBERSHIP', 'FRONTEND_HTTP', 'MATCHING_GRPC', 'MATCHING_MEMBERSHIP'];
  const more = ['HISTORY_GRPC', 'HISTORY_MEMBERSHIP', 'WORKER_GRPC', 'WORKER_MEMBERSHIP'];
  const ports = new Set<number>();
  while (ports.size < names.length + more.length) ports.add(await lowPort());
  return {
    ...Object.fromEntries([...ports].map((free, index) => [`${[...names, ...more][index]!}_PORT`, String(free)])),
    ...{ DB: 'postgres12', POSTGRES_SEEDS: HOST, DB_PORT: String(database.port) },
    ...{ POSTGRES_USER: database.user, POSTGRES_PWD: database.password },
    // Each of its four services has its own connections, and PostgreSQL lets in a hundred.
    ...{ SQL_MAX_CONNS: '10', SQL_MAX_IDLE_CONNS: '10', SQL_VIS_MAX_CONNS: '5', SQL_VIS_MAX_IDLE_CONNS: '5' },
    ...{ FRONTEND_GRPC_PORT: String(port), BIND_ON_IP: HOST, TEMPORAL_BROADCAST_ADDRESS: HOST, LOG_LEVEL: 'error' },
  };
}

/** The server keeps ports in columns that end at 32767. */
async function lowPort(): Promise<number> {
  for (;;) {
    const port = randomInt(16_384, 32_768);
    const probe = createServer();
    const isFree = await new Promise<boolean>((answer) => {
      probe.once('error', () => answer(false)).listen(port, HOST, () => probe.close(() => answer(true)));
    });
    if (isFree) return port;
  }
}

/** The server's file of settings, from `name=value`: JSON is YAML. */
export function dynamicConfigOf(settings: string[]): string {
  const entries = settings.map((setting) => {
    const [name, value] = [setting.slice(0, setting.indexOf('=')), setting.slice(setting.indexOf('=') + 1)];
    return [name, [{ value: JSON.parse(value) as unknown }]];
  });
  return JSON.stringify(Object.fromEntries(entries));
}

/** Temporal's tool for its own schema. */
const sqlTool =
  (binary: string, { port, user, password }: Postgres) =>
  (name: string, ...args: string[]) =>
    run(
      binary,
      ['--plugin', 'postgres12', '--ep', HOST, '--port', String(port), '--user', user, '--db', name, ...args],
      {
        env: { ...process.env, SQL_PASSWORD: password },
      },
    );

/** Made when it is not there. Counting goes the way of every other call, through the server's memory of namespaces. */
async function hasNamespace(address: string): Promise<boolean> {
  const namespace = 'default';
  try {
    const connection = await Connection.connect({ address, connectTimeout: 1000 });
    const { workflowService } = connection;
    try {
      await workflowService
        .describeNamespace({ namespace })
        .catch(() =>
          workflowService.registerNamespace({ namespace, workflowExecutionRetentionPeriod: msToTs('7 days') }),
        );
      await workflowService.countWorkflowExecutions({ namespace });
      return true;
    } finally {
      await connection.close();
    }
  } catch {
    await pause(200);
    return false;
  }
}
