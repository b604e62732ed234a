import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below those that a system gives to whoever does not name one: nobody gets it between this look and its use. */
const [FIRST, COUNT] = [20_000, 10_000];

/** A port that is free now on loopback. @returns {Promise<number>} */
export async function freePort() {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    const probe = createServer().listen(port, '127.0.0.1');
    try {
      await once(probe, 'listening');
      await new Promise((done) => probe.close(done));
      return port;
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EADDRINUSE') throw error;
    }
  }
}
