/** PostgreSQL's own programs: POSTGRES_BIN, else on PATH, else where Debian puts them, newest first. */
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import { SetupError } from './step.mjs';

const programs = ['postgres', 'initdb', 'pg_isready', 'pg_dump', 'pg_restore'];
const debian = '/usr/lib/postgresql';

/**
 * Not installed when it is not there: Debian's package would start a database for the whole machine.
 * @returns {string} the directory with all of them
 */
export function findPostgres() {
  const named = process.env.POSTGRES_BIN;
  if (named) {
    const missing = missingIn(resolve(named));
    if (missing.length === 0) return resolve(named);
    throw new SetupError(`POSTGRES_BIN names ${named}, where there is no ${missing.join(', ')}`);
  }
  const found = [...onPath(), ...debians()].find((folder) => missingIn(folder).length === 0);
  if (found !== undefined) return found;
  throw new SetupError(
    'no PostgreSQL server here: install it (on Debian `apt-get install postgresql`), or name the directory of its programs with POSTGRES_BIN',
  );
}

const missingIn = (/** @type {string} */ folder) => programs.filter((name) => !existsSync(join(folder, name)));

/** The real place of each: a folder on PATH may hold links to some of them. */
const onPath = () =>
  (process.env.PATH ?? '')
    .split(delimiter)
    .filter(Boolean)
    .map((folder) => join(resolve(folder), 'postgres'))
    .filter(existsSync)
    .map((binary) => dirname(realpathSync(binary)));

const debians = () =>
  (existsSync(debian) ? readdirSync(debian) : [])
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => join(debian, version, 'bin'));
