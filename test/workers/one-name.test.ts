/** Two machines of one image have one name: the second worker says so, and takes no tasks. */
import { NativeConnection, Worker } from '@temporalio/worker';
import { expect, inject, it } from 'vitest';
import { startFileService } from '../../activities/file-service.js';
import { identityOf, onlyOfName } from '../../workers/one-name.js';
import { startFakeCluster } from '../support/fake-cluster.js';
import { tempDir } from '../support/temp-dir.js';

it('refuses to be a second worker of its name while the first answers, and follows one that is gone', async (test) => {
  const { client, pool } = await startFakeCluster(test);
  const name = `n-${pool}`;
  const files = await startFileService({ dataDir: await tempDir(), host: '127.0.0.1', port: 0, name });
  const first = { name, address: '127.0.0.1', port: files.port };
  const connection = await NativeConnection.connect({ address: inject('temporalAddress') });
  const worker = await Worker.create({
    ...{ connection, taskQueue: `node-${name}`, identity: identityOf(first) },
    activities: { anything: () => Promise.resolve() },
  });
  const running = worker.run();
  try {
    const second = { name, address: '127.0.0.1', port: files.port + 1 };
    // The server knows of a poller with its first poll.
    const refused = expect.poll(() => onlyOfName(client, second).catch(String), { timeout: 10_000 });
    await refused.toContain(`another node worker calls itself ${name}, at 127.0.0.1:${files.port}`);
    await onlyOfName(client, first);
    await files.close();
    await onlyOfName(client, second);
  } finally {
    worker.shutdown();
    await running;
    await connection.close();
  }
});
