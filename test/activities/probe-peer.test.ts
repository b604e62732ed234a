/** What a node can say of another whose worker does not answer. */
import { createServer, type AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { createProbePeer } from '../../activities/probe-peer.js';
import { run } from '../support/test-node.js';

const probe = (url: string) => run(createProbePeer(), { peer: { name: 'n2', url } });

it('a machine that serves, and one that refuses because its worker is away, are both there', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  expect(await probe(url)).toEqual({ reachable: true });
  await new Promise((done) => server.close(done));
  expect(await probe(url)).toEqual({ reachable: true });
});

it('an address that cannot be reached is not', async () => {
  expect(await probe('http://255.255.255.255:9')).toEqual({ reachable: false });
});
