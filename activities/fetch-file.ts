/** One file of a source: from where it is, in place and proven. */
import { join } from 'node:path';
import type { SourceFile } from '../workflows/contract.js';
import { confined, isFile, sha256 as digestOf } from './artifact.js';
import { readIfThere, writeFileAtomic } from './atomic.js';
import { copyLocal } from './copy-local.js';
import { download, DownloadError, fetchedPart, isStrong } from './download.js';
import { failure } from './failures.js';
import { hubHeaders, repoFileUrl } from './hub.js';
import { modelscopeFileUrl, modelscopeHeaders } from './modelscope.js';
import type { NodeDeps } from './node-deps.js';
import { retrying } from './retrying.js';
import { signedUrl } from './s3.js';
import type { Source } from './source.js';
import { keepInStore, placeFromStore } from './store.js';

/**
 * Where it is noted what a file was found to be that only its entity tag pins: when it is asked for again, as after a
 * crash, that proves what lies here already.
 */
const noteOf = ({ dataDir }: NodeDeps, source: Source, path: string, etag: string): string => {
  const at = source.kind === 'http' ? source.url : source.kind === 's3' ? `s3://${source.bucket}` : source.kind;
  return join(dataDir, 'files', 'etags', digestOf(JSON.stringify([at, path, etag])));
};

/** The SHA-256 of a file, where its listing tells it, or a fetch has found it out. */
export async function digestKnown(deps: NodeDeps, source: Source, file: SourceFile): Promise<string | undefined> {
  const etag = etagOf(source, file);
  if (!isStrong(etag)) return file.sha256;
  const noted = (await readIfThere(noteOf(deps, source, file.at ?? file.path, etag)))?.toString('utf8');
  return noted !== undefined && /^[0-9a-f]{64}$/.test(noted) ? noted : undefined;
}

/** Returns the file's SHA-256. */
export async function fetchFile(
  deps: NodeDeps,
  source: Source,
  file: SourceFile,
  root: string,
  signal: AbortSignal,
  progress: { bytes: number },
): Promise<string> {
  const { path, size, sha256, at = path } = file;
  const { dataDir, name: node } = deps;
  const to = confined(root, path);
  const onBytes = (bytes: number) => void (progress.bytes += bytes);
  const known = await digestKnown(deps, source, file);
  if (known !== undefined) {
    const wanted = { path, size, sha256: known };
    if ((await isFile(to, wanted, { signal })) || (await placeFromStore(dataDir, wanted, to, { signal }))) {
      onBytes(size);
      return known;
    }
  }
  if (source.kind === 'file') return copyLocal(deps, source.path, file, to, signal, onBytes);

  const etag = etagOf(source, file);
  let counted = 0;
  const count = (bytes: number) => onBytes(((counted += bytes), bytes));
  try {
    const digest = await retrying(
      async () => {
        // What opens an address for a while is asked for anew: credentials of the node may have changed since.
        const { url, headers = {} } = await addressOf(deps, source, at);
        // Each attempt counts what lies there already once more.
        onBytes(-counted);
        counted = 0;
        return download({
          url,
          called: source.kind === 's3' ? `s3://${source.bucket}/${at}` : undefined,
          to,
          part: fetchedPart(node, to, etag),
          headers,
          size,
          sha256,
          blob: file.blob,
          etag,
          modified: source.kind === 'http' && !sha256 ? source.modified : undefined,
          signal,
          onBytes: count,
        });
      },
      { signal, progress: () => counted },
    );
    await keepInStore(dataDir, digest, to);
    if (isStrong(etag)) await writeFileAtomic(noteOf(deps, source, at, etag), digest);
    return digest;
  } catch (error) {
    throw error instanceof DownloadError ? explain(deps, source, file, error) : error;
  }
}

/** What alone tells one version of the file from another, where its content is not known. */
export const etagOf = (source: Source, { sha256, etag }: SourceFile): string | undefined =>
  sha256 !== undefined ? undefined : source.kind === 'http' ? source.etag : etag;

async function addressOf(
  deps: NodeDeps,
  source: Exclude<Source, { kind: 'file' }>,
  path: string,
): Promise<{ url: string; headers?: Record<string, string> }> {
  switch (source.kind) {
    case 'hf':
      return { url: repoFileUrl(deps, source, path), headers: hubHeaders(deps) };
    case 'modelscope':
      return { url: modelscopeFileUrl(deps, source, path), headers: modelscopeHeaders(deps) };
    case 's3':
      return { url: await signedUrl(source, path) };
    case 'http':
      return { url: source.url };
  }
}

function explain(deps: NodeDeps, { kind: hub }: Source, { path }: SourceFile, error: DownloadError) {
  const { name: node } = deps;
  const { kind, status = 0, message } = error;
  const gone = kind === 'refused' && status >= 400 && status < 500 && status !== 429 && status !== 408;
  const type = kind === 'wrong' ? 'DataCorrupt' : gone ? 'InvalidInput' : 'CommandFailed';
  const advice = status === 401 || status === 403 ? adviceOf(deps, hub) : '';
  return failure(type, `${node}: fetch ${path}: ${message}${advice && `. ${advice}`}`, {
    nonRetryable: type !== 'CommandFailed',
    details: { node, path, kind, status },
    cause: error,
    ...(error.retryAfterMs !== undefined && { retryIn: error.retryAfterMs }),
  });
}

/** A repository may list itself to those who may not read it. */
function adviceOf({ hfToken, modelscopeToken }: NodeDeps, kind: Source['kind']): string {
  switch (kind) {
    case 'hf':
      return hfToken ? TOKEN_MAY_NOT : 'If its repository is gated, set HF_TOKEN on the node';
    case 'modelscope':
      return modelscopeToken ? TOKEN_MAY_NOT : 'If its repository is private, set MODELSCOPE_API_TOKEN on the node';
    case 's3':
      return 'Check that AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the node worker may read it';
    default:
      return '';
  }
}
const TOKEN_MAY_NOT = 'Check that the token of this node may read it: it lists itself also to those who may not';
