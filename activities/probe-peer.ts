/** Is another machine there at all: asked past the server, by whoever can still be asked. */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeActivities, Peer } from '../workflows/contract.js';
import { errorCode } from './atomic.js';

export const PATIENCE = { withinMs: 3_000, knocks: 5 };

export const createProbePeer =
  (patience = PATIENCE): NodeActivities['probePeer'] =>
  async ({ peer }) => ({ reachable: await isReachable(peer, patience) });

/**
 * A refused connection is an answer as well: the machine lives, only its worker is away. Asked several times, since a
 * link that comes back lets through what is sent then, and TCP itself sends what was lost again ever more slowly.
 *
 * @param signal ends the asking, as if nobody had answered
 */
export async function isReachable(
  peer: Pick<Peer, 'url'>,
  { withinMs, knocks } = PATIENCE,
  signal?: AbortSignal,
): Promise<boolean> {
  const over = new AbortController();
  const end = () => over.abort();
  signal?.addEventListener('abort', end);
  const apart = withinMs / knocks;
  try {
    await Promise.any(
      Array.from({ length: knocks }, async (_, index) => {
        await sleep(index * apart, undefined, { signal: over.signal });
        await knock(peer, withinMs - index * apart, over.signal);
      }),
    );
    return true;
  } catch {
    return false;
  } finally {
    signal?.removeEventListener('abort', end);
    over.abort();
  }
}

const knock = ({ url }: Pick<Peer, 'url'>, withinMs: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), signal });
    const done = (isThere: boolean) => {
      socket.destroy();
      if (isThere) resolve();
      else reject(new Error(`${url} does not answer`));
    };
    socket.setTimeout(withinMs, () => done(false));
    socket.once('connect', () => done(true));
    socket.once('error', (error) => done(errorCode(error) === 'ECONNREFUSED'));
  });
