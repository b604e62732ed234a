import { randomBytes } from 'node:crypto';
import { mkdir, realpath, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { sealArtifact } from '../../activities/artifact.js';
import { startFileService } from '../../activities/file-service.js';
import { grantAccess } from '../../activities/grants.js';
import { whileShown } from '../../activities/partial.js';
import { timeLimit } from '../../activities/time-limit.js';
import { pullArtifact } from '../../activities/transfer.js';
import { peerOf } from '../../workflows/contract.js';
import { tempDir } from '../support/temp-dir.js';
import { testCertificate } from '../support/test-certificate.js';
import { testNode } from '../support/test-node.js';

const DAY = 24 * 3_600_000;

async function nodeWithData({ linked: isLinked = false } = {}) {
  const { dataDir } = await testNode('n01');
  if (isLinked) await symlink(await tempDir(), join(dataDir, 'datasets'));
  const put = async (path: string, text: string) => {
    await mkdir(dirname(join(dataDir, path)), { recursive: true });
    await writeFile(join(dataDir, path), text);
  };
  await put('datasets/k/prefix.bin', '0123456789');
  await put('datasets/k/unlisted.txt', 'secret');
  await put('runs/r/command.json', 'secret');
  await put('series/s/checkpoints/latest_checkpointed_iteration.txt', '20');
  await put('series/s/checkpoints/iter_0000020/mp_rank_00/model.pt', 'weights');
  await put('file-service-port', 'secret');
  await symlink('/etc/passwd', join(dataDir, 'datasets/k/link'));
  const data = await sealArtifact(dataDir, 'datasets/k', ['link', 'prefix.bin'], { block: 4 });
  const shard = await sealArtifact(dataDir, 'series/s/checkpoints/iter_0000020/mp_rank_00');

  const clock = { now: Date.now() };
  const told = { sent: 0 };
  const options = {
    ...{ dataDir, host: '127.0.0.1', port: 0, name: 'n01', now: () => clock.now },
    onSent: (bytes: number) => (told.sent += bytes),
  };
  const { port, close } = await startFileService(options);
  onTestFinished(close);
  const grant = (series: string) => grantAccess(dataDir, { run: 'r', series }, clock.now);
  /** fetch would tidy a path up before it is sent. */
  const raw = (path: string, token?: string, method = 'GET', more: Record<string, string> = {}) =>
    new Promise<{ status: number; body: string }>((resolve, reject) => {
      const headers = { ...(token && { authorization: `Bearer ${token}` }), ...more };
      request({ host: '127.0.0.1', port, path, method, headers }, (response) => {
        let body = '';
        response.on('data', (chunk: Buffer) => (body += chunk.toString()));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      })
        .on('error', reject)
        .end();
    });
  /** Of the file `prefix.bin`: blocks 0 to … belong to the link before it. */
  const first = Math.max(1, Math.ceil((await linked()) / 4));
  return {
    raw,
    port,
    clock,
    dataDir,
    grant,
    told,
    token: await grant('s'),
    data: data.digest,
    shard: shard.digest,
    first,
  };
}

const linked = async () => (await stat('/etc/passwd')).size;

test('serves manifests, their blocks, by range too, the tracker and the shards of the series, and its name', async () => {
  const { raw, token, data, shard, first } = await nodeWithData();
  const get = async (path: string, headers = {}) => (await raw(path, token, 'GET', headers)).body;
  expect((await raw('/health')).body).toBe('n01');
  expect(await get(`/artifacts/${data}/manifest`)).toContain('prefix.bin');
  expect(await get(`/artifacts/${data}/progress`)).toBe('{"all":true}');
  const blocks = [first, first + 1, first + 2].map((index) => get(`/artifacts/${data}/blocks/${index}`));
  expect(await Promise.all(blocks)).toEqual(['0123', '4567', '89']);
  expect(await get(`/artifacts/${data}/blocks/${first}`, { range: 'bytes=2-' })).toBe('23');
  expect(await get('/series/s/tracker')).toBe('20');
  expect(await get('/series/s/20/mp_rank_00')).toContain('model.pt');
  expect(await get(`/artifacts/${shard}/blocks/0`)).toBe('weights');
});

test('serves what is on the storage that its datasets are linked to, and nothing that a link in there leads to', async () => {
  const { raw, token, data, first } = await nodeWithData({ linked: true });
  expect(await raw(`/artifacts/${data}/blocks/${first}`, token)).toEqual({ status: 200, body: '0123' });
  expect(await raw(`/artifacts/${data}/blocks/0`, token)).toMatchObject({ status: 404 });
});

test.each([
  ...['/', '/datasets', '/datasets/k/prefix.bin', '/datasets/k/manifest.json', '/runs/r/command.json'],
  ...['/artifacts', '/artifacts/', '/artifacts/D', '/artifacts/D/', '/artifacts/D/prefix.bin', '/artifacts/D/blocks'],
  ...['/artifacts/D/blocks/', '/artifacts/D/blocks/-1', '/artifacts/D/blocks/01', '/artifacts/D/blocks/999999'],
  ...['/artifacts/D/blocks/0', '/artifacts/D/blocks/1e0', '/artifacts/D/blocks/../manifest', '/artifacts/D/manifest/'],
  ...['/artifacts/D%2fmanifest', '/artifacts/D/%6danifest', '//artifacts/D/manifest', '/artifacts/./D/manifest'],
  ...['/artifacts/../file-service-port', '/artifacts/..%2f..%2ffile-service-port', '/artifacts/%2e%2e/manifest'],
  ...['/artifacts/D/manifest?x=1', '/artifacts/D/progress?after=..', '/artifacts/D/manifest%00'],
  ...['/series/s', '/series/s/checkpoints', '/series/../tracker', '/series/%2e%2e/tracker', '/series/./tracker'],
  ...['/series/s/20/..', '/series/s/20/mp_rank_00/model.pt', '/series/s/20/unlisted', '/series/s/020/mp_rank_00'],
  ...['/series/s\\..\\s/tracker', '/series/s/20/mp_rank_00%2f..', '/access', '/manifests'],
])('does not answer %s', async (path) => {
  const { raw, token, data } = await nodeWithData();
  const { status, body } = await raw(path.replace('D', data), token);
  expect([status, body]).toEqual([404, '404\n']);
});

test('tells how many bytes of blocks it sends, and counts nothing else', async () => {
  const { raw, told, token, data, first } = await nodeWithData();
  await raw(`/artifacts/${data}/manifest`, token);
  await raw(`/artifacts/${data}/blocks/${first}`, token, 'HEAD');
  expect(told.sent).toBe(0);
  await raw(`/artifacts/${data}/blocks/${first}`, token);
  await raw(`/artifacts/${data}/blocks/${first}`, token, 'GET', { range: 'bytes=3-' });
  await expect.poll(() => told.sent).toBe(4 + 1);
});

test('says of a shard that was never here, or has gone, that it does not come', async () => {
  const { raw, token } = await nodeWithData();
  for (const path of ['21/mp_rank_00', '20/mp_rank_01'])
    expect((await raw(`/series/s/${path}`, token)).status).toBe(410);
});

test('a digest that nothing here has is not found, whatever it is', async () => {
  const { raw, token } = await nodeWithData();
  for (const digest of [randomBytes(32).toString('hex'), '0'.repeat(64)])
    expect((await raw(`/artifacts/${digest}/manifest`, token)).status).toBe(404);
});

test.each(['PUT', 'POST', 'DELETE'])('refuses %s', async (method) => {
  const { raw, token, data } = await nodeWithData();
  expect((await raw(`/artifacts/${data}/manifest`, token, method)).status).toBe(405);
});

test('without a token, and with a wrong one, there is nothing', async () => {
  const { raw, token, data } = await nodeWithData();
  const wrong = randomBytes(32).toString('base64url');
  for (const path of [`/artifacts/${data}/manifest`, `/artifacts/${data}/blocks/1`, '/series/s/tracker', '/nothing'])
    for (const bearer of [undefined, wrong, token.slice(1), `${token}x`, '../access', ''])
      expect([path, bearer, (await raw(path, bearer)).status]).toEqual([path, bearer, 401]);
});

test('who does not finish asking loses the connection, and headers that are too long are refused', async () => {
  const { raw, port } = await nodeWithData();
  const long = await raw('/health', undefined, 'GET', { 'x-long': 'x'.repeat(10_000) });
  expect(long.status).toBe(431);
  const began = performance.now();
  const slow = connect(port, '127.0.0.1', () => slow.write('GET /health HTTP/1.1\r\nHost: n01\r\n'));
  slow.resume();
  await once(slow, 'close');
  expect(performance.now() - began).toBeLessThan(60_000);
  expect((await raw('/health')).body).toBe('n01');
}, 120_000);

test('one address has so many connections at most, and who has no token keeps none', async () => {
  const { dataDir } = await testNode('n01');
  const most = { connectionsOfAddress: 2 };
  const { port, close } = await startFileService({ ...{ dataDir, host: '127.0.0.1', port: 0, name: 'n01' }, ...most });
  onTestFinished(close);
  const asks = (path: string) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`GET ${path} HTTP/1.1\r\nHost: n01\r\n\r\n`));
    onTestFinished(() => void socket.destroy());
    return socket.on('error', () => undefined);
  };
  const held = [asks('/health'), asks('/health')];
  for (const socket of held) await once(socket, 'data');
  const third = asks('/health');
  let heard = '';
  third.on('data', (chunk) => (heard += chunk.toString()));
  await once(third, 'close');
  expect(heard).toBe('');
  held[0]!.destroy();
  await expect
    .poll(async () => {
      const stranger = asks('/series/s/tracker');
      let answer = '';
      stranger.on('data', (chunk) => (answer += chunk.toString()));
      await once(stranger, 'close');
      return answer;
    })
    .toMatch(/^HTTP\/1\.1 401 /);
});

test('a token ends when it has not been used for a week, and lasts as long as it is', async () => {
  const { raw, token, data, clock } = await nodeWithData();
  const manifest = async () => (await raw(`/artifacts/${data}/manifest`, token)).status;
  for (let week = 0; week < 3; week++) {
    clock.now += 6 * DAY;
    expect(await manifest()).toBe(200);
  }
  clock.now += 8 * DAY;
  expect(await manifest()).toBe(401);
});

test('a run sees the checkpoints of its own series only, also those on their way here', async () => {
  const { raw, grant, data, shard, token, dataDir } = await nodeWithData();
  const other = await grant('other');
  const status = async (path: string) => (await raw(path, other)).status;
  expect(await status(`/artifacts/${data}/manifest`)).toBe(200);
  expect(await status('/series/s/tracker')).toBe(404);
  expect(await status('/series/s/20/mp_rank_00')).toBe(404);
  expect(await status(`/artifacts/${shard}/manifest`)).toBe(404);
  expect(await status(`/artifacts/${shard}/blocks/0`)).toBe(404);
  for (const [digest, dir] of [
    ['a', 'series/s/checkpoints/iter_0000030/mp_rank_00'],
    ['b', 'exports/s/iter_0000030/mp_rank_00'],
  ] as const) {
    const path = `/artifacts/${digest.repeat(64)}/progress`;
    const onItsWay = {
      ...{ dir, manifest: new Uint8Array(), blocks: [], proven: [], fetching: new Set<number>(), version: 1 },
      ...{ pathsOf: () => [], changed: () => Promise.resolve() },
    };
    await whileShown(await realpath(dataDir), digest.repeat(64), onItsWay, async () => {
      expect(await status(path)).toBe(404);
      expect((await raw(path, token)).status).toBe(200);
    });
  }
});

test('with a certificate it speaks TLS, to peers that know the authority', async () => {
  const { dataDir } = await testNode('n01');
  await mkdir(join(dataDir, 'datasets/k'), { recursive: true });
  await writeFile(join(dataDir, 'datasets/k/prefix.bin'), '0123456789');
  const artifact = await sealArtifact(dataDir, 'datasets/k');
  const tls = await testCertificate();
  const { port, close } = await startFileService({ dataDir, host: '127.0.0.1', port: 0, name: 'n01', tls });
  onTestFinished(close);
  const access = await grantAccess(dataDir, { run: 'r', series: 's' });
  const about = { name: 'n01', address: '127.0.0.1', devices: 1, profile: 'cpu' as const };
  const from = [peerOf({ ...about, port, tls: true, access })];
  const copied = pullArtifact(await testNode('n02', { peerCa: tls.cert }), { artifact, from });
  expect(await copied).toEqual(artifact);
  await expect(pullArtifact(await testNode('n03'), { artifact, from })).rejects.toThrow(
    /cannot be reached: self-signed/,
  );
  const plain = [peerOf({ ...about, port, access })];
  await expect(pullArtifact(await testNode('n04'), { artifact, from: plain })).rejects.toThrow(/no peer gave/);
});

test('receivers that take nothing, as frozen or vanished ones, give up their places to one that does', async () => {
  const { dataDir } = await testNode('n01');
  await mkdir(join(dataDir, 'datasets/k'), { recursive: true });
  await writeFile(join(dataDir, 'datasets/k/prefix.bin'), '');
  // More than the system takes off a sender's hands for a connection that nobody reads.
  await truncate(join(dataDir, 'datasets/k/prefix.bin'), 24 * 2 ** 20);
  const { digest } = await sealArtifact(dataDir, 'datasets/k');
  const options = { dataDir, host: '127.0.0.1', port: 0, name: 'n01', takesWithinMs: 1000 };
  const { port, close } = await startFileService(options);
  onTestFinished(close);
  const headers = { authorization: `Bearer ${await grantAccess(dataDir, { run: 'r', series: 's' })}` };
  const asking = (localAddress: string) => {
    const asked = request({ host: '127.0.0.1', port, path: `/artifacts/${digest}/blocks/0`, headers, localAddress });
    asked.on('error', () => undefined).end();
    onTestFinished(() => void asked.destroy());
    return once(asked, 'response') as Promise<[IncomingMessage]>;
  };
  // Nobody reads their answers.
  await Promise.all(['127.0.0.2', '127.0.0.3'].map(asking));
  const [answer] = await asking('127.0.0.4');
  let taken = 0;
  for await (const chunk of answer) taken += (chunk as Buffer).length;
  expect(taken).toBe(24 * 2 ** 20);
});

test('a peer that goes before it is its turn, or before its token was looked up, takes nobody’s turn', async () => {
  const { dataDir } = await testNode('n01');
  await mkdir(join(dataDir, 'datasets/k'), { recursive: true });
  await writeFile(join(dataDir, 'datasets/k/prefix.bin'), '0123456789');
  const { digest } = await sealArtifact(dataDir, 'datasets/k');
  const { port, close } = await startFileService({ dataDir, host: '127.0.0.1', port: 0, name: 'n01' });
  onTestFinished(close);
  const authorization = `Bearer ${await grantAccess(dataDir, { run: 'r', series: 's' })}`;
  const path = `/artifacts/${digest}/blocks/0`;
  for (let i = 0; i < 20; i++) {
    const socket = connect({ host: '127.0.0.1', port });
    await once(socket, 'connect');
    socket.write(`GET ${path} HTTP/1.1\r\nhost: n01\r\nauthorization: ${authorization}\r\n\r\n`);
    // Some before the service has read a word, some while it looks.
    if (i % 2) await new Promise((done) => setImmediate(done));
    socket.destroy();
  }
  const answer = fetch(`http://127.0.0.1:${port}${path}`, {
    headers: { authorization },
    signal: timeLimit(5000).signal,
  });
  expect(await (await answer).text()).toBe('0123456789');
});
