/** Data from a bucket: a real server of S3's interface, through the SDK. */
import { randomBytes } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import S3rver from 's3rver';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { sha256 } from '../../activities/artifact.js';
import { createFetchFiles } from '../../activities/fetch-files.js';
import { createListSource } from '../../activities/list-source.js';
import { openBucket } from '../../activities/s3-put.js';
import { namedFrom, renamed } from '../../workflows/model-files.js';
import { s3Environment } from '../support/s3-environment.js';
import { tempDir } from '../support/temp-dir.js';
import { run, testNode } from '../support/test-node.js';

const table = randomBytes(1_000_000);
const dir = 'datasets/k/input/1';
let port: number;

beforeAll(async () => void (port = await s3Environment()));

async function bucket() {
  const server = new S3rver({ port, address: '127.0.0.1', silent: true, directory: await tempDir() });
  await server.run();
  onTestFinished(() => server.close());
  const client = new S3Client({ forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: 'corpus' }));
  const put = (Key: string, Body: Buffer | string) =>
    client.send(new PutObjectCommand({ Bucket: 'corpus', Key, Body }));
  await put('wiki/en/b.parquet', table);
  await put('wiki/en/a b.parquet', 'small');
  await put('wiki/README.md', 'about');
  return { put };
}

test('files of a bucket are listed by pattern and fetched, from a server that has the bucket in its path', async () => {
  await bucket();
  const node = await testNode('n01');
  const { resolved, files } = await run(createListSource(node), { source: 's3://corpus/wiki/**/*.parquet' });
  expect(files.map(({ path, size }) => [path, size])).toEqual([
    ['wiki/en/a b.parquet', 5],
    ['wiki/en/b.parquet', table.length],
  ]);
  await run(createFetchFiles(node), { source: resolved, files, dir });
  expect((await readFile(join(node.dataDir, dir, 'wiki/en/b.parquet'))).equals(table)).toBe(true);
  expect(await readFile(join(node.dataDir, dir, 'wiki/en/a b.parquet'), 'utf8')).toBe('small');
});

test('files of a directory in a bucket may be named from there', async () => {
  await bucket();
  const node = await testNode('n01');
  const source = 's3://corpus/wiki/en';
  const { resolved, files } = await run(createListSource(node), { source });
  const named = files.map((file) => renamed(file, namedFrom(source)(file.path)));
  await run(createFetchFiles(node), { source: resolved, files: named, dir });
  expect((await readFile(join(node.dataDir, dir, 'b.parquet'))).equals(table)).toBe(true);
  expect(await readFile(join(node.dataDir, dir, 'a b.parquet'), 'utf8')).toBe('small');
});

test('a download that is cut goes on where it was while the object is the same, and asks with a signature of its own', async () => {
  const asked: { range?: string; condition?: string; signed: string | null }[] = [];
  const file = { path: 'wiki/a.jsonl', size: table.length, etag: '"one"' };
  const server = createServer(({ url, headers: { range, 'if-range': condition } }, response) => {
    const signed = new URL(url!, 'http://x').searchParams.get('X-Amz-Date');
    asked.push({ ...(range && { range }), ...(typeof condition === 'string' && { condition }), signed });
    const from = range ? Number(/\d+/.exec(range)![0]) : 0;
    response.writeHead(range ? 206 : 200, {
      ...{ etag: file.etag, 'content-length': table.length - from },
      ...(range && { 'content-range': `bytes ${from}-${table.length - 1}/${table.length}` }),
    });
    if (asked.length > 1) return void response.end(table.subarray(from));
    response.write(table.subarray(0, 600_000));
    setTimeout(() => response.socket?.end(), 1200);
  }).listen(port, '127.0.0.1');
  onTestFinished(() => void (server.closeAllConnections(), server.close()));
  const node = await testNode('n01');
  await run(createFetchFiles(node), { source: 's3://corpus/wiki', files: [file], dir });
  expect((await readFile(join(node.dataDir, dir, file.path))).equals(table)).toBe(true);
  expect(asked).toHaveLength(2);
  expect(asked[1]).toMatchObject({ range: 'bytes=600000-', condition: '"one"' });
  expect(asked[1]!.signed).not.toBe(asked[0]!.signed);
});

test('what was fetched before a crash is not fetched again, while its entity tag is the same', async () => {
  let asked = 0;
  const server = createServer((_, response) => {
    asked++;
    response.writeHead(200, { etag: '"one"', 'content-length': table.length }).end(table);
  }).listen(port, '127.0.0.1');
  onTestFinished(() => void (server.closeAllConnections(), server.close()));
  const node = await testNode('n01');
  const fetch = (etag: string) =>
    run(createFetchFiles(node), {
      ...{ source: 's3://corpus/*', dir },
      files: ['a', 'b'].map((path) => ({ path, size: table.length, etag })),
    });
  const artifact = await fetch('"one"');
  const crash = () => rm(join(node.dataDir, dir, 'manifest.json'));
  await crash();
  expect([await fetch('"one"'), asked]).toEqual([artifact, 2]);
  await crash();
  await expect(fetch('"two"')).rejects.toMatchObject({ type: 'DataCorrupt' });
});

test('an object that was replaced after it was listed is refused', async () => {
  const { put } = await bucket();
  const node = await testNode('n01');
  const { resolved, files } = await run(createListSource(node), { source: 's3://corpus/wiki/en' });
  await put('wiki/en/b.parquet', randomBytes(table.length));
  await expect(run(createFetchFiles(node), { source: resolved, files, dir })).rejects.toMatchObject({
    type: 'DataCorrupt',
    // Not the address that was asked: it is signed, and opens the object to whoever reads it.
    message: expect.stringMatching(
      /^n01: fetch \S+: s3:\/\/corpus\/wiki\/en\/b\.parquet changed: its entity tag was/,
    ) as string,
  });
});

test('all of a bucket is listed by a server that knows the older question for it alone', async () => {
  const names = ['a', 'b', 'c', 'd', 'e'].map((name) => `wiki/${name}.parquet`);
  let isStuck = false;
  const server = createServer(({ url }, response) => {
    const after = isStuck ? '' : (new URL(url!, 'http://x').searchParams.get('marker') ?? '');
    const left = names.filter((name) => name > after);
    const told = left.slice(0, 2).map((name) => `<Contents><Key>${name}</Key><Size>1</Size></Contents>`);
    const isTruncated = `<IsTruncated>${left.length > 2}</IsTruncated>`;
    response.end(`<ListBucketResult>${isTruncated}${told.join('')}</ListBucketResult>`);
  }).listen(port, '127.0.0.1');
  onTestFinished(() => void (server.closeAllConnections(), server.close()));
  const node = await testNode('n01');
  const listed = () => run(createListSource(node), { source: 's3://corpus/wiki/*.parquet' });
  expect((await listed()).files.map(({ path }) => path)).toEqual(names);
  isStuck = true;
  await expect(listed()).rejects.toThrow('lists the same names again');
});

test('what is put into a bucket has no checksums that only AWS knows, and is read back', async () => {
  const [file, stored] = [join(await tempDir(), 'x'), new Map<string, Buffer>()];
  const names: string[] = [];
  const server = createServer((request, response) => {
    names.push(...Object.keys(request.headers));
    const key = request.url!.split('?')[0]!;
    void buffer(request).then((bytes) => {
      if (request.method === 'PUT') stored.set(key, bytes);
      const found = stored.get(key);
      response.statusCode = found ? 200 : 404;
      response.setHeader('content-length', request.method === 'PUT' ? 0 : (found?.length ?? 0));
      response.end(request.method === 'GET' ? found : undefined);
    });
  }).listen(port, '127.0.0.1');
  onTestFinished(() => void (server.closeAllConnections(), server.close()));
  await writeFile(file, 'model');
  const { signal } = new AbortController();
  const what = { path: 'x', size: 5, sha256: sha256('model') };
  await openBucket('n01', 'models', 'mine', signal).putProven(file, what);
  expect(stored.get('/models/mine/x')?.toString()).toBe('model');
  expect(names.filter((name) => /checksum|trailer/.test(name))).toEqual([]);
});

test('a bucket that is not there is named, with what to check', async () => {
  await bucket();
  const listing = run(createListSource(await testNode('n01')), { source: 's3://missing/data/*' });
  await expect(listing).rejects.toMatchObject({
    type: 'InvalidInput',
    message: expect.stringMatching(
      /^n01: s3:\/\/missing\/data\/\*: NoSuchBucket \(404\).*AWS_ENDPOINT_URL_S3/,
    ) as string,
  });
});
