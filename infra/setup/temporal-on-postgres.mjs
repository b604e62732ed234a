/**
 * What a Temporal server on PostgreSQL needs: PostgreSQL's programs, the server itself and the tool for its schema.
 * The development server of the CLI knows SQLite alone. As a program, it prints where they are, as JSON.
 */
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { withLock } from './lock.mjs';
import { findPostgres } from './postgres.mjs';
import { ask, cache, program, run, say, SetupError } from './step.mjs';

/** The server that infra/deploy installs. */
export const serverRelease = '1.31.2';

const goModule = 'go.temporal.io/server/cmd';
const built = join(cache, 'temporal', `server-${serverRelease}`);

/** @returns {Promise<{ postgres: string, server: string, sqlTool: string }>} a directory, and two programs */
export async function findTemporalOnPostgres() {
  // First, since it takes no time: nobody should wait for a build to hear that there is no database.
  const postgres = findPostgres();
  return { postgres, ...((await onPath()) ?? (await fromSource())) };
}

async function onPath() {
  const version = await ask('temporal-server', ['--version']);
  const [major = 0, minor = 0] =
    /(\d+)\.(\d+)\./
      .exec(version ?? '')
      ?.slice(1)
      .map(Number) ?? [];
  // From 1.30 on a server takes its configuration from the environment.
  const isNewEnough = major > 1 || (major === 1 && minor >= 30);
  if (!isNewEnough || (await ask('temporal-sql-tool', ['--version'])) === undefined) return undefined;
  return { server: 'temporal-server', sqlTool: 'temporal-sql-tool' };
}

/** Both programs at once, in a folder of their own that gets its name when they have run. */
async function fromSource() {
  const found = { server: join(built, 'server'), sqlTool: join(built, 'sql') };
  if (existsSync(built)) return found;
  if ((await ask('go', ['version'])) === undefined)
    throw new SetupError(
      `no Go to build the Temporal server with: install Go, or put temporal-server and temporal-sql-tool ${serverRelease} on PATH`,
    );
  say('temporal', `go install ${goModule}/server@v${serverRelease} (once, 3 to 8 minutes)`);
  const scratch = `${built}.part`;
  rmSync(scratch, { recursive: true, force: true });
  mkdirSync(scratch, { recursive: true });
  const env = { ...process.env, CGO_ENABLED: '0', GOBIN: scratch };
  const wanted = ['server', 'tools/sql'].map((path) => `${goModule}/${path}@v${serverRelease}`);
  await run('temporal-server-go', 'go', ['install', '-ldflags', '-s -w', ...wanted], { env });
  const version = await ask(join(scratch, 'server'), ['--version']);
  if (!version?.includes(serverRelease))
    throw new SetupError(`the server that was built says ${version?.trim() ?? 'nothing'}, wanted ${serverRelease}`);
  mkdirSync(dirname(built), { recursive: true });
  renameSync(scratch, built);
  return found;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  await program(async () => {
    console.log(JSON.stringify(await withLock(join(cache, 'setup.lock'), findTemporalOnPostgres)));
  });
