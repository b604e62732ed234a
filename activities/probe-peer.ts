/** Is another machine there at all: asked past the server, by whoever can still be asked. */
import { connect } from 'node:net';
import type { NodeActivities } from '../workflows/contract.js';
import { errorCode } from './atomic.js';

const ANSWERS_WITHIN_MS = 3_000;

/** A refused connection is an answer as well: the machine lives, only its worker is away. */
export const createProbePeer =
  (): NodeActivities['probePeer'] =>
  ({ peer }) =>
    new Promise((resolve) => {
      const { hostname, port } = new URL(peer.url);
      const socket = connect({ host: hostname, port: Number(port) });
      const done = (reachable: boolean) => {
        socket.destroy();
        resolve({ reachable });
      };
      socket.setTimeout(ANSWERS_WITHIN_MS, () => done(false));
      socket.once('connect', () => done(true));
      socket.once('error', (error) => done(errorCode(error) === 'ECONNREFUSED'));
    });
