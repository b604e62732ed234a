/**
 * What a node shows to other nodes: read-only, only files that a manifest below `datasets`, `models` or `series`
 * names, the tracker of a series, and its own name. No listing, no path of the asker's making.
 */
import { realpath } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, sep } from 'node:path';
import send from 'send';
import { MANIFEST, readManifest } from './artifact.js';

export interface FileServiceOptions {
  dataDir: string;
  host: string;
  /** 0 for any that is free. */
  port: number;
  name: string;
}

export interface FileService {
  port: number;
  close(): Promise<void>;
}

const TRACKER = /^series\/[^/]+\/checkpoints\/latest_checkpointed_iteration\.txt$/;

export async function startFileService({ dataDir, host, port, name }: FileServiceOptions): Promise<FileService> {
  const root = await realpath(dataDir);
  const server = createServer((request, response) => {
    answer(root, name, request, response).catch(() => end(response, 500));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(root: string, name: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return end(response, 405);
  if (request.url === '/health') return void response.setHeader('content-type', 'text/plain').end(name);
  const path = shownPath(request.url ?? '');
  if (path === undefined || !(await isShown(root, path))) return end(response, 404);
  // A link inside the data directory must not lead out of it.
  const real = await realpath(join(root, path)).catch(() => '');
  if (!real.startsWith(root + sep)) return end(response, 404);
  const url = real.slice(root.length).split(sep).map(encodeURIComponent).join('/');
  send(request, url, { root, dotfiles: 'deny', index: false, cacheControl: false })
    .on('error', (error: { status?: number }) => end(response, error.status ?? 500))
    .on('directory', () => end(response, 404))
    .pipe(response);
}

function shownPath(url: string): string | undefined {
  const [encoded = ''] = url.split('?', 1);
  let path: string;
  try {
    path = decodeURIComponent(encoded);
  } catch {
    return undefined;
  }
  const parts = path.slice(1).split('/');
  const plain = parts.every((part) => part !== '' && !part.startsWith('.')) && !/[\\\0]/.test(path);
  return plain && ['datasets', 'models', 'series'].includes(parts[0]!) ? parts.join('/') : undefined;
}

/** Is it the tracker, a manifest, or a file that the manifest of one of its directories names? */
async function isShown(root: string, path: string): Promise<boolean> {
  if (TRACKER.test(path)) return true;
  const parts = path.split('/');
  for (let cut = parts.length - 1; cut > 0; cut--) {
    const found = await readManifest(root, parts.slice(0, cut).join('/'));
    const name = parts.slice(cut).join('/');
    if (found && (name === MANIFEST || found.manifest.files.some((file) => file.path === name))) return true;
  }
  return false;
}

function end(response: ServerResponse, status: number): void {
  if (response.headersSent) return void response.destroy();
  response.writeHead(status, { 'content-type': 'text/plain' }).end(`${status}\n`);
}
