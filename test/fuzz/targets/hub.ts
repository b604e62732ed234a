import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ApplicationFailure } from '@temporalio/common';
import fc from 'fast-check';
import { DownloadError } from '../../../activities/download.js';
import { listRepo } from '../../../activities/hub.js';
import { mutated, mutatedJson } from '../mutate.js';
import type { Target } from '../target.js';

const sha = 'c'.repeat(40);
const tree = [
  { type: 'file', path: 'data/a.parquet', size: 3, oid: sha, lfs: { oid: 'd'.repeat(64), size: 5 } },
  { type: 'directory', path: 'data', size: 0, oid: sha },
  { type: 'file', path: 'README.md', size: 3, oid: sha },
];

let server: Server | undefined;
let answers: [string | Buffer, string | Buffer];

async function endpoint(): Promise<string> {
  server ??= await new Promise<Server>((resolve) => {
    const made = createServer((request, response) => {
      response.end(answers[request.url?.includes('/tree/') ? 1 : 0]);
    }).listen(0, '127.0.0.1', () => resolve(made));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const json = (seed: object) =>
  fc.oneof(
    mutated([Buffer.from(JSON.stringify(seed))]),
    mutatedJson([seed]).map((value) => JSON.stringify(value) ?? ''),
    fc.constant(JSON.stringify(seed)),
  );

/** Whatever a hub answers: a listing whose files lie below their directory, or an error that says what was wrong. */
export const hub: Target<[string | Buffer, string | Buffer]> = {
  name: 'hub',
  inputs: fc.tuple(json({ sha }), json(tree)),
  async check(input) {
    answers = input;
    const deps = { name: 'n1', hfEndpoint: await endpoint() };
    try {
      const { resolved, files } = await listRepo(deps, { kind: 'hf', type: 'models', id: 'a/b', revision: 'main' });
      if (!/^hf:\/\/models\/a\/b@[\w.-]+$/.test(resolved)) throw new Error(`pinned to ${resolved}`);
      for (const { path, size, sha256 } of files)
        if (!path || !Number.isSafeInteger(size) || size < 0 || (sha256 && !/^[0-9a-f]{64}$/.test(sha256)))
          throw new Error(`lists ${JSON.stringify({ path, size, sha256 })}`);
    } catch (error) {
      if (!(error instanceof ApplicationFailure || error instanceof DownloadError)) throw error;
    }
  },
  async close() {
    server?.closeAllConnections();
    await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
    server = undefined;
  },
};
