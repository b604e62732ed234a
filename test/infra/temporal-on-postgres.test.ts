/** PostgreSQL below the demo's Temporal server. The two together are what `npm run demo -- --postgres` runs. */
import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createPostgres } from '../../infra/demo/postgres.js';
import { dynamicConfigOf } from '../../infra/demo/temporal-on-postgres.js';
import { findPostgres } from '../../infra/setup/postgres.mjs';
import { findTemporalOnPostgres, serverRelease } from '../../infra/setup/temporal-on-postgres.mjs';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'on-postgres-'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(dir, { recursive: true, force: true });
});

describe('where PostgreSQL is', () => {
  it('is what POSTGRES_BIN says, and when that is wrong, what is missing there is named', () => {
    vi.stubEnv('POSTGRES_BIN', dir);
    expect(findPostgres).toThrow(`POSTGRES_BIN names ${dir}, where there is no postgres, initdb`);
  });

  it('is looked for before anything is built', async () => {
    vi.stubEnv('POSTGRES_BIN', dir);
    vi.stubEnv('PATH', dir);
    await expect(findTemporalOnPostgres()).rejects.toThrow('POSTGRES_BIN');
  });
});

it('settings of the development server are written as those of the real one', () => {
  expect(dynamicConfigOf(['frontend.namespaceCount=20000', 'a.b=true'])).toBe(
    '{"frontend.namespaceCount":[{"value":20000}],"a.b":[{"value":true}]}',
  );
});

it('the server that is built is a release', () => expect(serverRelease).toMatch(/^\d+\.\d+\.\d+$/));

const bin = (() => {
  try {
    return findPostgres();
  } catch {
    return undefined;
  }
})();
it.skipIf(!bin || spawnSync('psql', ['--version']).status !== 0)(
  'a database comes back after kill -9 of all its processes, and from a dump after it was thrown away (needs PostgreSQL)',
  async () => {
    const database = await createPostgres({ bin: bin!, log: join(dir, 'postgres.log') });
    const sql = async (name: string, text: string) => {
      const { port, user, password } = database;
      const args = ['-h', '127.0.0.1', '-p', String(port), '-U', user, '-d', name, '-Atc', text];
      const env = { ...process.env, PGPASSWORD: password };
      return (await promisify(execFile)('psql', args, { env })).stdout.trim();
    };
    try {
      await database.create();
      await database.start();
      await sql('postgres', 'create database runs');
      await sql('runs', 'create table run as select 7 as iteration');
      await database.kill('SIGKILL');
      await expect(sql('runs', 'select 1')).rejects.toThrow();
      await database.start();
      expect(await sql('runs', 'select iteration from run')).toBe('7');

      await database.dump(dir, ['runs']);
      await database.kill('SIGKILL');
      await database.create();
      await database.start();
      await sql('postgres', 'create database runs');
      await database.restore(dir, ['runs']);
      expect(await sql('runs', 'select iteration from run')).toBe('7');
    } finally {
      await database.kill();
      await database.remove();
    }
  },
);
