/** One process a directory: two agents would split a node's tasks at random between them, two demos wipe each other's data. */
import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { createServer } from 'node:net';
import { errorCode } from '../activities/atomic.js';

/**
 * Holds a directory for this process. The lock is a socket in the kernel's abstract namespace: it cannot
 * be left behind by a crash, and two starts at once cannot both win.
 * @param what who holds such a lock, as others are told
 * @throws Error when another process has it
 */
export async function onlyProcess(dir: string, what: 'agent' | 'demo', message: string): Promise<() => Promise<void>> {
  const name = createHash('sha256')
    .update(await realpath(dir))
    .digest('hex')
    .slice(0, 32);
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(errorCode(error) === 'EADDRINUSE' ? new Error(message) : error));
    server.listen(`\0pretrain-${what}-${name}`, resolve);
  });
  server.unref();
  return () => new Promise((resolve) => void server.close(() => resolve()));
}

/** @throws Error when another node worker has the data directory */
export const onlyAgent = (dataDir: string): Promise<() => Promise<void>> =>
  onlyProcess(
    dataDir,
    'agent',
    `another node worker uses the data directory ${dataDir}. There is one agent a node: stop that one first`,
  );
