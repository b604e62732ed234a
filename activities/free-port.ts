/** A TCP port of an address that nobody listens on now. */
import { createServer, type AddressInfo } from 'node:net';

export const freePort = (host: string): Promise<number> =>
  new Promise((done, fail) => {
    const server = createServer();
    server.once('error', fail);
    server.listen(0, host, () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => done(port));
    });
  });
