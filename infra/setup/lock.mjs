/**
 * One set-up at a time in a checkout. The lock file lists its owner and the commands the owner started, each as pid and
 * start time; it is stale only when none of them lives, so an `npm ci` that outlived a killed set-up still holds it.
 */
import {
  appendFileSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The lock this process holds, if any. @type {string | undefined} */
let held;

/**
 * @template T
 * @param {string} file
 * @param {() => Promise<T>} work
 * @param {(pid: string) => void} [onWait] called once when somebody else holds the lock
 * @returns {Promise<T>}
 */
export async function withLock(file, work, onWait = () => {}) {
  mkdirSync(dirname(file), { recursive: true });
  for (let waited = false; !take(file); waited = true) {
    if (removeStale(file)) continue;
    if (!waited) onWait(living(file)?.[0]?.split(' ')[0] ?? 'unknown');
    await sleep(200);
  }
  held = file;
  try {
    return await work();
  } finally {
    held = undefined;
    rmSync(file, { force: true });
  }
}

/** Adds a command that this process started to the lock it holds. @param {number} pid */
export function noteChild(pid) {
  if (held !== undefined) appendFileSync(held, identity(pid));
}

/** A link, not an exclusive create: the lock then never exists without its owner's name in it. @param {string} file */
function take(file) {
  const mine = `${file}.${process.pid}`;
  writeFileSync(mine, identity(process.pid));
  try {
    linkSync(mine, file);
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EEXIST') return false;
    throw error;
  } finally {
    unlinkSync(mine);
  }
}

/**
 * Removes the lock when all who are named in it are dead. Looking and removing happen inside a guard directory, or two
 * waiters could both see a dead owner and the slower one would remove the faster one's new lock.
 * @param {string} file
 */
function removeStale(file) {
  if (!isStale(file)) return false;
  const guard = `${file}.guard`;
  try {
    mkdirSync(guard);
  } catch {
    // The guard is held for microseconds; one that is seconds old was left by a kill.
    if (ageMs(guard) > 5_000) rmSync(guard, { recursive: true, force: true });
    return false;
  }
  try {
    if (isStale(file)) rmSync(file, { force: true });
    return true;
  } finally {
    rmdirSync(guard);
  }
}

/** @param {string} file */
const isStale = (file) => living(file)?.length === 0;

/** Those named in the lock who live; undefined when there is no lock. @param {string} file */
function living(file) {
  const holders = read(file)
    ?.split('\n')
    .filter((line) => line !== '');
  return holders?.filter((line) => `${line}\n` === identity(Number(line.split(' ')[0])));
}

/** Pid and start time, so that a reused pid is not taken for the old owner; empty when there is no such process. */
function identity(/** @type {number} */ pid) {
  const stat = read(`/proc/${pid}/stat`);
  // The command name may hold spaces and brackets: count the fields from the last bracket on. State Z is a dead child.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields !== undefined) return fields[0] === 'Z' ? '' : `${pid} ${fields[19]}\n`;
  if (process.platform === 'linux') return '';
  try {
    process.kill(pid, 0);
    return `${pid} -\n`;
  } catch {
    return '';
  }
}

/** @param {string} file @returns {string | undefined} */
function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

/** @param {string} path */
function ageMs(path) {
  try {
    return Date.now() - statSync(path).mtimeMs;
  } catch {
    return 0;
  }
}
