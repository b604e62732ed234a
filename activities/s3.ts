/**
 * Buckets of S3's interface, through the AWS SDK: credentials, region and endpoint are found where it always looks for
 * them (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL_S3`, profiles …). Buckets are part of the path, as MinIO and OBS want it.
 */
import { GetObjectCommand, ListObjectsV2Command, S3Client, S3ServiceException } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import type { SourceFile, SourceListing } from '../workflows/contract.js';
import { requireEnd } from './ask-hub.js';
import { DownloadError, retryAfterMs } from './download.js';
import { failure } from './failures.js';
import { globBase, isGlob, matching } from '../workflows/glob.js';
import { retrying } from './retrying.js';
import type { Source } from './source.js';

type S3Source = Source & { kind: 's3' };

/** One attempt is over long before; the next one signs anew. */
const SIGNED_FOR_SECONDS = 24 * 3600;

/** The SDK itself waits for ever for a server that takes a question and does not answer. */
const LIMITS = { connectionTimeout: 30_000, socketTimeout: 60_000 };

let client: S3Client | undefined;
export const s3 = (): S3Client => (client ??= new S3Client({ forcePathStyle: true, requestHandler: LIMITS }));

/** Lists by the part of the name before any pattern. A prefix without one is a file or a directory. */
export async function listBucket(
  node: string,
  { bucket, key = '' }: S3Source,
  signal: AbortSignal,
): Promise<SourceListing> {
  const wanted = matching(key || undefined);
  const files: SourceFile[] = [];
  let after: string | undefined;
  let pages = 0;
  do {
    requireEnd(++pages, files.length, `s3://${bucket}/${key}`);
    const page = await asked(node, `s3://${bucket}/${key}`, signal, () =>
      s3().send(
        new ListObjectsV2Command({
          ...{ Bucket: bucket, Prefix: isGlob(key) ? globBase(key) : key.replace(/\/$/, '') },
          ...(after !== undefined && { ContinuationToken: after }),
        }),
        { abortSignal: signal },
      ),
    );
    for (const { Key: path, Size: size = 0, ETag: etag } of page.Contents ?? [])
      if (path && !path.endsWith('/') && wanted(path) && !/(^|\/)\./.test(path))
        files.push({ path, size, ...(etag && { etag }) });
    after = page.NextContinuationToken;
  } while (after !== undefined);
  return { resolved: `s3://${bucket}/${key}`, files };
}

/** An address from which the object can be read without credentials, for a while. */
export const signedUrl = ({ bucket }: S3Source, path: string): Promise<string> =>
  getSignedUrl(s3(), new GetObjectCommand({ Bucket: bucket, Key: path }), { expiresIn: SIGNED_FOR_SECONDS });

/** What a bucket refuses is told with what to check; what may pass is asked again. */
export async function asked<T>(node: string, source: string, signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  try {
    return await retrying(
      () =>
        ask().catch((error: unknown) => {
          if (!(error instanceof S3ServiceException)) throw new DownloadError('cut', `${source}: ${String(error)}`);
          const { name, message, $metadata, $response } = error;
          const status = $metadata.httpStatusCode;
          const after = retryAfterMs($response?.headers['retry-after']);
          throw new DownloadError('refused', `${source}: ${name} (${status}): ${message}`, status, after);
        }),
      { signal },
    );
  } catch (error) {
    if (!(error instanceof DownloadError && error.kind === 'refused' && (error.status ?? 0) < 500)) throw error;
    throw failure(
      'InvalidInput',
      `${node}: ${error.message}. Check bucket and region, and AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL_S3 of the node worker`,
      { nonRetryable: true, cause: error },
    );
  }
}
