import { freePort } from '../../infra/setup/free-port.mjs';

/** The SDK reads the environment once, at its first call. @returns the port where the test's S3 server is to be */
export async function s3Environment(): Promise<number> {
  const port = await freePort();
  Object.assign(process.env, {
    ...{ AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${port}`, AWS_REGION: 'us-east-1' },
    ...{ AWS_ACCESS_KEY_ID: 'S3RVER', AWS_SECRET_ACCESS_KEY: 'S3RVER' },
  });
  return port;
}
