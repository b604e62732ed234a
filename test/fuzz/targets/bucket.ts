import fc from 'fast-check';
import { listBucket } from '../../../activities/s3.js';
import { timeLimit } from '../../../activities/time-limit.js';
import { mutated } from '../mutate.js';
import type { Target } from '../target.js';
import { hubServer, listsWell } from './hub-server.js';

const object = (key: string, size: number) =>
  `<Contents><Key>${key}</Key><Size>${size}</Size><ETag>&quot;e&quot;</ETag></Contents>`;
const page = (next: string, ...objects: string[]) =>
  `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>b</Name>${objects.join('')}${next}</ListBucketResult>`;
const seeds = [
  page('', object('data/a.parquet', 5), object('data/.hidden', 1), object('data/', 0)),
  page('<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>', object('data/b.parquet', 7)),
  '<?xml version="1.0"?><Error><Code>NoSuchBucket</Code><Message>none</Message></Error>',
].map((text) => Buffer.from(text));

const server = hubServer((url) => (url.includes('continuation-token') ? 1 : 0));
/** A server that answers nonsense is asked again, for longer than there is time here. */
const CALLED_OFF_MS = 50;

/** Whatever a bucket answers. */
export const bucket: Target<[Buffer, Buffer]> = {
  name: 'bucket',
  inputs: fc.tuple(mutated(seeds), mutated(seeds)),
  async check(answers) {
    Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'k', AWS_SECRET_ACCESS_KEY: 's', AWS_REGION: 'us-east-1' });
    const address = await server.answering(answers);
    // The SDK reads it once.
    process.env['AWS_ENDPOINT_URL_S3'] ??= address;
    const { signal, lift } = timeLimit(CALLED_OFF_MS);
    try {
      await listsWell(listBucket('n1', { kind: 's3', bucket: 'b', key: 'data' }, signal), /^s3:\/\/b\/data$/);
    } catch (error) {
      if (error !== signal.reason) throw error;
    } finally {
      lift();
    }
  },
  close: server.close,
};
