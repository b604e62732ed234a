import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ApplicationFailure } from '@temporalio/common';
import fc from 'fast-check';
import { DownloadError } from '../../../activities/download.js';
import type { SourceListing } from '../../../workflows/contract.js';
import { mutated, mutatedJson } from '../mutate.js';

export type Answer = string | Buffer;

/** A hub that answers whatever it is given, by what is asked for. */
export function hubServer(pick: (url: string) => number) {
  let server: Server | undefined;
  let answers: readonly Answer[] = [];
  return {
    async answering(given: readonly Answer[]): Promise<string> {
      answers = given;
      server ??= await new Promise<Server>((resolve) => {
        const made = createServer((request, response) => void response.end(answers[pick(request.url ?? '')])).listen(
          0,
          '127.0.0.1',
          () => resolve(made),
        );
      });
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    },
    async close(): Promise<void> {
      server?.closeAllConnections();
      await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
      server = undefined;
    },
  };
}

/** An answer as a hub gives it, or nearly so. */
export const answerLike = (seed: object): fc.Arbitrary<Answer> =>
  fc.oneof(
    mutated([Buffer.from(JSON.stringify(seed))]),
    mutatedJson([seed]).map((value) => JSON.stringify(value) ?? ''),
    fc.constant(JSON.stringify(seed)),
  );

/** A listing whose files lie below their directory, or an error that says what was wrong. */
export async function listsWell(listing: Promise<SourceListing>, pinned: RegExp): Promise<void> {
  try {
    const { resolved, files } = await listing;
    if (!pinned.test(resolved)) throw new Error(`pinned to ${resolved}`);
    for (const { path, size, sha256 } of files)
      if (!path || !Number.isSafeInteger(size) || size < 0 || (sha256 !== undefined && !/^[0-9a-f]{64}$/.test(sha256)))
        throw new Error(`lists ${JSON.stringify({ path, size, sha256 })}`);
  } catch (error) {
    if (!(error instanceof ApplicationFailure || error instanceof DownloadError)) throw error;
  }
}
