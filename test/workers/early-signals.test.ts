/** A worker whose server does not answer can be ended, and says what it waits for. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { root } from '../../workers/config.js';

it('SIGINT ends a worker that waits for an answer', async () => {
  const silent = createServer(() => undefined).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  onTestFinished(() => void silent.close());
  const address = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const env = { ...process.env, TEMPORAL_ADDRESS: address, PRETRAIN_DASHBOARD: 'off' };
  const command = ['--import', 'tsx', 'workers/main.ts', 'control'];
  const worker = spawn(process.execPath, command, { cwd: root, env, stdio: ['ignore', 'ignore', 'pipe'] });
  onTestFinished(() => void worker.kill('SIGKILL'));
  const [line] = (await once(worker.stderr, 'data')) as [Buffer];
  expect(String(line)).toBe(`no Temporal server at ${address} yet (it does not answer); waiting\n`);
  worker.kill('SIGINT');
  expect(await once(worker, 'exit')).toEqual([130, null]);
});
