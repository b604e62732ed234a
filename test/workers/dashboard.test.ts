/** Who may look at the dashboard, and what a browser is allowed to do with it. */
import { get } from 'node:http';
import { Client, Connection } from '@temporalio/client';
import { expect, inject, it, onTestFinished } from 'vitest';
import { readControlConfig } from '../../workers/config.js';
import { startDashboard, type DashboardOptions } from '../../workers/dashboard.js';

async function dashboard(more: Partial<DashboardOptions> = {}): Promise<string> {
  const connection = await Connection.connect({ address: inject('temporalAddress') });
  const page = await startDashboard({ client: new Client({ connection }), host: '127.0.0.1', port: 0, ...more });
  onTestFinished(async () => {
    await page.close();
    await connection.close();
  });
  return page.url;
}

it('is read-only, and lets a browser run nothing but its own scripts and ask nobody else', async () => {
  const url = await dashboard();
  const answer = await fetch(url);
  expect([answer.status, await answer.text()]).toEqual([200, expect.stringContaining('<h1>Pretraining</h1>')]);
  expect(answer.headers.get('content-security-policy')).toMatch(
    /default-src 'none'.*script-src 'nonce-[^']+'; connect-src 'self'/,
  );
  expect((await fetch(url, { method: 'POST' })).status).toBe(404);
  const unknown = await fetch(`${url}runs/no-such-run`);
  expect([unknown.status, await unknown.text()]).toEqual([404, expect.stringContaining('no run no-such-run')]);
});

it('does not answer under a name that somebody else has given this machine', async () => {
  const url = await dashboard();
  const { port } = new URL(url);
  const statusFor = (host: string) =>
    new Promise((done) => get({ port, headers: { host } }, ({ statusCode }) => done(statusCode)));
  expect(await statusFor(`evil.example:${port}`)).toBe(403);
  expect(await statusFor(`localhost:${port}`)).toBe(200);
});

it('shows what it can where workers of a run and of a pool are gone', async () => {
  const connection = await Connection.connect({ address: inject('temporalAddress') });
  onTestFinished(() => connection.close());
  const { workflow } = new Client({ connection });
  const left = { taskQueue: 'nobody-works-here', args: [{}] };
  const [pool, run] = [`pool-left-${Date.now()}`, `run-left-${Date.now()}`];
  const started = [
    await workflow.start('nodePool', { ...left, workflowId: pool }),
    await workflow.start('pretrain', { ...left, workflowId: run }),
  ];
  onTestFinished(async () => {
    for (const handle of started) await handle.terminate();
  });
  const url = await dashboard();
  await expect.poll(() => fetch(url).then((answer) => answer.text())).toContain(run);
  const began = performance.now();
  const page = await (await fetch(url)).text();
  expect(performance.now() - began).toBeLessThan(8_000);
  expect(page).toContain(`<h2>${pool}</h2><p class="soft">no control worker answers for this pool</p>`);
});

it('with a token is shown to who has it: in a header, or once in the address and then by cookie', async () => {
  const url = await dashboard({ token: 'open sesame' });
  expect((await fetch(url)).status).toBe(401);
  expect((await fetch(`${url}?token=guess`)).status).toBe(401);
  expect((await fetch(url, { headers: { authorization: 'Bearer open sesame' } })).status).toBe(200);
  const first = await fetch(`${url}?token=open%20sesame`, { redirect: 'manual' });
  expect([first.status, first.headers.get('location')]).toEqual([302, '/']);
  const cookie = first.headers.get('set-cookie')!;
  expect(cookie).toMatch(/HttpOnly; SameSite=Strict/);
  expect((await fetch(url, { headers: { cookie: cookie.split(';')[0]! } })).status).toBe(200);
});

it.each<[Record<string, string>, object | undefined]>([
  [{}, { host: '127.0.0.1', port: 7280, isDefault: true }],
  [{ PRETRAIN_DASHBOARD: 'off' }, undefined],
  [{ PRETRAIN_DASHBOARD: '[::1]:80' }, { host: '::1', port: 80, isDefault: false }],
  [
    { PRETRAIN_DASHBOARD: '0.0.0.0:80', PRETRAIN_DASHBOARD_TOKEN: 't' },
    { host: '0.0.0.0', port: 80, isDefault: false, token: 't' },
  ],
])('is served as %j says', (env, expected) => expect(readControlConfig(env).dashboard).toEqual(expected));

it('is not opened to other machines without a token', () => {
  expect(() => readControlConfig({ PRETRAIN_DASHBOARD: '0.0.0.0:80' })).toThrow(
    'PRETRAIN_DASHBOARD_TOKEN: expected a token, since PRETRAIN_DASHBOARD = 0.0.0.0:80 is open to other machines',
  );
});

it.each(['yes', '127.0.0.1', '127.0.0.1:99999', ':80'])('is refused at %s, by the name of its variable', (at) => {
  expect(() => readControlConfig({ PRETRAIN_DASHBOARD: at })).toThrow(
    `PRETRAIN_DASHBOARD: expected host:port with a port up to 65535, or "off", got "${at}"`,
  );
});
