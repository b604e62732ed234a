/** One agent a node: two would split a node's tasks at random between them. */
import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { createServer } from 'node:net';

/**
 * Holds the data directory for this process. The lock is a socket in the kernel's abstract namespace: it cannot
 * be left behind by a crash, and two starts at once cannot both win.
 * @throws Error when another agent has it
 */
export async function onlyAgent(dataDir: string): Promise<() => Promise<void>> {
  const name = createHash('sha256')
    .update(await realpath(dataDir))
    .digest('hex')
    .slice(0, 32);
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'EADDRINUSE'
          ? new Error(
              `another node worker uses the data directory ${dataDir}. There is one agent a node: stop that one first`,
            )
          : error,
      ),
    );
    server.listen(`\0pretrain-agent-${name}`, resolve);
  });
  server.unref();
  return () => new Promise((resolve) => void server.close(() => resolve()));
}
