/**
 * Buckets of S3's interface, through the AWS SDK: credentials, region and endpoint are found where it always looks for
 * them (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL_S3`, profiles …). Buckets are part of the path, as MinIO and OBS want it.
 */
import {
  GetObjectCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
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

/** OBS and others refuse an upload with the SDK's own checksums. All that is put or fetched is proven by its bytes anyway. */
const PROVEN_HERE = {
  requestChecksumCalculation: 'WHEN_REQUIRED',
  responseChecksumValidation: 'WHEN_REQUIRED',
} as const;

let client: S3Client | undefined;
export const s3 = (): S3Client =>
  (client ??= new S3Client({ forcePathStyle: true, requestHandler: LIMITS, ...PROVEN_HERE }));

/** Lists by the part of the name before any pattern. A prefix without one is a file or a directory. */
export async function listBucket(
  node: string,
  { bucket, key = '' }: S3Source,
  signal: AbortSignal,
): Promise<SourceListing> {
  const wanted = matching(key || undefined);
  const source = `s3://${bucket}/${key}`;
  const options = { abortSignal: signal };
  const all = { Bucket: bucket, Prefix: isGlob(key) ? globBase(key) : key.replace(/\/$/, '') };
  const files: SourceFile[] = [];
  let next: Next | undefined;
  let pages = 0;
  do {
    requireEnd(++pages, files.length, source);
    const { marker, token } = next ?? {};
    const page: Page = await asked(node, source, signal, () =>
      marker === undefined
        ? s3().send(new ListObjectsV2Command({ ...all, ...(token && { ContinuationToken: token }) }), options)
        : s3().send(new ListObjectsCommand({ ...all, Marker: marker }), options),
    );
    for (const { Key: path, Size: size = 0, ETag: etag } of page.Contents ?? [])
      if (path && !path.endsWith('/') && wanted(path) && !/(^|\/)\./.test(path))
        files.push({ path, size, ...(etag && { etag }) });
    next = nextOf(page);
    if (next?.marker !== undefined && next.marker === marker)
      throw new DownloadError(
        'wrong',
        `${source}: the server lists the same names again, and not what comes after them`,
      );
  } while (next);
  return { resolved: source, files };
}

type Page = Pick<ListObjectsV2CommandOutput, 'Contents' | 'IsTruncated' | 'NextContinuationToken'>;
type Next = { token: string; marker?: undefined } | { marker: string; token?: undefined };

/** What the rest is asked for by: without a token, as of servers that know the older question alone, by the last name. */
function nextOf({ NextContinuationToken: token, IsTruncated, Contents }: Page): Next | undefined {
  if (token !== undefined) return { token };
  const marker = Contents?.at(-1)?.Key;
  return IsTruncated && marker !== undefined ? { marker } : undefined;
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
