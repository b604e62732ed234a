/** One process a directory, of each kind. */
import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { createServer } from 'node:net';
import { errorCode } from './atomic.js';

export type Holder = 'agent' | 'demo' | 'copier';

/**
 * Holds a directory for this process, until what is returned is called or the process ends. The lock is a socket in the
 * kernel's abstract namespace: it cannot be left behind by a crash, and two starts at once cannot both win.
 * @returns `undefined` when another process has it
 */
export async function holdDirectory(dir: string, what: Holder): Promise<(() => Promise<void>) | undefined> {
  const name = createHash('sha256')
    .update(await realpath(dir))
    .digest('hex')
    .slice(0, 32);
  const server = createServer();
  const isHeld = await new Promise<boolean>((resolve, reject) => {
    server.once('error', (error) => (errorCode(error) === 'EADDRINUSE' ? resolve(false) : reject(error)));
    server.listen(`\0pretrain-${what}-${name}`, () => resolve(true));
  });
  if (!isHeld) return undefined;
  server.unref();
  return () => new Promise((resolve) => void server.close(() => resolve()));
}
