/** One file over HTTP to one place on disk: resumed by range, proven by digest, renamed only then. */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { request } from 'undici';
import { sha256 as digestOf, sizeOf } from './artifact.js';
import { commitFile, errorCode, nameBeside, noneIfMissing } from './atomic.js';
import { bootSeconds } from './process.js';
import { timeLimit } from './time-limit.js';

export interface DownloadOptions {
  url: string;
  /** In messages, where the address itself is a secret: one that is signed opens the file to whoever reads it. */
  called?: string | undefined;
  to: string;
  /** Where it is put together. */
  part: string;
  headers?: Record<string, string>;
  size: number;
  /** What the bytes must hash to. Without either only a strong entity tag lets a download go on: nothing else would tell a mixture of two versions. */
  sha256?: string | undefined;
  blob?: string | undefined;
  /** Refuses an answer whose entity tag is another one. */
  etag?: string | undefined;
  /** Likewise, whose time of the last change is. */
  modified?: string | undefined;
  signal?: AbortSignal | undefined;
  onBytes?: ((bytes: number) => void) | undefined;
  /** A connection that brings nothing for this long is given up. */
  idleMs?: number;
}

/**
 * Where a node puts a fetched file together: two nodes may share the directory. Where an entity tag alone tells versions
 * apart it is part of the name.
 */
export const fetchedPart = (node: string, to: string, etag?: string): string =>
  join(dirname(to), `${nameBeside(to)}.${etag === undefined ? '' : `${digestOf(etag).slice(0, 8)}.`}${node}.part`);

/** Why a download ended. `refused` is the server's word, `cut` a lost connection, `wrong` bytes that are not the file's. */
export class DownloadError extends Error {
  override name = 'DownloadError';
  constructor(
    readonly kind: 'refused' | 'cut' | 'wrong',
    message: string,
    readonly status?: number,
    readonly retryAfterMs?: number,
  ) {
    super(message);
  }
}

/** Returns the SHA-256 of the whole file. What has arrived stays in `part` for the next attempt, unless it is wrong. */
export async function download(options: DownloadOptions): Promise<string> {
  const { url, called = url, to, part, size, sha256, blob } = options;
  await mkdir(dirname(to), { recursive: true });
  if (!isProven(options) && !(isStrong(options.etag) && (await isOnDisk(part)))) await rm(part, { force: true });

  const proofs = startProofs(size, !sha256 && blob !== undefined);
  let have = (await sizeOf(part)) ?? 0;
  if (have > size) {
    await rm(part);
    have = 0;
  }
  for await (const chunk of have > 0 ? createReadStream(part, { highWaterMark: 2 ** 20 }) : [])
    proofs.add(chunk as Buffer);
  options.onBytes?.(have);
  if (have < size || size === 0) await receive(options, part, have, proofs);

  const found = proofs.digests();
  if (sha256 ? found.sha256 !== sha256 : found.blob !== blob) {
    await rm(part, { force: true });
    const [kind, got, wanted] = sha256 ? ['sha256', found.sha256, sha256] : ['git blob', found.blob, blob];
    throw new DownloadError('wrong', `${called} has ${kind} ${got}, not ${wanted}`);
  }
  await commitFile(part, to);
  return found.sha256;
}

const isProven = ({ sha256, blob }: DownloadOptions): boolean => sha256 !== undefined || blob !== undefined;

/** A weak one may stay the same while bytes change. */
export const isStrong = (etag: string | undefined): etag is string => etag !== undefined && !etag.startsWith('W/');

/** What was written before the machine last started may have been lost on its way to the disk, and no digest would tell. */
async function isOnDisk(part: string): Promise<boolean> {
  const [found] = await stat(part).then((stats) => [stats], noneIfMissing);
  return found !== undefined && found.mtimeMs > Date.now() - (await bootSeconds()) * 1000;
}

async function receive(options: DownloadOptions, part: string, have: number, proofs: Proofs): Promise<void> {
  const { url, called = url, size, onBytes } = options;
  const idle = timeLimit(options.idleMs ?? 60_000, options.signal);
  let received = have;
  let answered = false;
  try {
    const headers = {
      ...options.headers,
      'accept-encoding': 'identity',
      ...(have ? { range: `bytes=${have}-` } : {}),
      ...(have && !isProven(options) && isStrong(options.etag) ? { 'if-range': options.etag } : {}),
    };
    const asked = { headers, signal: idle.signal };
    const response = await asItIs(await fetch(url, asked), options, have, asked);
    answered = true;
    requireBody(response, options, have);
    if (response.status === 200 && have) {
      proofs.restart();
      onBytes?.(-have);
      received = 0;
    }
    const count = async function* (source: AsyncIterable<Buffer>) {
      for await (const chunk of source) {
        idle.touch();
        received += chunk.length;
        if (received > size)
          throw new DownloadError('wrong', `${called} is longer than the ${size} bytes it should have`);
        proofs.add(chunk);
        onBytes?.(chunk.length);
        yield chunk;
      }
    };
    // A body of no bytes is null.
    const body = response.body ? Readable.fromWeb(response.body as never) : Readable.from([]);
    await pipeline(body, count, createWriteStream(part, { flags: received ? 'a' : 'w' }));
  } catch (error) {
    if (options.signal?.aborted) throw options.signal.reason;
    if (error instanceof DownloadError) {
      if (error.kind === 'wrong') await rm(part, { force: true });
      throw error;
    }
    if (isDiskError(error)) throw error;
    const why = idle.signal.aborted ? `nothing came for ${options.idleMs ?? 60_000} ms` : causeOf(error);
    const where = answered ? `broke off after ${received} of ${size} bytes` : 'cannot be reached';
    throw new DownloadError('cut', `${called} ${where}: ${why}`);
  } finally {
    idle.lift();
  }
  if (received < size) throw new DownloadError('cut', `${called} ended after ${received} of ${size} bytes`);
}

/**
 * Of a file that is compressed some servers, and objects of S3, say that their answer is: `fetch` would unpack it, and
 * these are the bytes that were listed. An answer of another length was compressed on its way, and is unpacked.
 */
async function asItIs(
  response: Response,
  { url: asked, size }: DownloadOptions,
  have: number,
  { headers, signal }: { headers: Record<string, string>; signal: AbortSignal },
): Promise<Response> {
  const left = response.status === 206 ? size - have : size;
  if (!response.headers.has('content-encoding') || response.headers.get('content-length') !== String(left))
    return response;
  await response.body?.cancel();
  // What opens the one server is not for another one that it sends to.
  const isSame = new URL(response.url).origin === new URL(asked).origin;
  const { authorization: _, cookie: __, ...open } = headers;
  const raw = await request(response.url, { headers: isSame ? headers : open, signal });
  const told = Object.entries(raw.headers).map(([name, value]): [string, string] => [name, String(value)]);
  return new Response(Readable.toWeb(raw.body) as never, { status: raw.statusCode, headers: told });
}

function requireBody(response: Response, { url, called = url, etag, modified }: DownloadOptions, have: number): void {
  const { status, headers } = response;
  if (status !== 200 && status !== 206) throw refusal(called, response);
  if (status === 206 && !headers.get('content-range')?.startsWith(`bytes ${have}-`))
    throw new DownloadError('wrong', `${called} answered range ${headers.get('content-range')} to bytes ${have}-`);
  if (etag && headers.get('etag') !== etag)
    throw new DownloadError('wrong', `${called} changed: its entity tag was ${etag} and is ${headers.get('etag')}`);
  if (modified && headers.get('last-modified') !== modified)
    throw new DownloadError(
      'wrong',
      `${called} changed: it was of ${modified} and is of ${headers.get('last-modified')}`,
    );
}

/** What a server's answer other than success means for the one who asked. */
export function refusal(url: string, { status, statusText, headers }: Response): DownloadError {
  const after = retryAfterMs(headers.get('retry-after'));
  return new DownloadError('refused', `${url} answered ${status} ${statusText}`.trim(), status, after);
}

/** What `Retry-After` says, which is seconds or a date. */
export function retryAfterMs(said: string | null | undefined): number | undefined {
  if (!said) return undefined;
  const ms = /^\d+$/.test(said) ? Number(said) * 1000 : Date.parse(said) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

interface Proofs {
  add(chunk: Buffer): void;
  restart(): void;
  digests(): { sha256: string; blob: string | undefined };
}

function startProofs(size: number, needsBlob: boolean): Proofs {
  let sha256: Hash;
  let blob: Hash | undefined;
  const restart = () => {
    sha256 = createHash('sha256');
    blob = needsBlob ? createHash('sha1').update(`blob ${size}\0`) : undefined;
  };
  restart();
  return {
    add(chunk) {
      sha256.update(chunk);
      blob?.update(chunk);
    },
    restart,
    digests: () => ({ sha256: sha256.digest('hex'), blob: blob?.digest('hex') }),
  };
}

export const isDiskError = (error: unknown): boolean =>
  ['ENOSPC', 'EDQUOT', 'EIO', 'EACCES', 'EROFS', 'ENOENT'].includes(errorCode(error) ?? '');

export const causeOf = (error: unknown): string => {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return cause instanceof Error ? cause.message : String(cause);
};
