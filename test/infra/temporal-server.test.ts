import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import type { MetricGauge } from '@temporalio/common';
import { expect, test, vi } from 'vitest';
import { createTemporalServer, temporalBinary } from '../../infra/demo/temporal-server.js';
import { measureServer } from '../../workers/server-metrics.js';

test('a server that is killed comes back on its port with what it had accepted, and workers tell how long it was silent', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'temporal-server-'));
  const server = await createTemporalServer({ dbFile: join(dir, 'temporal.db'), log: join(dir, 'temporal.log') });
  try {
    await server.start();
    const connection = await Connection.connect({ address: server.address });
    const client = new Client({ connection });
    const handle = await client.workflow.start('nobodyRunsThis', { taskQueue: 'none', workflowId: 'kept' });
    const first = server.pid!;
    vi.stubEnv('TEMPORAL_ADDRESS', server.address);
    const silent: number[] = [];
    const gauge = { set: (value: number) => void silent.push(value) };
    const stop = measureServer({ createGauge: () => gauge as unknown as MetricGauge }, 100);
    await expect.poll(() => silent.at(-1)).toBe(0);

    await server.kill('SIGKILL');
    expect(() => process.kill(first, 0)).toThrow();
    await expect.poll(() => silent.at(-1)).toBeGreaterThan(0);
    await server.start();
    await expect.poll(() => silent.at(-1)).toBe(0);
    stop();
    vi.unstubAllEnvs();

    expect(server.pid).not.toBe(first);
    expect((await handle.describe()).status.name).toBe('RUNNING');
    await connection.close();
  } finally {
    await server.kill();
    await rm(dir, { recursive: true, force: true });
  }
});

test('the server is the one that set-up found, unless TEMPORAL_BIN names another; empty, it names none', async () => {
  vi.stubEnv('TEMPORAL_BIN', undefined);
  const found = await temporalBinary();
  expect(isAbsolute(found)).toBe(true);
  vi.stubEnv('TEMPORAL_BIN', '');
  expect(await temporalBinary()).toBe(found);
  vi.stubEnv('TEMPORAL_BIN', '/opt/temporal');
  expect(await temporalBinary()).toBe('/opt/temporal');
  vi.unstubAllEnvs();
});
