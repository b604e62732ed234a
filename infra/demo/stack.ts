/**
 * A whole cluster on one machine, each part a process of its own: Temporal server on a SQLite file (or on
 * PostgreSQL), control worker, node workers with private data directories, and a hub. The demo and the end-to-end tests run on it.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { freePort } from '../../activities/free-port.js';
import { root } from '../../workers/config.js';
import { createPart, HOST, type Part } from './part.js';
import { createTemporalOnPostgres, type TemporalOnPostgres } from './temporal-on-postgres.js';
import { createTemporalServer } from './temporal-server.js';

export interface StackOptions {
  /** Everything is kept below this directory. */
  dir: string;
  nodes: string[];
  hub: string;
  /** Serves Temporal's web interface, which the development server alone has. */
  ui?: boolean;
  /** Temporal's server as clusters run it, on a PostgreSQL of its own, instead of the development server. */
  postgres?: boolean;
  /** Settings of the Temporal server, `name=value`. */
  settings?: string[];
  pool?: string;
  /** More environment for the node workers, for all that they run. */
  env?: Record<string, string>;
  /** The same for one node alone. */
  nodeEnv?: (node: string) => Record<string, string>;
}

export interface Stack {
  dir: string;
  nodes: string[];
  address: string;
  uiUrl?: string;
  /** The page to look at, of the control worker. */
  dashboardUrl: string;
  client: Client;
  dataOf(node: string): string;
  /** With the database that it is on. */
  server: Part;
  onPostgres?: TemporalOnPostgres;
  control: Part;
  node(name: string): Part;
  stop(): Promise<void>;
}

export async function startStack(options: StackOptions): Promise<Stack> {
  const { dir, nodes, hub, ui = false, settings = [], pool = 'demo' } = options;
  const logs = join(dir, 'logs');
  await mkdir(logs, { recursive: true });
  const onPostgres = options.postgres ? await createTemporalOnPostgres({ dir, logs, settings }) : undefined;
  const dbFile = join(dir, 'temporal.db');
  const server = onPostgres ?? (await createTemporalServer({ dbFile, log: join(logs, 'temporal.log'), ui, settings }));
  const { address, uiUrl } = server;
  const dashboard = `${HOST}:${await freePort(HOST)}`;
  const env = {
    ...process.env,
    TEMPORAL_ADDRESS: address,
    PRETRAIN_REPORTS: join(dir, 'reports'),
    PRETRAIN_DASHBOARD: dashboard,
  };
  const worker = (role: string, more: Record<string, string> = {}) => ({
    command: [process.execPath, join(root, 'dist/workers/main.js'), role],
    env: { ...env, ...options.env, ...more },
    ready: /is ready/,
  });
  const dataOf = (name: string) => join(dir, 'nodes', name);

  const control = createPart(join(logs, 'control.log'), worker('control'));
  const workers = new Map(
    nodes.map((name) => [
      name,
      createPart(
        join(logs, `${name}.log`),
        worker('node', {
          PRETRAIN_NODE: name,
          PRETRAIN_ADDRESS: HOST,
          PRETRAIN_DATA: dataOf(name),
          PRETRAIN_POOL: pool,
          PRETRAIN_PROFILE: 'cpu',
          HF_ENDPOINT: hub,
          ...options.nodeEnv?.(name),
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
    await onPostgres?.remove();
    throw error;
  }
  const connection = await Connection.connect({ address });
  return {
    ...{ dir, nodes, address },
    ...(uiUrl && { uiUrl }),
    dashboardUrl: `http://${dashboard}/`,
    client: new Client({ connection }),
    dataOf,
    server,
    ...(onPostgres && { onPostgres }),
    control,
    node: (name) => workers.get(name)!,
    async stop() {
      await connection.close();
      await Promise.all(parts.slice(0, -1).map((part) => part.kill()));
      await server.kill();
      await onPostgres?.remove();
    },
  };
}
