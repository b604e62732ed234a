/**
 * What every set-up step needs: say what is being done, run a command with its output in a log, fail in one clear line.
 * Everything is said on stderr, so that `npm run -s temporal -- … -o json` and `--json` keep stdout to themselves.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { noteChild } from './lock.mjs';
import { startGroup } from './process-group.mjs';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const cache = join(root, '.cache');

/** A failure that a person can act on: the message is the whole story in one line, `detail` is a tail of output. */
export class SetupError extends Error {
  /** @param {string} message @param {string} [detail] */
  constructor(message, detail = '') {
    super(message);
    this.detail = detail;
  }
}

const started = Date.now();
let lines = 0;

export const elapsed = () => `${((Date.now() - started) / 1000).toFixed(1)} s`;
export const saidAnything = () => lines > 0;

/** @param {string} lane who speaks: several steps run at once @param {string} text */
export function say(lane, text) {
  lines += 1;
  console.error(`[${elapsed().padStart(8)}] ${lane.padEnd(8)} ${text}`);
}

/**
 * Runs a command with its output in .cache/logs/<log>.log and resolves when it succeeded.
 * @param {string} log
 * @param {string} command
 * @param {string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, cwd?: string, timeoutMs?: number }} [options]
 * @returns {Promise<void>}
 */
export function run(log, command, args, { env = process.env, cwd = root, timeoutMs = 0 } = {}) {
  const logFile = join(cache, 'logs', `${log}.log`);
  mkdirSync(dirname(logFile), { recursive: true });
  writeFileSync(logFile, `$ ${[command, ...args].join(' ')}\n`);
  const output = openSync(logFile, 'a');
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', output, output] });
    closeSync(output);
    if (child.pid !== undefined) noteChild(child.pid);
    const timer = timeoutMs > 0 ? setTimeout(() => child.kill('SIGKILL'), timeoutMs) : undefined;
    // Short here: the command itself is the log's first line.
    const fail = (/** @type {string} */ how) => {
      clearTimeout(timer);
      const tail = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-20).join('\n');
      reject(new SetupError(`${log} ${how} (log: ${logFile})`, tail));
    };
    child.once('error', (error) => fail(`could not be started: ${error.message}`));
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      if (code === 0) resolve();
      else fail(signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`);
    });
  });
}

/**
 * Asks a command something: its stdout, or undefined when it is not there, fails or takes too long.
 * @param {string} command
 * @param {string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, timeoutMs?: number }} [options]
 * @returns {Promise<string | undefined>}
 */
export function ask(command, args, { env = process.env, timeoutMs = 60_000 } = {}) {
  return new Promise((resolve) => {
    const { child, end } = startGroup(command, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'ignore'] });
    const { stdout } = child;
    let answer = '';
    stdout?.setEncoding('utf8').on('data', (chunk) => (answer += chunk));
    const finish = (/** @type {string | undefined} */ result) => {
      clearTimeout(timer);
      end();
      stdout?.destroy();
      resolve(result);
    };
    let timer = setTimeout(() => finish(undefined), timeoutMs);
    child.once('error', () => finish(undefined));
    // What it started may hold its stdout open for ever; what it has written itself arrives at once.
    child.once('exit', (code) => {
      end();
      const last = () => finish(code === 0 ? answer : undefined);
      child.once('close', last);
      clearTimeout(timer);
      timer = setTimeout(last, LAST_WORDS_MS);
    });
  });
}

/** For output that a command wrote before it ended. */
const LAST_WORDS_MS = 1000;

/**
 * The entry point of a set-up program: failures become one clear line and exit code 1.
 * @param {() => Promise<void>} work
 */
export async function program(work) {
  try {
    await work();
  } catch (error) {
    for (const failure of error instanceof AggregateError ? error.errors : [error]) report(failure);
    process.exitCode = 1;
  }
}

/** @param {unknown} failure */
function report(failure) {
  if (failure instanceof SetupError && failure.detail !== '') console.error(failure.detail.replace(/^/gm, '    | '));
  // A folder of somebody else's says enough in its message; anything else is a bug and needs its stack.
  const isExpected = failure instanceof Error && (failure instanceof SetupError || 'code' in failure);
  const full = isExpected ? fullPlaces(failure) : undefined;
  if (isExpected && full)
    console.error(
      `set-up failed: no space left in ${full}: ${failure.message}. Free some space and start again; what is finished is not done twice`,
    );
  else console.error('set-up failed:', isExpected ? failure.message : failure);
}

/** Set-up itself writes below the checkout only; a command that it runs may also have filled the temporary directory. */
function fullPlaces(/** @type {Error} */ failure) {
  if (failure instanceof SetupError)
    return /ENOSPC|EDQUOT|No space left on device|Disk quota exceeded/.test(failure.detail)
      ? `${root} or ${tmpdir()}`
      : undefined;
  const { code = '', path } = /** @type {NodeJS.ErrnoException} */ (failure);
  return ['ENOSPC', 'EDQUOT'].includes(code) ? (path ? dirname(path) : root) : undefined;
}
