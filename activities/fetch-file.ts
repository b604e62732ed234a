/** One file of a source: from where it is, in place and proven. */
import type { SourceFile } from '../workflows/contract.js';
import { confined, isFile } from './artifact.js';
import { copyLocal } from './copy-local.js';
import { download, DownloadError, fetchedPart } from './download.js';
import { failure } from './failures.js';
import { hubHeaders, repoFileUrl } from './hub.js';
import { modelscopeFileUrl, modelscopeHeaders } from './modelscope.js';
import type { NodeDeps } from './node-deps.js';
import { retrying } from './retrying.js';
import { signedUrl } from './s3.js';
import type { Source } from './source.js';
import { keepInStore, placeFromStore } from './store.js';

/** Returns the file's SHA-256. */
export async function fetchFile(
  deps: NodeDeps,
  source: Source,
  file: SourceFile,
  root: string,
  signal: AbortSignal,
  progress: { bytes: number },
): Promise<string> {
  const { path, size, sha256 } = file;
  const { dataDir, name: node } = deps;
  const to = confined(root, path);
  const onBytes = (bytes: number) => void (progress.bytes += bytes);
  if (sha256) {
    const wanted = { path, size, sha256 };
    if ((await isFile(to, wanted, { signal })) || (await placeFromStore(dataDir, wanted, to, { signal }))) {
      onBytes(size);
      return sha256;
    }
  }
  if (source.kind === 'file') return copyLocal(deps, source.path, file, to, signal, onBytes);

  const { url, headers = {} } = await addressOf(deps, source, path);
  const etag = source.kind === 'http' && !sha256 ? source.etag : file.etag;
  let counted = 0;
  const count = (bytes: number) => onBytes(((counted += bytes), bytes));
  try {
    const digest = await retrying(
      () => {
        // Each attempt counts what lies there already once more.
        onBytes(-counted);
        counted = 0;
        return download({
          url,
          to,
          part: fetchedPart(node, to),
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
    return digest;
  } catch (error) {
    throw error instanceof DownloadError ? explain(node, file, error) : error;
  }
}

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

function explain(node: string, { path }: SourceFile, error: DownloadError) {
  const { kind, status = 0, message } = error;
  const gone = kind === 'refused' && status >= 400 && status < 500 && status !== 429 && status !== 408;
  const type = kind === 'wrong' ? 'DataCorrupt' : gone ? 'InvalidInput' : 'CommandFailed';
  return failure(type, `${node}: fetch ${path}: ${message}`, {
    nonRetryable: type !== 'CommandFailed',
    details: { node, path, kind, status },
    cause: error,
    ...(error.retryAfterMs !== undefined && { retryIn: error.retryAfterMs }),
  });
}
