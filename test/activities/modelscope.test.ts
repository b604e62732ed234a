/** Models and datasets of ModelScope: listed, pinned by digest, fetched and resumed. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createFetchFiles } from '../../activities/fetch-files.js';
import { createListSource } from '../../activities/list-source.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { readNodeConfig } from '../../workers/config.js';
import { modelscopeHub, type ModelScopeRepo } from '../support/modelscope-hub.js';
import { run, testNode } from '../support/test-node.js';

const table = randomBytes(200_000);
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const DIR = 'datasets/k/input/1';

const WEIGHTS: ModelScopeRepo = {
  type: 'models',
  files: {
    '.gitattributes': Buffer.from('hidden'),
    'config.json': Buffer.from('{}'),
    'model.safetensors': table,
    'odd names/ü #1+2.json': Buffer.from('1'),
  },
};
const TEXTS: ModelScopeRepo = {
  type: 'datasets',
  files: Object.fromEntries(
    Array.from({ length: 230 }, (_, i) => [`data/${String(i).padStart(3, '0')}.jsonl`, Buffer.from(`{"text":"${i}"}`)]),
  ),
};
const hub = () => modelscopeHub({ 'a/texts': TEXTS, 'a/weights': WEIGHTS, 'a/secret': { ...WEIGHTS, token: 'ms-1' } });

const list = (node: NodeDeps, source: string) => run(createListSource(node), { source });
async function fetchAll(node: NodeDeps, source: string) {
  const { resolved, files } = await list(node, source);
  return run(createFetchFiles(node), { source: resolved, files, dir: DIR });
}
const read = (node: NodeDeps, path: string) => readFile(join(node.dataDir, DIR, path));

test('a model is listed with sizes and digests, and fetched, what is in LFS from where it is sent to', async () => {
  const { url, seen } = await hub();
  const node = await testNode('n1', { modelscopeEndpoint: `${url}/` });
  const { resolved, files } = await list(node, 'modelscope://a/weights');
  expect(resolved).toBe('modelscope://models/a/weights@master');
  expect(files).toEqual([
    { path: 'config.json', size: 2, sha256: sha256(Buffer.from('{}')) },
    { path: 'model.safetensors', size: table.length, sha256: sha256(table) },
    { path: 'odd names/ü #1+2.json', size: 1, sha256: sha256(Buffer.from('1')) },
  ]);
  await fetchAll(node, 'modelscope://a/weights');
  expect((await read(node, 'model.safetensors')).equals(table)).toBe(true);
  expect(await read(node, 'odd names/ü #1+2.json')).toEqual(Buffer.from('1'));
  expect(seen.some(({ path }) => path.startsWith('/lfs/'))).toBe(true);
});

test('a dataset of more files than a page of its tree has is listed whole, by glob', async () => {
  const { url, seen } = await hub();
  const node = await testNode('n1', { modelscopeEndpoint: url });
  const { resolved, files } = await list(node, 'modelscope://a/texts@master/data/*[02].jsonl');
  expect(resolved).toBe('modelscope://datasets/a/texts@master/data/*[02].jsonl');
  expect(files).toHaveLength(46);
  expect(seen.filter(({ path }) => path.startsWith('/api/v1/datasets/1/repo/tree'))).toHaveLength(3);
  await fetchAll(node, 'modelscope://a/texts@master/data/*[02].jsonl');
  expect(await read(node, 'data/222.jsonl')).toEqual(Buffer.from('{"text":"222"}'));
});

test('a file that broke off goes on where it was', async () => {
  const { url } = await hub();
  const node = await testNode('n1', { modelscopeEndpoint: url });
  await mkdir(join(node.dataDir, DIR), { recursive: true });
  await writeFile(join(node.dataDir, DIR, 'model.safetensors.part'), table.subarray(0, 150_000));
  await fetchAll(node, 'modelscope://models/a/weights@master/*.safetensors');
  expect((await read(node, 'model.safetensors')).equals(table)).toBe(true);
});

test('a file that is not what was listed is refused', async () => {
  const repo = { ...WEIGHTS, files: { ...WEIGHTS.files } };
  const { url } = await modelscopeHub({ 'a/weights': repo });
  const node = await testNode('n1', { modelscopeEndpoint: url });
  const { resolved, files } = await list(node, 'modelscope://a/weights');
  repo.files['model.safetensors'] = randomBytes(table.length);
  await expect(run(createFetchFiles(node), { source: resolved, files, dir: DIR })).rejects.toMatchObject({
    type: 'DataCorrupt',
  });
});

test('a file of which the hub gives no digest is refused before anything is fetched', async () => {
  const { url, seen } = await hub();
  const node = await testNode('n1', { modelscopeEndpoint: url });
  const source = 'modelscope://models/a/weights@master';
  const fetching = run(createFetchFiles(node), { source, files: [{ path: 'config.json', size: 2 }], dir: DIR });
  await expect(fetching).rejects.toThrow(/no SHA-256 of config\.json/);
  expect(seen).toEqual([]);
});

test('a private repository is read with the token of the node, which goes to no other server', async () => {
  const { url, seen } = await hub();
  const stranger = await testNode('n1', { modelscopeEndpoint: url });
  await expect(list(stranger, 'modelscope://a/secret')).rejects.toThrow(/set MODELSCOPE_API_TOKEN on the node/);
  const node = await testNode('n2', { modelscopeEndpoint: url, modelscopeToken: 'ms-1' });
  await fetchAll(node, 'modelscope://a/secret');
  const elsewhere = seen.filter(({ path }) => path.startsWith('/lfs/'));
  expect(elsewhere.map(({ cookie }) => cookie)).toEqual([undefined]);
});

test('a node finds the hub as the SDK of ModelScope does, by a name with or without a scheme', () => {
  const env = { PRETRAIN_DATA: '/data', PRETRAIN_ADDRESS: '127.0.0.1' };
  const endpoint = (more: Record<string, string>) => readNodeConfig({ ...env, ...more }).modelscopeEndpoint;
  expect(endpoint({})).toBeUndefined();
  expect(endpoint({ MODELSCOPE_DOMAIN: 'www.modelscope.ai' })).toBe('https://www.modelscope.ai');
  expect(endpoint({ MODELSCOPE_DOMAIN: 'http://mirror:8080' })).toBe('http://mirror:8080');
  expect(endpoint({ MODELSCOPE_DOMAIN: 'a.b', MODELSCOPE_ENDPOINT: 'http://mirror' })).toBe('http://mirror');
});

test.each([
  ['a page of a proxy', '<html>Sign in</html>', /answered what no hub does: <html>Sign in/],
  ['no files but a number', '{"Code":200,"Data":{"Files":3}}', /answered what no hub does \(Files: /],
  [
    'a size that is none',
    '{"Code":200,"Data":{"Files":[{"Path":"a","Type":"blob","Size":-1}]}}',
    /what no hub does \(Files\.0\.Size: /,
  ],
  [
    'a digest that is none',
    '{"Code":200,"Data":{"Files":[{"Path":"a","Type":"blob","Size":1,"Sha256":"a1"}]}}',
    /what no hub does \(Files\.0\.Sha256: /,
  ],
])('an answer with %s is not believed', async (_, body, message) => {
  const server = createServer((_, response) => void response.end(body)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const modelscopeEndpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const node = await testNode('n1', { modelscopeEndpoint });
  await expect(list(node, 'modelscope://models/a/weights')).rejects.toThrow(message);
});

test.each([
  [
    'a repository that is not there',
    'modelscope://a/missing',
    /has no a\/missing@master for us \(404, 404\)\. Check its/,
  ],
  ['a revision that is not there', 'modelscope://models/a/weights@v9', /10010204001 revision not exist/],
])('%s is named, with what to check', async (_, source, message) => {
  const { url } = await hub();
  const listing = list(await testNode('n1', { modelscopeEndpoint: url }), source);
  await expect(listing).rejects.toMatchObject({
    type: 'InvalidInput',
    nonRetryable: true,
    message: expect.stringMatching(message) as string,
  });
});
