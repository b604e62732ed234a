/** A private PostgreSQL cluster on loopback, which can be killed and started again, thrown away, and restored. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../../activities/free-port.js';
import { killNode } from './kill-node.js';
import { createPart, HOST, type Part } from './part.js';

const run = promisify(execFile);

export interface Postgres extends Part {
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** Writes a dump of each database to a folder, while it is used. */
  dump(folder: string, databases: string[]): Promise<void>;
  /** Reads such dumps into databases that are there and empty. */
  restore(folder: string, databases: string[]): Promise<void>;
  /** Makes an empty cluster; a former one is gone with all that was in it. */
  create(): Promise<void>;
  remove(): Promise<void>;
}

const USER = 'temporal';

/** @param bin the directory of PostgreSQL's programs; starts nothing yet */
export async function createPostgres({ bin, log }: { bin: string; log: string }): Promise<Postgres> {
  const port = await freePort(HOST);
  const password = randomBytes(16).toString('hex');
  const owner = process.getuid?.() === 0 ? await unprivileged() : undefined;
  // Not below the checkout: the user that stands in for root might not get there.
  const home = await mkdtemp(join(tmpdir(), 'pretrain-postgres-'));
  // Also where this program ends otherwise than it was meant to.
  process.once('exit', () => rmSync(home, { recursive: true, force: true }));
  if (owner) await chown(home, owner.uid, owner.gid);
  const data = join(home, 'data');
  const at = ['-h', HOST, '-p', String(port)];
  const env = { ...process.env, PGUSER: USER, PGPASSWORD: password };
  const tool = (name: string, args: string[]) => run(join(bin, name), args, { env });
  const part = createPart(log, {
    command: [
      ...[join(bin, 'postgres'), '-D', data, '-p', String(port)],
      ...['-c', `listen_addresses=${HOST}`, '-c', 'unix_socket_directories='],
    ],
    env: process.env,
    ...(owner && { owner }),
    ready: () =>
      tool('pg_isready', at).then(
        () => true,
        () => false,
      ),
  });
  return {
    ...{ port, user: USER, password },
    get pid() {
      return part.pid;
    },
    start: () => part.start(),
    // Its processes work in its data directory, and one that is left keeps a new server from starting.
    kill: (signal) => (signal === 'SIGKILL' ? killNode(part, data) : part.kill('SIGINT')),
    async create() {
      await rm(data, { recursive: true, force: true });
      const file = join(home, 'password');
      await writeFile(file, password, { mode: 0o600 });
      if (owner) await chown(file, owner.uid, owner.gid);
      const secret = ['-A', 'scram-sha-256', '-U', USER, `--pwfile=${file}`];
      await run(join(bin, 'initdb'), ['-D', data, '-E', 'UTF8', '--locale=C', ...secret], { cwd: home, ...owner });
      await rm(file);
    },
    async dump(folder, databases) {
      await mkdir(folder, { recursive: true });
      for (const name of databases) await tool('pg_dump', [...at, '-Fc', '-f', join(folder, `${name}.dump`), name]);
    },
    async restore(folder, databases) {
      const whole = ['--exit-on-error', '--single-transaction'];
      for (const name of databases)
        await tool('pg_restore', [...at, ...whole, '-d', name, join(folder, `${name}.dump`)]);
    },
    remove: () => rm(home, { recursive: true, force: true }),
  };
}

/** PostgreSQL refuses to be root. */
async function unprivileged(): Promise<{ uid: number; gid: number }> {
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const found = ['postgres', 'nobody'].flatMap((name) => users.filter(([user]) => user === name))[0];
  if (!found) throw new Error('PostgreSQL does not run as root, and there is no user postgres or nobody');
  return { uid: Number(found[2]), gid: Number(found[3]) };
}
