import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { expect, test } from 'vitest';
import { createTemporalServer } from '../../infra/demo/temporal-server.js';

test('a server that is killed comes back on its port with what it had accepted', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'temporal-server-'));
  const server = await createTemporalServer({ dbFile: join(dir, 'temporal.db'), log: join(dir, 'temporal.log') });
  try {
    await server.start();
    const connection = await Connection.connect({ address: server.address });
    const client = new Client({ connection });
    const handle = await client.workflow.start('nobodyRunsThis', { taskQueue: 'none', workflowId: 'kept' });
    const first = server.pid!;

    await server.kill('SIGKILL');
    expect(() => process.kill(first, 0)).toThrow();
    await server.start();

    expect(server.pid).not.toBe(first);
    expect((await handle.describe()).status.name).toBe('RUNNING');
    await connection.close();
  } finally {
    await server.kill();
    await rm(dir, { recursive: true, force: true });
  }
});
