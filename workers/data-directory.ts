/** The data directory takes what this worker writes: proven before it joins, and asked for as long as it runs. */
import { execFile } from 'node:child_process';
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../activities/atomic.js';

const ALIVE = '.alive';
/** What may be a link to shared storage, which hangs by itself. */
const LINKS = ['datasets', 'models', 'series'];

/**
 * Makes the directory where there is none.
 * @param onSilent called when it does not answer at all, as NFS without its server
 * @throws Error that says what is the matter with it
 */
export async function proveUsable(dataDir: string, onSilent: () => void, patienceMs = 15_000): Promise<void> {
  const timer = setTimeout(onSilent, patienceMs);
  await write(dataDir)
    .catch((error: unknown) => {
      throw new Error(`PRETRAIN_DATA: ${dataDir} ${whyNot(error)}`);
    })
    .finally(() => clearTimeout(timer));
}

/** Ends this process as if it were killed, for an exit would wait for the threads that hang. What it launched lives on. */
export function endSilent(dataDir: string): void {
  process.stderr.write(
    `PRETRAIN_DATA: ${dataDir} does not answer: is its disk well, and is what it is mounted from there? This worker ends, for its node can do nothing\n`,
  );
  process.kill(process.pid, 'SIGKILL');
  // The first process of a container cannot kill itself.
  process.abort();
}

async function write(dataDir: string): Promise<void> {
  await mkdir(dataDir, { recursive: true });
  const path = join(dataDir, ALIVE);
  await rm(path, { force: true });
  await writeFile(path, '', { flag: 'wx' });
  // As this file system sees users, which over a network may be another view.
  const [mine, first] = await Promise.all([stat(path), stat(join(dataDir, 'node-name')).catch(() => undefined)]);
  if (first && first.uid !== mine.uid)
    throw new Error(
      `was begun by user ${first.uid}, and this worker runs as user ${mine.uid}: what one writes, the other cannot replace. Run it as user ${first.uid}, or give all of the directory to user ${mine.uid} (chown -R)`,
    );
}

function whyNot(error: unknown): string {
  const user = process.getuid?.() ?? 'of this worker';
  const said: Record<string, string> = {
    EACCES: `cannot be written by user ${user}. Run the worker as its owner, or give it to this user (chown -R)`,
    EROFS: 'is on a file system that is mounted read-only',
    ENOSPC: 'is full: out of space or out of inodes (df, df -i)',
    EDQUOT: 'is full: the quota of this user is used up',
    ENOTDIR: 'is no directory, or is below a file',
    EEXIST: 'is no directory',
  };
  const { message } = error as Error;
  return said[errorCode(error) ?? ''] ?? (errorCode(error) ? `cannot be used: ${message}` : message);
}

/**
 * Asks the directory regularly, and what is linked there. Steps of a worker whose disk hangs would beat on and never
 * end: nobody could take its node for lost.
 * @param onSilent called once, when one question has been open for `patience` further turns
 * @returns what ends it
 */
export function watchDirectory(
  dataDir: string,
  onSilent: () => void,
  { everyMs = 15_000, patience = 4 } = {},
): () => void {
  let isOpen = false;
  // Turns, not time: a worker that was stopped itself has not listened meanwhile.
  let turns = 0;
  const timer = setInterval(() => {
    if (isOpen) {
      if (++turns === patience) onSilent();
      return;
    }
    [isOpen, turns] = [true, 0];
    void ask(dataDir).finally(() => (isOpen = false));
  }, everyMs);
  return () => clearInterval(timer);
}

/**
 * By a process of its own, since this one's threads for files may all be busy with a disk that is only slow. It changes a
 * time of a file, not bytes of it, which would wait for all that others are writing. An error is an answer as well.
 */
const ask = (dataDir: string): Promise<void> =>
  new Promise((answered) => {
    const links = LINKS.map((name) => join(dataDir, name, '.'));
    const args = ['-c', 'touch -c "$0"; stat -L "$@"', join(dataDir, ALIVE), ...links];
    execFile('sh', args, () => answered());
  });
