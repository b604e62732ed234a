import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { sealArtifact } from '../../activities/artifact.js';
import { serving, testNode } from '../support/test-node.js';

async function nodeWithData() {
  const node = await testNode('n01');
  const put = async (path: string, text: string) => {
    await mkdir(dirname(join(node.dataDir, path)), { recursive: true });
    await writeFile(join(node.dataDir, path), text);
  };
  await put('datasets/k/prefix.bin', '0123456789');
  await put('datasets/k/unlisted.txt', 'secret');
  await put('runs/r/command.json', 'secret');
  await put('series/s/checkpoints/latest_checkpointed_iteration.txt', '20');
  await put('series/s/checkpoints/iter_0000020/mp_rank_00/model.pt', 'weights');
  await put('file-service-port', 'secret');
  await symlink('/etc/passwd', join(node.dataDir, 'datasets/k/link'));
  await sealArtifact(node.dataDir, 'datasets/k', ['prefix.bin', 'link']);
  await sealArtifact(node.dataDir, 'series/s/checkpoints/iter_0000020/mp_rank_00');
  return (await serving(node)).url;
}

/** fetch would tidy a path up before it is sent. */
const raw = (base: string, path: string, method = 'GET') =>
  new Promise<{ status: number; body: string }>((resolve, reject) => {
    const { hostname, port } = new URL(base);
    request({ hostname, port, path, method }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    })
      .on('error', reject)
      .end();
  });

test('serves manifests, the files that they name, by range too, trackers, and its name', async () => {
  const url = await nodeWithData();
  expect((await raw(url, '/health')).body).toBe('n01');
  expect((await raw(url, '/datasets/k/manifest.json')).body).toContain('prefix.bin');
  expect((await raw(url, '/datasets/k/prefix.bin')).body).toBe('0123456789');
  expect((await raw(url, '/series/s/checkpoints/latest_checkpointed_iteration.txt')).body).toBe('20');
  expect((await raw(url, '/series/s/checkpoints/iter_0000020/mp_rank_00/model.pt')).body).toBe('weights');
  const part = await fetch(`${url}/datasets/k/prefix.bin`, { headers: { range: 'bytes=4-' } });
  expect([part.status, part.headers.get('content-range'), await part.text()]).toEqual([206, 'bytes 4-9/10', '456789']);
});

test.each([
  '/',
  '/datasets',
  '/datasets/k',
  '/datasets/k/',
  '/datasets/k/unlisted.txt',
  '/datasets/k/link',
  '/datasets/none/manifest.json',
  '/runs/r/command.json',
  '/file-service-port',
  '/datasets/../runs/r/command.json',
  '/datasets/%2e%2e/runs/r/command.json',
  '/datasets/k/..%2f..%2ffile-service-port',
  '/datasets/k/%2e%2e%5c%2e%2e%5cfile-service-port',
  '//etc/passwd',
  '/datasets//etc/passwd',
  '/datasets/k/prefix.bin%00.txt',
  '/datasets/%zz',
  '/series/s/checkpoints/../checkpoints/latest_checkpointed_iteration.txt',
  '/models/manifest.json',
])('does not answer %s', async (path) => {
  const url = await nodeWithData();
  const { status, body } = await raw(url, path);
  expect([status, body]).toEqual([404, '404\n']);
});

test.each(['PUT', 'POST', 'DELETE'])('refuses %s', async (method) => {
  const url = await nodeWithData();
  expect((await raw(url, '/datasets/k/prefix.bin', method)).status).toBe(405);
});
