/** A Temporal development server on a SQLite file, which can be killed and started again on it. */
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Connection } from '@temporalio/client';
import { root } from '../../workers/config.js';
import { freePort } from '../../activities/free-port.js';
import { createPart, HOST, type Part } from './part.js';

export interface TemporalServer extends Part {
  readonly address: string;
  readonly uiUrl?: string;
}

/** Chooses its ports and keeps them; starts nothing yet. */
export async function createTemporalServer(options: {
  dbFile: string;
  log: string;
  ui?: boolean;
  /** Settings of the server, `name=value`. */
  settings?: string[];
  /** The machine it runs on, where that is not this one: its address, and how to run a command there. */
  on?: { address: string; command(argv: string[]): string[] };
}): Promise<TemporalServer> {
  const { dbFile, log, ui = false, settings = [], on } = options;
  const port = await freePort(HOST);
  const uiPort = ui ? await freePort(HOST) : undefined;
  const address = `${on?.address ?? HOST}:${port}`;
  // It dials its own services on loopback: bound to one other address, it would not find them.
  const bind = on ? '0.0.0.0' : HOST;
  const command = [
    ...[await temporalBinary(), 'server', 'start-dev', '--ip', bind, '--port', String(port), '--log-level', 'error'],
    // SQLite's default journal stalls under a burst of activities.
    ...['--db-filename', dbFile, '--sqlite-pragma', 'journal_mode=wal', '--sqlite-pragma', 'synchronous=1'],
    ...settings.flatMap((setting) => ['--dynamic-config-value', setting]),
    ...(uiPort ? ['--ui-port', String(uiPort)] : ['--headless']),
  ];
  const part = createPart(log, {
    command: on ? on.command(command) : command,
    env: process.env,
    ready: () => answers(address),
  });
  return {
    address,
    ...(uiPort && { uiUrl: `http://${HOST}:${uiPort}` }),
    get pid() {
      return part.pid;
    },
    start: () => part.start(),
    kill: (signal) => part.kill(signal),
  };
}

/** Answering is having the namespace: the port is open a little earlier. */
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
    process.env['TEMPORAL_BIN'] || resolve(root, (await readFile(join(root, '.cache/temporal/path'), 'utf8')).trim())
  );
}
