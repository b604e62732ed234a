import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, onTestFinished, test, vi } from 'vitest';
import { z } from 'zod';
import { readArtifact } from '../../activities/artifact.js';
import { answered } from '../../activities/ask-hub.js';
import { fetchedPart, retryAfterMs } from '../../activities/download.js';
import { createFetchFiles } from '../../activities/fetch-files.js';
import { createListSource } from '../../activities/list-source.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { pause } from '../../activities/process.js';
import { startHub } from '../../infra/demo/hub.js';
import { faultyProxy, type Fault } from '../support/faulty-proxy.js';
import { tempDir } from '../support/temp-dir.js';
import { run, testNode } from '../support/test-node.js';

const table = randomBytes(2_000_000);
const sha256 = createHash('sha256').update(table).digest('hex');
const dir = 'datasets/k/input/1';

async function hub(): Promise<string> {
  const root = await tempDir();
  const put = async (path: string, bytes: string | Buffer) => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), bytes);
  };
  await put('datasets/demo/text/data/b.parquet', table);
  await put('datasets/demo/text/data/a.jsonl', '{"text":"a"}\n');
  await put('datasets/demo/text/README.md', 'about');
  await put('datasets/demo/text/.gitattributes', 'hidden');
  await put('models/demo/tiny/config.json', '{}');
  await put('models/demo/tiny/model.safetensors', table);
  await put('models/demo/tiny/odd names/ü #1.json', '1');
  const { url, close } = await startHub({ root });
  onTestFinished(close);
  return url;
}

async function server(listener: RequestListener): Promise<string> {
  const found = createServer(listener).listen(0, '127.0.0.1');
  await once(found, 'listening');
  onTestFinished(() => void (found.closeAllConnections(), found.close()));
  return `http://127.0.0.1:${(found.address() as AddressInfo).port}`;
}

const nodeAt = (hfEndpoint: string, more: Partial<NodeDeps> = {}) => testNode('n01', { hfEndpoint, ...more });
const list = (node: NodeDeps, source: string) => run(createListSource(node), { source });

async function fetchAll(node: NodeDeps, source: string) {
  const { resolved, files } = await list(node, source);
  return run(createFetchFiles(node), { source: resolved, files, dir });
}

const read = (node: NodeDeps, path: string) => readFile(join(node.dataDir, dir, path));
const bytesOf = (request: IncomingMessage) => request.url?.includes('/resolve/') ?? false;

/** A hub behind a proxy that is not well. */
async function ill(fault: Fault, more: Partial<NodeDeps> = {}) {
  const proxy = await faultyProxy(await hub(), fault);
  return { node: await nodeAt(proxy.url, more), seen: proxy.seen };
}

test('a source of more files than a run can be told of is refused, with what to do', async () => {
  const entry = (_: unknown, index: number) => ({
    ...{ type: 'file', path: `data/CC-MAIN-2013-20/000_${index}.parquet`, size: 2_147_509_487, oid: 'a'.repeat(40) },
    lfs: { oid: sha256, size: 2_147_509_487 },
  });
  const url = await server(({ url: asked = '' }, response) => {
    const files = asked.includes('/tree/') ? Array.from({ length: 15_000 }, entry) : { sha: 'c'.repeat(40) };
    response.end(JSON.stringify(files));
  });
  await expect(list(await nodeAt(url), 'hf://demo/text/data/**/*.parquet')).rejects.toMatchObject({
    type: 'InvalidInput',
    message: expect.stringMatching(/its list of 15000 files takes 2\d{6} bytes.*Name fewer by a pattern/) as string,
  });
});

test('what a hub packs into a few bytes is not unpacked without end', async () => {
  const packed = gzipSync(Buffer.alloc(2 ** 20, ' '));
  const url = await server((_, response) => response.setHeader('content-encoding', 'gzip').end(packed));
  await expect(answered(url, await fetch(url), z.any(), 2 ** 19)).rejects.toThrow(/answered more than 524288 bytes/);
});

test('a server that takes a question about a file and does not answer is asked again', async () => {
  let asked = 0;
  const url = await server((_, response) => {
    if (++asked > 1) response.writeHead(200, { etag: '"one"', 'content-length': 7 }).end();
  });
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const listed = list(await nodeAt(url), `${url}/a.jsonl`);
  await vi.waitFor(() => expect(asked).toBe(1), 20_000);
  await vi.advanceTimersByTimeAsync(60_000);
  expect((await listed).files).toEqual([{ path: 'a.jsonl', size: 7 }]);
});

test('a compressed file is fetched as it is, also where the server says that its answer is compressed', async () => {
  const bytes = gzipSync(table);
  const asked: { range: string | undefined; authorization: string | undefined }[] = [];
  const url = await server(({ method, headers: { range, authorization } }, response) => {
    const from = range ? Number(/\d+/.exec(range)![0]) : 0;
    response.writeHead(range ? 206 : 200, {
      ...{ etag: '"one"', 'content-encoding': 'gzip', 'content-length': bytes.length - from },
      ...(range && { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
    });
    if (method === 'HEAD') return void response.end();
    asked.push({ range, authorization });
    if (asked.length > 2) return void response.end(bytes.subarray(from));
    response.write(bytes.subarray(0, 1_000_000));
    setTimeout(() => response.socket?.end(), 500);
  });
  const first = await server(({ url: path }, response) => response.writeHead(302, { location: url + path! }).end());
  const node = await nodeAt(first, { hfToken: 'secret' });
  await fetchAll(node, `${first}/a.jsonl.gz`);
  expect((await read(node, 'a.jsonl.gz')).equals(bytes)).toBe(true);
  expect(asked.at(-1)!.range).toBe('bytes=1000000-');
  const files = [{ path: 'b.jsonl.gz', size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }];
  asked.length = 0;
  await run(createFetchFiles(node), { source: 'hf://datasets/demo/text@1', files, dir: `${dir}b` });
  expect(asked.every(({ authorization }) => authorization === undefined)).toBe(true);
});

test('what a server compresses on its way, though it was asked not to, is unpacked', async () => {
  const text = '{"text": "one"}\n'.repeat(1000);
  const url = await server((_, response) => response.setHeader('content-encoding', 'gzip').end(gzipSync(text)));
  const node = await nodeAt(url);
  const files = [{ path: 'a.jsonl', size: text.length, sha256: createHash('sha256').update(text).digest('hex') }];
  await run(createFetchFiles(node), { source: 'hf://datasets/demo/text@1', files, dir });
  expect((await read(node, 'a.jsonl')).toString()).toBe(text);
});

test('a leftover that is wrong is left for the whole file, also where the connection to it was cut before that', async () => {
  let asked = 0;
  const url = await server(({ headers: { range } }, response) => {
    const from = range ? Number(/\d+/.exec(range)![0]) : 0;
    response.writeHead(range ? 206 : 200, {
      'content-length': table.length - from,
      ...(range && { 'content-range': `bytes ${from}-${table.length - 1}/${table.length}` }),
    });
    if (++asked > 1) return void response.end(table.subarray(from));
    response.write(table.subarray(from, from + 1000), () => response.socket?.end());
  });
  const node = await nodeAt(url);
  const to = join(node.dataDir, dir, 'a');
  await mkdir(dirname(to), { recursive: true });
  // As a power cut leaves it.
  await writeFile(fetchedPart('n01', to), Buffer.alloc(1_000_000));
  const files = [{ path: 'a', size: table.length, sha256 }];
  await run(createFetchFiles(node), { source: `${url}/a#sha256=${sha256}`, files, dir });
  expect((await read(node, 'a')).equals(table)).toBe(true);
  expect(asked).toBe(3);
});

test('a dataset is listed by glob at a pinned commit, with what proves each file', async () => {
  const node = await nodeAt(await hub());
  const { resolved, files } = await list(node, 'hf://demo/text@main/data/*');
  expect(resolved).toMatch(/^hf:\/\/datasets\/demo\/text@[0-9a-f]{40}\/data\/\*$/);
  expect(files).toEqual([
    { path: 'data/a.jsonl', size: 13, blob: expect.stringMatching(/^[0-9a-f]{40}$/) as string },
    { path: 'data/b.parquet', size: table.length, sha256 },
  ]);
  expect(await list(node, resolved)).toEqual({ resolved, files });
});

test('a model is found as such without a glob, and among models when no dataset has its name', async () => {
  const node = await nodeAt(await hub());
  expect((await list(node, 'hf://demo/tiny@main')).files.map(({ path }) => path)).toEqual([
    'config.json',
    'model.safetensors',
    'odd names/ü #1.json',
  ]);
  expect((await list(node, 'hf://demo/tiny/*.json')).resolved).toMatch(/^hf:\/\/models\/demo\/tiny@/);
});

test('a repository of more files than a page of the listing is listed whole', async () => {
  const root = await tempDir();
  await mkdir(join(root, 'datasets/demo/many'), { recursive: true });
  for (let i = 0; i < 230; i++) await writeFile(join(root, `datasets/demo/many/${i}.txt`), String(i));
  const { url, close } = await startHub({ root });
  onTestFinished(close);
  expect((await list(await nodeAt(url), 'hf://demo/many@main/*.txt')).files).toHaveLength(230);
});

test.each([
  ['hf://demo/none@main', 'has no demo/none@main'],
  ['hf://demo/text@nosuch', 'has no demo/text@nosuch'],
  ['hf://demo/text@main/*.csv', 'nothing there has that name'],
  ['hf://', 'expected hf://owner/name@revision/glob'],
  ['modelscope://', 'expected modelscope://owner/name@revision/glob'],
  ['http://127.0.0.1:9/%ZZ.jsonl', 'expected UTF-8 in percent-encoding ("%" itself is %25), got %ZZ.jsonl'],
  ['hf://demo/text@%ZZ', 'expected UTF-8 in percent-encoding'],
  ['ftp://a/b', 'expected hf://, modelscope://, https://'],
  ['file://relative', 'an absolute path'],
  ['file:///nonexistent/x.txt', 'there is no such file on n01'],
])('%s is refused for good, saying why', async (source, message) => {
  const node = await nodeAt(await hub());
  await expect(list(node, source)).rejects.toMatchObject({
    type: 'InvalidInput',
    nonRetryable: true,
    message: expect.stringContaining(message) as string,
  });
});

test('fetched files are proven, sealed and stored, and fetched once', async () => {
  const { node, seen } = await ill(() => ({}));
  const artifact = await fetchAll(node, 'hf://demo/tiny@main');
  expect((await read(node, 'model.safetensors')).equals(table)).toBe(true);
  expect(await readArtifact(node.dataDir, dir)).toEqual(artifact);
  expect(artifact).toMatchObject({ files: 3, bytes: table.length + 3 });
  const fetches = () => seen.filter(({ path }) => path.includes('/resolve/')).length;
  expect(fetches()).toBe(3);
  expect(await fetchAll(node, 'hf://demo/tiny@main')).toEqual(artifact);
  const { resolved, files } = await list(node, 'hf://demo/text@main/data/*.parquet');
  await run(createFetchFiles(node), { source: resolved, files, dir: 'datasets/other' });
  expect(fetches()).toBe(3);
  expect((await stat(join(node.dataDir, 'datasets/other/data/b.parquet'))).nlink).toBe(3);
});

test('a download that is cut short is noticed and goes on by range', async () => {
  let cuts = 0;
  const { node, seen } = await ill((request) => (bytesOf(request) && cuts++ < 2 ? { cutAfter: 700_000 } : {}));
  await fetchAll(node, 'hf://demo/text@main/data/*.parquet');
  expect((await read(node, 'data/b.parquet')).equals(table)).toBe(true);
  const starts = seen
    .filter(({ path }) => path.includes('/resolve/'))
    .map(({ range }) => Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0));
  // What was still on its way to the disk when the line broke comes once more.
  expect(starts).toHaveLength(3);
  expect(starts[1]).toBeGreaterThan(400_000);
  expect(starts[2]).toBeGreaterThan(starts[1]! + 400_000);
});

test('a download that a dead worker left half done goes on where it was', async () => {
  const { node, seen } = await ill(() => ({}));
  const part = join(node.dataDir, dir, 'data/b.parquet.n01.part');
  await mkdir(dirname(part), { recursive: true });
  await writeFile(part, table.subarray(0, 1_500_000));
  await fetchAll(node, 'hf://demo/text@main/data/*.parquet');
  expect(seen.find(({ path }) => path.includes('/resolve/'))?.range).toBe('bytes=1500000-');
});

test('a beginning that belongs to something else is thrown away, and the file fetched whole', async () => {
  const { node } = await ill(() => ({}));
  const part = join(node.dataDir, dir, 'data/b.parquet.n01.part');
  await mkdir(dirname(part), { recursive: true });
  await writeFile(part, randomBytes(1_500_000));
  await fetchAll(node, 'hf://demo/text@main/data/*.parquet');
  expect((await read(node, 'data/b.parquet')).equals(table)).toBe(true);
});

test('two nodes that share the directory bring one file at a time without harm to each other', async () => {
  // Each first attempt is cut short, so that both are at it.
  let asked = 0;
  const proxy = await faultyProxy(await hub(), (request) =>
    bytesOf(request) && asked++ < 2 ? { cutAfter: 700_000 } : {},
  );
  const shared = await tempDir();
  const nodes = await Promise.all(['n01', 'n02'].map((name) => testNode(name, { hfEndpoint: proxy.url })));
  for (const { dataDir } of nodes) await symlink(shared, join(dataDir, 'datasets'));
  const made = await Promise.all(nodes.map((node) => fetchAll(node, 'hf://demo/text@main/data/*.parquet')));
  expect(asked).toBe(4);
  expect(made[1]).toEqual(made[0]);
  expect((await read(nodes[0]!, 'data/b.parquet')).equals(table)).toBe(true);
  expect(await readdir(join(nodes[0]!.dataDir, dir, 'data'))).toEqual(['b.parquet']);
});

test('a server that ignores ranges is understood', async () => {
  let cuts = 0;
  const { node } = await ill((request) => {
    if (!bytesOf(request)) return {};
    delete request.headers.range;
    return cuts++ ? {} : { cutAfter: 500_000 };
  });
  await fetchAll(node, 'hf://demo/text@main/data/*.parquet');
  expect((await read(node, 'data/b.parquet')).equals(table)).toBe(true);
});

test.each(['b.parquet', 'a.jsonl'])('wrong bytes of %s are never accepted, by SHA-256 or by git blob', async (file) => {
  const { node } = await ill((request) =>
    bytesOf(request) ? { change: (chunk) => chunk.map((b) => b ^ 1) as Buffer } : {},
  );
  await expect(fetchAll(node, `hf://demo/text@main/data/${file}`)).rejects.toMatchObject({
    type: 'DataCorrupt',
    nonRetryable: true,
    message: expect.stringContaining(`n01: fetch data/${file}: `) as string,
  });
  expect(await readArtifact(node.dataDir, dir)).toBeUndefined();
});

test('a busy hub is asked again after the time that it names', async () => {
  let refusals = 0;
  const { node } = await ill((request, response) => {
    if (!bytesOf(request) || refusals++ >= 2) return {};
    response.writeHead(refusals === 1 ? 429 : 503, { 'retry-after': '1' }).end();
    return 'handled';
  });
  const began = Date.now();
  await fetchAll(node, 'hf://demo/text@main/data/*.parquet');
  expect(Date.now() - began).toBeGreaterThanOrEqual(2000);
});

test('a hub that asks to come back much later gets the whole attempt postponed', async () => {
  const { node } = await ill((request, response) => {
    if (!bytesOf(request)) return {};
    response.writeHead(429, { 'retry-after': '900' }).end();
    return 'handled';
  });
  await expect(fetchAll(node, 'hf://demo/text@main/data/*.parquet')).rejects.toMatchObject({
    nonRetryable: false,
    nextRetryDelay: 900_000,
  });
});

test('the token goes to the hub, and not to the store that it redirects to', async () => {
  const tokens: Record<string, string | undefined> = {};
  const store = await faultyProxy(await hub(), (request) => {
    tokens['store'] = request.headers.authorization;
    return {};
  });
  const { node } = await ill(
    (request, response) => {
      tokens['hub'] = request.headers.authorization;
      if (!bytesOf(request)) return {};
      response.writeHead(302, { location: store.url + request.url }).end();
      return 'handled';
    },
    { hfToken: 'hf_secret' },
  );
  await fetchAll(node, 'hf://demo/text@main/data/*.parquet');
  expect(tokens).toEqual({ hub: 'Bearer hf_secret', store: undefined });
});

test('a run may name another of the tokens that its node has, and no other variable', async () => {
  const seen = new Set<string | undefined>();
  const { node } = await ill(
    (request) => {
      seen.add(request.headers.authorization);
      return {};
    },
    { hfToken: 'hf_own', hubTokens: { HF_TOKEN: 'hf_own', HF_TOKEN_TEAM: 'hf_team' } },
  );
  const tokens = { huggingface: 'HF_TOKEN_TEAM' };
  const { resolved: source, files } = await run(createListSource(node), { source: 'hf://demo/tiny@main', tokens });
  await run(createFetchFiles(node), { source, files, dir: 'models/t', tokens });
  expect([...seen]).toEqual(['Bearer hf_team']);
  const other = run(createListSource(node), { source: 'hf://demo/tiny@main', tokens: { huggingface: 'HF_TOKEN_B' } });
  await expect(other).rejects.toMatchObject({
    ...{ type: 'InvalidInput', nonRetryable: true },
    message: expect.stringContaining(
      'tokens.huggingface: expected an environment variable that the worker of',
    ) as string,
  });
});

test('a gated repository says what to do about it', async () => {
  const { node } = await ill((_, response) => {
    response.writeHead(401).end();
    return 'handled';
  });
  await expect(list(node, 'hf://demo/tiny@main')).rejects.toThrow('if it is gated, set HF_TOKEN on the node');
});

test('one file behind a URL is pinned by its entity tag or proven by the digest given', async () => {
  const url = `${await hub()}/datasets/demo/text/resolve/main/data/b.parquet`;
  const node = await testNode('n01');
  expect(await list(node, url)).toEqual({
    resolved: `${url}#etag=${encodeURIComponent(`"${sha256}"`)}`,
    files: [{ path: 'b.parquet', size: table.length }],
  });
  await fetchAll(node, `${url}#sha256=${sha256}`);
  expect((await read(node, 'b.parquet')).equals(table)).toBe(true);
  const { files } = await list(node, url);
  const moved = { source: `${url}#etag=%22old%22`, files, dir: 'datasets/moved' };
  await expect(run(createFetchFiles(node), moved)).rejects.toThrow('changed: its entity tag was "old"');
});

test.each([403, 405, 501])(
  'one file behind a URL is asked for its first byte where HEAD is answered by %i',
  async (refused) => {
    const ranges: (string | undefined)[] = [];
    const url = await server(({ method, headers: { range } }, response) => {
      if (method === 'HEAD') return void response.writeHead(refused).end();
      ranges.push(range);
      response.writeHead(range ? 206 : 200, {
        ...{ etag: '"one"', 'content-length': range ? 1 : table.length },
        ...(range && { 'content-range': `bytes 0-0/${table.length}` }),
      });
      response.end(range ? table.subarray(0, 1) : table);
    });
    const node = await testNode('n01');
    await fetchAll(node, `${url}/b.parquet?signature=x`);
    expect((await read(node, 'b.parquet')).equals(table)).toBe(true);
    expect(ranges).toEqual(['bytes=0-0', undefined]);
  },
);

test('one file behind a URL is pinned by its time where the server has no entity tags, and refused without either', async () => {
  let headers: Record<string, string> = { 'last-modified': 'Mon, 05 Jan 2026 00:00:00 GMT' };
  const url = `${await server((_, response) => response.writeHead(200, { 'content-length': 2, ...headers }).end('{}'))}/a.jsonl`;
  const node = await testNode('n01');
  const before = await list(node, url);
  expect(await list(node, url)).toEqual(before);
  await fetchAll(node, url);
  headers = { 'last-modified': 'Tue, 06 Jan 2026 00:00:00 GMT' };
  expect(await list(node, url)).not.toEqual(before);
  const fetching = run(createFetchFiles(node), { source: before.resolved, files: before.files, dir: 'datasets/moved' });
  await expect(fetching).rejects.toThrow('changed: it was of Mon, 05 Jan 2026');
  headers = {};
  await expect(list(node, url)).rejects.toThrow('by #sha256= after the address');
});

const tagged = async (etag: string) => {
  const ranges: (string | undefined)[] = [];
  const url = await server(({ headers: { range } }, response) => {
    ranges.push(range);
    const from = range ? Number(/\d+/.exec(range)![0]) : 0;
    const what = range && { 'content-range': `bytes ${from}-${table.length - 1}/${table.length}` };
    response.writeHead(range ? 206 : 200, { etag, 'content-length': table.length - from, ...what });
    response.end(table.subarray(from));
  });
  const node = await testNode('n01');
  const source = `${url}/b.parquet#etag=${encodeURIComponent(etag)}`;
  const part = fetchedPart('n01', join(node.dataDir, dir, 'b.parquet'), etag);
  await mkdir(dirname(part), { recursive: true });
  await writeFile(part, table.subarray(0, 1_500_000));
  const whole = async () => {
    await run(createFetchFiles(node), { source, files: [{ path: 'b.parquet', size: table.length }], dir });
    return (await read(node, 'b.parquet')).equals(table);
  };
  return { ranges, part, whole };
};

test.each([
  ['goes on where a dead worker left it under the same entity tag', '"one"', 'bytes=1500000-'],
  ['begins anew where the tag is a weak one', 'W/"one"', undefined],
])('one file behind a URL %s', async (_, etag, range) => {
  const { ranges, whole } = await tagged(etag);
  expect(await whole()).toBe(true);
  expect(ranges).toEqual([range]);
});

test('one file behind a URL begins anew where its machine started again since: no digest would tell what the disk lost', async () => {
  const { ranges, part, whole } = await tagged('"one"');
  await utimes(part, 1000, 1000);
  expect(await whole()).toBe(true);
  expect(ranges).toEqual([undefined]);
});

test('a file of a gated repository, which lists itself to strangers, says what to do about it', async () => {
  const files = [{ path: 'model.safetensors', size: 1, sha256 }];
  const source = `hf://models/demo/gated@${'a'.repeat(40)}`;
  const hub = await server((_, response) => response.writeHead(403, { 'x-error-code': 'GatedRepo' }).end());
  const fetching = async (more: Partial<NodeDeps>) =>
    run(createFetchFiles(await nodeAt(hub, more)), { source, files, dir });
  await expect(fetching({})).rejects.toThrow('If its repository is gated, set HF_TOKEN on the node');
  await expect(fetching({ hfToken: 'hf_other' })).rejects.toThrow('Check that the token of this node may read it');
});

test('a file with the name of a manifest is refused before anything is fetched', async () => {
  const from = await tempDir();
  for (const name of ['manifest.json', 'two.json']) await writeFile(join(from, name), '{"text": "one"}\n');
  const node = await testNode('n01', { sourceRoots: [from] });
  await expect(fetchAll(node, `file://${from}/*.json`)).rejects.toThrow('a file cannot be called manifest.json');
  expect(await readdir(node.dataDir)).toEqual([]);
  await fetchAll(node, `file://${from}/t*.json`);
});

test.each([
  ['3', 3000],
  ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
  ['soon', undefined],
])('a server that says to come back after %s is understood', (said, ms) => expect(retryAfterMs(said)).toBe(ms));

test('local files are listed anew where there is too much to be hashed and an older file takes the place of one', async () => {
  const from = await tempDir();
  const node = await testNode('n01', { sourceRoots: [from] });
  await writeFile(join(from, 'b.jsonl'), '');
  await truncate(join(from, 'b.jsonl'), 4 * 2 ** 30);
  await utimes(join(from, 'b.jsonl'), 2000, 2000);
  const listed = async (text: string, at: number) => {
    await writeFile(join(from, 'a.jsonl'), text);
    await utimes(join(from, 'a.jsonl'), at, at);
    return list(node, `file://${from}/*.jsonl`);
  };
  const before = await listed('{"text": "one"}\n', 1000);
  expect(await listed('{"text": "one"}\n', 1000)).toEqual(before);
  expect(await listed('{"text": "two"}\n', 1500)).not.toEqual(before);
});

test('local files are taken by path, directory or glob, in byte order, as copies', async () => {
  const from = await tempDir();
  await mkdir(join(from, 'sub'));
  for (const name of ['b.txt', 'B.txt', 'sub/c.txt', '.hidden', 'x.csv']) await writeFile(join(from, name), name);
  const node = await testNode('n01', { sourceRoots: [from] });
  const names = async (source: string) => (await list(node, source)).files.map(({ path }) => path);
  expect(await names(`file://${from}`)).toEqual(['B.txt', 'b.txt', 'sub/c.txt', 'x.csv']);
  expect(await names(`file://${from}/**/*.txt`)).toEqual(['B.txt', 'b.txt', 'sub/c.txt']);
  expect(await names(`file://${from}/*.{txt,csv}`)).toEqual(['B.txt', 'b.txt', 'x.csv']);
  await fetchAll(node, `file://${from}/x.csv`);
  expect((await read(node, 'x.csv')).toString()).toBe('x.csv');
  expect((await stat(join(from, 'x.csv'))).nlink).toBe(1);
});

test('a "#" in the name of a local directory or file is part of the name', async () => {
  const from = await tempDir();
  const node = await testNode('n01', { sourceRoots: [from] });
  for (const name of ['c', 'c#1']) await mkdir(join(from, name));
  for (const name of ['c/other.txt', 'c#1/x.txt', 'c#1/x#2.txt']) await writeFile(join(from, name), name);
  expect((await list(node, `file://${from}/c#1`)).files.map(({ path }) => path)).toEqual(['x#2.txt', 'x.txt']);
  expect((await list(node, `file://${from}/c#1/*.txt`)).files).toHaveLength(2);
  await fetchAll(node, `file://${from}/c#1/x#2.txt`);
  expect((await read(node, 'x#2.txt')).toString()).toBe('c#1/x#2.txt');
});

test('a local file that changes after it was listed is not taken for the one listed', async () => {
  const from = await tempDir();
  await writeFile(join(from, 'x.txt'), 'one');
  const node = await testNode('n01', { sourceRoots: [from] });
  const { resolved, files } = await list(node, `file://${from}/x.txt`);
  await writeFile(join(from, 'x.txt'), 'two');
  const fetching = run(createFetchFiles(node), { source: resolved, files, dir });
  await expect(fetching).rejects.toMatchObject({ type: 'DataCorrupt', nonRetryable: true });
});

test('local files are read under the data directory and the roots of the node, wherever their links lead', async () => {
  const [from, elsewhere] = [await tempDir(), await tempDir()];
  await writeFile(join(elsewhere, 'secret.txt'), 'secret');
  await symlink(join(elsewhere, 'secret.txt'), join(from, 'link.txt'));
  await symlink(elsewhere, join(from, 'sub'));
  const node = await testNode('n01', { sourceRoots: [from] });
  const named = (why: string) => ({
    type: 'InvalidInput',
    nonRetryable: true,
    message: expect.stringContaining(why) as string,
  });
  for (const source of [
    `${elsewhere}/secret.txt`,
    `${elsewhere}/*.txt`,
    `${from}/../${basename(elsewhere)}/*`,
    '/etc/passwd',
  ])
    await expect(list(node, `file://${source}`)).rejects.toMatchObject(named('PRETRAIN_SOURCES'));
  for (const source of [`${from}/link.txt`, `${from}/*.txt`, `${from}/sub/*`])
    await expect(list(node, `file://${source}`)).rejects.toMatchObject(named(`leads to ${elsewhere}`));

  await rm(join(from, 'link.txt'));
  await writeFile(join(from, 'x.txt'), 'x');
  const { resolved, files } = await list(node, `file://${from}/*.txt`);
  await rm(join(from, 'x.txt'));
  await symlink(join(elsewhere, 'secret.txt'), join(from, 'x.txt'));
  const fetching = run(createFetchFiles(node), {
    source: resolved,
    files: files.map(({ path, size }) => ({ path, size })),
    dir,
  });
  await expect(fetching).rejects.toMatchObject(named('PRETRAIN_SOURCES'));

  await mkdir(join(node.dataDir, 'own'));
  await writeFile(join(node.dataDir, 'own/y.txt'), 'y');
  expect((await list(node, `file://${node.dataDir}/own`)).files).toMatchObject([{ path: 'y.txt' }]);
});

test('files whose bytes changed here since they were fetched are fetched again, though their sizes are right', async () => {
  const node = await nodeAt(await hub());
  const artifact = await fetchAll(node, 'hf://demo/text@main/data/*');
  // Times of a file system have their grain.
  await pause(20);
  for (const [path, bytes] of [
    ['data/a.jsonl', '{"text":"b"}\n'],
    ['data/b.parquet', Buffer.alloc(table.length)],
  ] as const) {
    await rm(join(node.dataDir, dir, path));
    await writeFile(join(node.dataDir, dir, path), bytes);
  }
  expect(await fetchAll(node, 'hf://demo/text@main/data/*')).toEqual(artifact);
  expect((await read(node, 'data/a.jsonl')).toString()).toBe('{"text":"a"}\n');
  expect(await read(node, 'data/b.parquet')).toEqual(table);
});

test('names that would leave the data directory are refused', async () => {
  const node = await nodeAt(await hub());
  const files = [{ path: '../../escape', size: 1 }];
  const input = { source: 'hf://demo/tiny@main', files, dir };
  await expect(run(createFetchFiles(node), input)).rejects.toMatchObject({ type: 'InvalidInput' });
  await expect(run(createFetchFiles(node), { ...input, dir: '../x' })).rejects.toMatchObject({ type: 'InvalidInput' });
});

test.each<[string, unknown]>([
  ['tokenizer_config.json', { auto_map: { AutoTokenizer: ['/tmp/evil--mod.Tok', null] } }],
  ['config.json', { auto_map: { AutoConfig: '/tmp/evil.Config' } }],
  ['config.json', { auto_map: 'owner/repo--mod.Config' }],
  ['tokenizer_config.json', { auto_map: { AutoTokenizer: [null, '..\\\\x.Tok'] } }],
])('a %s that has code from elsewhere imported is refused: %j', async (name, content) => {
  const from = await tempDir();
  await writeFile(join(from, name), JSON.stringify(content));
  const node = await testNode('n01', { sourceRoots: [from] });
  await expect(fetchAll(node, `file://${from}`)).rejects.toMatchObject({
    type: 'InvalidInput',
    message: expect.stringMatching(`${name} has ".*" imported`) as string,
  });
});

test('configurations that name code beside them, or are none, are fetched like any other file', async () => {
  const from = await tempDir();
  await writeFile(join(from, 'config.json'), '{"auto_map":{"AutoConfig":"configuration_x.Config","AutoModel":null}}');
  await writeFile(join(from, 'tokenizer_config.json'), '{');
  await fetchAll(await testNode('n01', { sourceRoots: [from] }), `file://${from}`);
});

test('a download that cannot fit is refused before its first byte', async () => {
  const { node, seen } = await ill(() => ({}));
  const files = [{ path: 'data/b.parquet', size: 2 ** 60, sha256 }];
  await expect(run(createFetchFiles(node), { source: 'hf://demo/text@main', files, dir })).rejects.toMatchObject({
    type: 'EnvCheckFailed',
    nonRetryable: true,
    message: expect.stringMatching(/^n01: fetch .* needs 1152921504\.6 GB .* Free space there/) as string,
  });
  expect(seen).toEqual([]);
});
