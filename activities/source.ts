/** The addresses that a run file may give for data and weights. */
import { basename } from 'node:path';
import { failure } from './failures.js';

export type Source =
  | { kind: 'hf'; type?: 'datasets' | 'models'; id: string; revision: string; glob?: string }
  | { kind: 'modelscope'; type?: 'datasets' | 'models'; id: string; revision: string; glob?: string }
  | { kind: 'http'; url: string; sha256?: string; etag?: string; modified?: string }
  | { kind: 's3'; bucket: string; key?: string }
  | { kind: 'file'; path: string };

/**
 * - `hf://owner/name@revision/glob`, optionally `hf://datasets/…` or `hf://models/…`; without `@`, `main`
 * - `modelscope://owner/name@revision/glob`, in the same way; without `@`, `master`
 * - `https://…`, one file, optionally `#sha256=…`
 * - `s3://bucket/glob`
 * - `file:///absolute/path`: a file, a directory or a glob, on the node that fetches
 */
export function parseSource(source: string): Source {
  const scheme = /^([a-z0-9]+):\/\//.exec(source)?.[1];
  if (scheme === 'hf') return { kind: 'hf', ...parseHub(source, 'hf', 'main') };
  if (scheme === 'modelscope') return { kind: 'modelscope', ...parseHub(source, 'modelscope', 'master') };
  if (scheme === 'http' || scheme === 'https') return parseHttp(source);
  if (scheme === 's3') {
    const [, bucket, key] = /^s3:\/\/([a-z0-9][a-z0-9.-]+)(?:\/(.+))?$/.exec(source) ?? [];
    if (bucket) return { kind: 's3', bucket, ...(key && { key }) };
    throw invalid(source, 'expected s3://bucket/glob');
  }
  if (scheme === 'file') {
    // What a listing pins it by; any other "#" is part of a name.
    const path = source.slice('file://'.length).replace(/#state=[0-9a-f]{64}$/, '');
    if (path.startsWith('/')) return { kind: 'file', path };
    throw invalid(source, 'expected file:// and an absolute path');
  }
  throw invalid(source, 'expected hf://, modelscope://, https://, http://, s3:// or file://');
}

const REPO = /^(?:(datasets|models)\/(?=[^/@]+\/[^/@]))?([^/@]+(?:\/[^/@]+)?)(?:@([^/]+))?(?:\/(.+))?$/;

interface Repo {
  type?: 'datasets' | 'models';
  id: string;
  revision: string;
  glob?: string;
}

function parseHub(source: string, scheme: string, branch: string): Repo {
  const found = REPO.exec(source.slice(`${scheme}://`.length));
  if (!found) throw invalid(source, `expected ${scheme}://owner/name@revision/glob`);
  const [, type, id, revision, glob] = found;
  return {
    ...(type && { type: type as 'datasets' | 'models' }),
    id: id!,
    revision: revision ? decoded(source, revision) : branch,
    ...(glob && { glob }),
  };
}

function parseHttp(source: string): Source {
  if (!URL.canParse(source)) throw invalid(source, 'expected a URL');
  const url = new URL(source);
  const wanted = new URLSearchParams(url.hash.slice(1));
  url.hash = '';
  const sha256 = wanted.get('sha256') ?? undefined;
  if (sha256 && !/^[0-9a-f]{64}$/.test(sha256)) throw invalid(source, 'expected 64 hexadecimal digits after #sha256=');
  decoded(source, basename(url.pathname));
  const etag = wanted.get('etag') ?? undefined;
  const modified = wanted.get('modified') ?? undefined;
  return {
    ...{ kind: 'http', url: url.href },
    ...(sha256 && { sha256 }),
    ...(etag && { etag }),
    ...(modified && { modified }),
  };
}

/** A part of an address without its percent-encoding. */
export function decoded(source: string, part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw invalid(source, `expected UTF-8 in percent-encoding ("%" itself is %25), got ${part}`);
  }
}

export const invalid = (source: string, what: string) =>
  failure('InvalidInput', `source ${source}: ${what}`, { nonRetryable: true, details: { source } });
