/**
 * What a node shows to other nodes: read-only, by digest and number. Blocks of artifacts whose manifest's digest the
 * asker knows, that manifest, how much of it is here; and of the series of the asker's run the tracker and the manifests
 * of shards. No path comes from the wire, and without a token there is nothing but the node's name.
 */
import { realpath, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Server, Socket } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import parseRange, { type Range } from 'range-parser';
import { isDcpShard } from '../workflows/dcp-shards.js';
import { checkpointsDir } from '../workflows/plan.js';
import { confined, MANIFEST } from './artifact.js';
import { readIfThere } from './atomic.js';
import { isShard, shardDir, TRACKER } from './checkpoint-files.js';
import { isStepBegun } from './dcp-tree.js';
import { grantOf, type Grant } from './grants.js';
import type { Partial } from './partial.js';
import { findShown, hasBlock, openBlock, progressOf, type Shown } from './shown-artifact.js';
import { timeLimit } from './time-limit.js';
import { createUploadSlots, type UploadSlots } from './upload-slots.js';

export interface FileServiceOptions {
  dataDir: string;
  host: string;
  /** 0 for any that is free. */
  port: number;
  name: string;
  /** Certificate and key in PEM: with them it speaks TLS only. */
  tls?: { cert: string; key: string } | undefined;
  now?: () => number;
  /** Hears of bytes of blocks that went to other nodes. */
  onSent?: ((bytes: number) => void) | undefined;
  /** A receiver that takes nothing of a block for this long gives up its place. */
  takesWithinMs?: number;
  /** So many connections one address may have. */
  connectionsOfAddress?: number;
}

export interface FileService {
  port: number;
  close(): Promise<void>;
}

/** Two, so that the line is not idle when one of them is slow. */
const AT_ONCE = 2;
/** Whoever waits in line is told that it is not forgotten. */
const PATIENCE_EVERY_MS = 5000;
/**
 * Of a machine that is gone, or frozen, nothing tells: its system, or nobody, goes on to hold the connection for a quarter
 * of an hour and more. Long enough for a receiver that keeps a low rate over several connections.
 */
const TAKES_WITHIN_MS = 120_000;
/** How long a question for news of a copy is held back while there are none. */
const NEWS_WITHIN_MS = 5000;

/** Requests here are one line and a token: who takes longer to ask holds a connection for something else. */
const LIMITS = {
  headersTimeout: 5_000,
  requestTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
  // Counted from when the last byte of an answer was handed to the system, which may be long before it has arrived.
  keepAliveTimeout: 60_000,
  maxHeaderSize: 8192,
};
/** More than a thousand nodes that fetch at once, and fewer than there are file descriptors. */
const MOST_CONNECTIONS = 4096;
/** A node has a few for each copy; on one machine there may be many nodes. One address alone keeps nobody else out. */
const MOST_OF_ADDRESS = 1024;
const TLS_WITHIN_MS = 10_000;

interface Service extends FileServiceOptions {
  slots: UploadSlots;
}

export async function startFileService(options: FileServiceOptions): Promise<FileService> {
  const service = { ...options, dataDir: await realpath(options.dataDir), slots: createUploadSlots(AT_ONCE) };
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    answer(service, request, response).catch(() => end(response, 500));
  };
  const { tls } = options;
  const server = tls
    ? createTlsServer({ ...tls, ...LIMITS, handshakeTimeout: TLS_WITHIN_MS, minVersion: 'TLSv1.2' }, listener)
    : createServer(LIMITS, listener);
  server.maxConnections = MOST_CONNECTIONS;
  limitAddresses(server, options.connectionsOfAddress ?? MOST_OF_ADDRESS);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
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

function limitAddresses(server: Server, most: number): void {
  const open = new Map<string, number>();
  server.on('connection', (socket: Socket) => {
    const { remoteAddress = '' } = socket;
    const count = (open.get(remoteAddress) ?? 0) + 1;
    open.set(remoteAddress, count);
    socket.once('close', () => {
      const left = open.get(remoteAddress)! - 1;
      if (left === 0) open.delete(remoteAddress);
      else open.set(remoteAddress, left);
    });
    if (count > most) socket.destroy();
  });
}

const ARTIFACT =
  /^\/artifacts\/([0-9a-f]{64})\/(?:(manifest)|(blocks)\/(0|[1-9]\d{0,9})|(progress)(?:\?after=(\d+))?)$/;
const SERIES = /^\/series\/([A-Za-z0-9][A-Za-z0-9._-]*)\/(?:(tracker)|(0|[1-9]\d{0,14})\/([\w]+))$/;

async function answer(service: Service, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method, url = '' } = request;
  if (method !== 'GET' && method !== 'HEAD') return end(response, 405);
  if (url === '/health') return text(response, service.name);
  const grant = await grantOf(service.dataDir, request.headers.authorization, service.now?.());
  if (!grant) {
    // A stranger's connection is not kept for its next question.
    response.setHeader('connection', 'close');
    return end(response, 401);
  }
  const artifact = ARTIFACT.exec(url);
  if (artifact) return answerArtifact(service, grant, artifact, request, response);
  const series = SERIES.exec(url);
  if (series) return answerSeries(service, grant, series, response);
  return end(response, 404);
}

async function answerArtifact(
  service: Service,
  grant: Grant,
  [, digest, manifest, blocks, index, , after]: string[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { dataDir } = service;
  const find = () => findShown(dataDir, digest!, grant);
  const shown = await find();
  if (!shown) return end(response, 404);
  if (manifest) return text(response, shown.manifest, 'application/json');
  if (blocks) return sendBlock(service, shown, Number(index), request, response);
  if (shown.partial && after !== undefined && shown.partial.version <= Number(after))
    await untilNews(shown.partial, closed(response));
  const now = await find();
  return now ? text(response, JSON.stringify(progressOf(now)), 'application/json') : end(response, 404);
}

async function untilNews(partial: Partial, gone: AbortSignal): Promise<void> {
  const limit = timeLimit(NEWS_WITHIN_MS, gone);
  await partial.changed(limit.signal);
  limit.lift();
}

/** Names are checked for being names; where they are, only the node knows. */
async function answerSeries(
  { dataDir }: Service,
  grant: Grant,
  [, series, tracker, iteration, shard]: string[],
  response: ServerResponse,
): Promise<void> {
  if (series !== grant.series || (!tracker && !isShard(shard!))) return end(response, 404);
  const dir = checkpointsDir(series);
  if (tracker) {
    const bytes = await readIfThere(confined(dataDir, `${dir}/${TRACKER}`));
    return bytes ? text(response, bytes) : end(response, 404);
  }
  const place = confined(dataDir, shardDir(dir, Number(iteration), shard!));
  const bytes = await readIfThere(join(place, MANIFEST));
  if (bytes) return text(response, bytes);
  const isBegun =
    (await isDirectory(place)) || (isDcpShard(shard!) && (await isStepBegun(dataDir, series, Number(iteration))));
  // Whoever asks knows that it was saved: without a directory nobody will seal it here.
  return end(response, isBegun ? 404 : 410);
}

const isDirectory = (path: string): Promise<boolean> =>
  stat(path).then(
    (about) => about.isDirectory(),
    () => false,
  );

async function sendBlock(
  { dataDir, slots, onSent, takesWithinMs = TAKES_WITHIN_MS }: Service,
  shown: Shown,
  index: number,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (!hasBlock(shown, index)) return end(response, 404);
  const gone = closed(response);
  const comfort = setInterval(() => response.writeProcessing(), PATIENCE_EVERY_MS);
  const release = await slots.take(request.socket.remoteAddress ?? '', gone).finally(() => clearInterval(comfort));
  response.once('close', release);
  const found = await openBlock(dataDir, shown, index);
  if (!found) return end(response, 404);
  const { file, block } = found;
  try {
    const range = rangeOf(block.length, request.headers.range);
    if (!range) return end(response, 416);
    const [status, { start, end: last }] = range;
    if (status === 206) response.setHeader('content-range', `bytes ${start}-${last}/${block.length}`);
    const length = last - start + 1;
    response.writeHead(status, { 'content-type': 'application/octet-stream', 'content-length': length });
    if (request.method === 'HEAD' || length === 0) return void response.end();
    const place = { start: block.offset + start, end: block.offset + last, highWaterMark: 2 ** 20, autoClose: false };
    const idle = timeLimit(takesWithinMs);
    const bytes = file.createReadStream(place).on('data', idle.touch);
    await pipeline(bytes, response, { signal: idle.signal }).finally(() => {
      idle.lift();
      onSent?.(bytes.bytesRead);
    });
  } finally {
    await file.close();
  }
}

/** Both ends are included; several ranges at once are answered with all of it. */
function rangeOf(length: number, header: string | undefined): [200 | 206, Range] | undefined {
  const all: [200, Range] = [200, { start: 0, end: length - 1 }];
  if (header === undefined) return all;
  const ranges = parseRange(length, header);
  if (ranges === -1) return undefined;
  return ranges === -2 || ranges.type !== 'bytes' || ranges.length !== 1 ? all : [206, ranges[0]!];
}

function closed(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  // It may have gone while its token was looked up, and does not say so twice: its place in line would never be free.
  if (response.destroyed) controller.abort();
  else response.once('close', () => controller.abort());
  return controller.signal;
}

const text = (response: ServerResponse, body: string | Uint8Array, type = 'text/plain'): void =>
  void response.setHeader('content-type', type).end(body);

function end(response: ServerResponse, status: number): void {
  if (response.headersSent) return void response.destroy();
  response.writeHead(status, { 'content-type': 'text/plain' }).end(`${status}\n`);
}
