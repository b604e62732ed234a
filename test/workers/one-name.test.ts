/** Two machines of one image have one name: the second worker says so, and takes no tasks. */
import { NativeConnection, Worker } from '@temporalio/worker';
import { expect, inject, it, onTestFinished } from 'vitest';
import { startFileService } from '../../activities/file-service.js';
import { identityOf, onlyOfName } from '../../workers/one-name.js';
import { startFakeCluster } from '../support/fake-cluster.js';
import { tempDir } from '../support/temp-dir.js';
import { testCertificate } from '../support/test-certificate.js';
import { testNode } from '../support/test-node.js';

const how = 'refuses to be a second worker of its name while the first answers, and follows one that is gone';
it.each(['http', 'https'])(`${how}, over %s`, async (protocol) => {
  const { client, pool } = await startFakeCluster({ onTestFinished });
  const name = `n-${pool}`;
  const tls = protocol === 'https' ? await testCertificate() : undefined;
  const files = await startFileService({ dataDir: await tempDir(), host: '127.0.0.1', port: 0, name, tls });
  const first = await testNode(name, { port: files.port, ...(tls && { tls: true, peerCa: tls.cert }) });
  const second = { ...first, port: files.port + 1 };
  const connection = await NativeConnection.connect({ address: inject('temporalAddress') });
  const worker = await Worker.create({
    ...{ connection, taskQueue: `node-${name}`, identity: identityOf(first) },
    activities: { anything: () => Promise.resolve() },
  });
  const running = worker.run();
  try {
    // The server knows of a poller with its first poll.
    const refused = expect.poll(() => onlyOfName(client, second).catch(String));
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
