/**
 * A Hugging Face-style hub, on loopback unless told otherwise, for the demo and for tests: serves `{models,datasets}/<owner>/<name>/…` with
 * the routes that a client needs to pin a revision, list a repository and fetch its files by range.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, relative } from 'node:path';
import send from 'send';

export interface Hub {
  url: string;
  close(): Promise<void>;
}

interface Entry {
  type: 'file';
  path: string;
  size: number;
  oid: string;
  lfs?: { oid: string; size: number };
}

/** As on the real hub, tables and weights are kept by LFS and others by git; clients prove the two differently. */
const IN_LFS = /\.(parquet|safetensors|bin|arrow|gz|zst)$/;
const PAGE = 100;

export async function startHub(options: { root: string; port?: number; host?: string }): Promise<Hub> {
  const { root, port = 0, host = '127.0.0.1' } = options;
  const list = cached((repo) => listRepo(join(root, repo)));
  const server = createServer((request, response) => {
    answer({ root, list }, request, response).catch((error: unknown) => {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      reply(response, missing ? 404 : 500, { error: missing ? 'Repository not found' : String(error) });
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return {
    url: `http://${host}:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Serving {
  root: string;
  list(repo: string): Promise<Entry[]>;
}

async function answer({ root, list }: Serving, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://hub');
  const path = decodeURIComponent(url.pathname);
  const api = /^\/api\/(models|datasets)\/([\w-][\w.-]*\/[\w-][\w.-]*)(?:\/(revision|tree)\/([^/]+))?$/.exec(path);
  if (api) {
    const [, type, id, verb, revision] = api;
    const entries = await list(`${type}/${id}`);
    const sha = commitOf(entries);
    if (revision && ![sha, 'main'].includes(revision)) return reply(response, 404, { error: 'Invalid rev id' });
    if (verb !== 'tree')
      return reply(response, 200, { id, sha, siblings: entries.map((e) => ({ rfilename: e.path })) });
    const from = Number(url.searchParams.get('cursor') ?? 0);
    if (from + PAGE < entries.length)
      response.setHeader('link', `<http://${request.headers.host}${url.pathname}?cursor=${from + PAGE}>; rel="next"`);
    return reply(response, 200, entries.slice(from, from + PAGE));
  }
  const file = /^\/(datasets\/)?([\w-][\w.-]*\/[\w-][\w.-]*)\/resolve\/([^/]+)\/(.+)$/.exec(path);
  if (!file) return reply(response, 404, { error: 'no such route' });
  const [, datasets, id, revision, name] = file;
  const repo = `${datasets ? 'datasets' : 'models'}/${id}`;
  const entries = await list(repo);
  const entry = entries.find((other) => other.path === name);
  const sha = commitOf(entries);
  if (!entry || ![sha, 'main'].includes(revision!)) return reply(response, 404, { error: 'Entry not found' });
  response.setHeader('x-repo-commit', sha);
  response.setHeader('etag', `"${entry.lfs?.oid ?? entry.oid}"`);
  send(request, name!.split('/').map(encodeURIComponent).join('/'), { root: join(root, repo), index: false })
    .on('error', () => reply(response, 404, { error: 'Entry not found' }))
    .pipe(response);
}

/** What a repository would be called if its content were committed: the same content, the same name. */
const commitOf = (entries: Entry[]): string =>
  createHash('sha1')
    .update(JSON.stringify(entries.map(({ path, oid }) => [path, oid])))
    .digest('hex');

async function listRepo(dir: string): Promise<Entry[]> {
  const found = await readdir(dir, { recursive: true, withFileTypes: true });
  const entries = found
    .filter((entry) => entry.isFile())
    .map(async (entry): Promise<Entry> => {
      const file = join(entry.parentPath, entry.name);
      const bytes = await readFile(file);
      const path = relative(dir, file);
      const size = bytes.length;
      const oid = createHash('sha1').update(`blob ${size}\0`).update(bytes).digest('hex');
      if (!IN_LFS.test(path)) return { type: 'file', path, size, oid };
      return { type: 'file', path, size, oid, lfs: { oid: createHash('sha256').update(bytes).digest('hex'), size } };
    });
  return (await Promise.all(entries)).sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Repositories do not change while the hub runs, so nothing is hashed twice. */
function cached(list: (repo: string) => Promise<Entry[]>): (repo: string) => Promise<Entry[]> {
  const known = new Map<string, Promise<Entry[]>>();
  return async (repo) => {
    const answer = known.get(repo) ?? list(repo);
    known.set(repo, answer);
    answer.catch(() => known.delete(repo));
    return answer;
  };
}

function reply(response: ServerResponse, status: number, body: unknown): void {
  if (response.headersSent) return void response.destroy();
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
