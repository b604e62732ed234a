/**
 * A hub that answers as www.modelscope.cn does: its listing in an envelope with a code, a dataset's tree by number and
 * in pages, files in LFS from another server, private repositories to a session's cookie only.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

export interface ModelScopeRepo {
  type: 'models' | 'datasets';
  files: Record<string, Buffer>;
  /** Told to nobody else. */
  token?: string;
}

export interface ModelScopeHub {
  url: string;
  /** Method and path of each request, in order, with the cookie it had. */
  seen: { path: string; host: string; cookie: string | undefined }[];
}

/** @param repos by `owner/name`; each has the branch `master` */
export async function modelscopeHub(repos: Record<string, ModelScopeRepo>): Promise<ModelScopeHub> {
  const seen: ModelScopeHub['seen'] = [];
  const names = Object.keys(repos);
  const listen = async (answer: (request: IncomingMessage, response: ServerResponse, url: URL) => void) => {
    const server = createServer((request, response) => {
      const url = new URL(request.url!, 'http://hub');
      const { host = '', cookie } = request.headers;
      seen.push({ path: `${url.pathname}${url.search}`, host, cookie });
      answer(request, response, url);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const storage = await listen((request, response, url) => {
    const [, repo, path] = /^\/lfs\/([^/]+\/[^/]+)\/(.+)$/.exec(decodeURIComponent(url.pathname))!;
    sendBytes(request, response, repos[repo!]!.files[path!]!);
  });
  const url = await listen((request, response, { pathname, searchParams }) => {
    const found = /^\/api\/v1\/(models|datasets)\/(?:(\d+)|([^/]+\/[^/]+))(?:\/(repo|repo\/files|repo\/tree))?$/.exec(
      pathname,
    );
    const [, type, number, name, verb] = found ?? [];
    const id = number === undefined ? name : names[Number(number) - 1];
    const repo = id === undefined ? undefined : repos[id];
    const isOpen = !repo?.token || request.headers.cookie?.includes(`m_session_id=${repo.token}`);
    if (!repo || repo.type !== type || !isOpen) return refuse(response, 404, 10010205001, 'Record not found');
    if (verb === undefined) return send(response, { Id: names.indexOf(id!) + 1, Type: 2 });
    if (searchParams.get('Revision') !== 'master') return refuse(response, 200, 10010204001, 'revision not exist');
    if (verb === 'repo') {
      const path = searchParams.get('FilePath')!;
      const bytes = repo.files[path];
      if (!bytes) return refuse(response, 404, 10010205001, 'file not found');
      if (!isLfs(bytes)) return sendBytes(request, response, bytes);
      return void response.writeHead(302, { location: encodeURI(`${storage}/lfs/${id}/${path}`) }).end();
    }
    const entries = entriesOf(repo);
    if (verb === 'repo/files') return send(response, { Files: entries, IsVisual: 0 });
    const [page, size] = [Number(searchParams.get('PageNumber')), Number(searchParams.get('PageSize'))];
    send(response, { Files: entries.slice((page - 1) * size, page * size) });
  });
  return { url, seen };
}

const isLfs = (bytes: Buffer): boolean => bytes.length > 10_000;

function entriesOf({ files }: ModelScopeRepo): object[] {
  const directories = new Set(Object.keys(files).flatMap((path) => path.split('/').slice(0, -1)));
  const trees = [...directories].map((path) => ({ Name: path, Path: path, Type: 'tree', Size: 0, Sha256: '' }));
  const blobs = Object.entries(files).map(([path, bytes]) => ({
    ...{ Name: path.split('/').at(-1), Path: path, Type: 'blob', Size: bytes.length, IsLFS: isLfs(bytes) },
    Sha256: createHash('sha256').update(bytes).digest('hex'),
  }));
  return [...trees, ...blobs];
}

const send = (response: ServerResponse, Data: object): void =>
  void response
    .writeHead(200, { 'content-type': 'application/json' })
    .end(JSON.stringify({ Code: 200, Data, Message: 'success', RequestId: 'r', Success: true }));

const refuse = (response: ServerResponse, status: number, Code: number, Message: string): void =>
  void response
    .writeHead(status, { 'content-type': 'application/json' })
    .end(JSON.stringify({ Code, Data: null, Message, RequestId: 'r', Success: false }));

function sendBytes({ headers }: IncomingMessage, response: ServerResponse, bytes: Buffer): void {
  const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0);
  if (from === 0) return void response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
  const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
  response.writeHead(206, { 'content-range': range, 'content-length': bytes.length - from }).end(bytes.subarray(from));
}
