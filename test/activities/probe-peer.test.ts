/** What a node can say of another whose worker does not answer. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { createProbePeer } from '../../activities/probe-peer.js';
import { run } from '../support/test-node.js';

const probe = (url: string, patience?: Parameters<typeof createProbePeer>[0]) =>
  run(createProbePeer(patience), { peer: { name: 'n2', url } });

it('a machine that serves, and one that refuses because its worker is away, are both there', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  expect(await probe(url)).toEqual({ reachable: true });
  await new Promise((done) => server.close(done));
  expect(await probe(url)).toEqual({ reachable: true });
});

it('an address that cannot be reached is not', async () => {
  expect(await probe('http://255.255.255.255:9', { withinMs: 60, knocks: 2 })).toEqual({ reachable: false });
});

it('a machine whose link comes back while it is asked is there, before TCP would send again what was lost', async () => {
  // A queue that is full has the kernel drop whatever else knocks, as a link that is down does.
  const script = `const s = require('net').createServer().listen(0, '127.0.0.1', 1, () => console.log(s.address().port))`;
  const server = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const knocking: Socket[] = [];
  try {
    const port = Number(String(((await once(server.stdout, 'data')) as [Buffer])[0]));
    server.kill('SIGSTOP');
    for (let isFull = false; !isFull;) {
      const socket = connect(port, '127.0.0.1');
      knocking.push(socket);
      isFull = !(await Promise.race([once(socket, 'connect'), sleep(500, false)]));
    }
    knocking.at(-1)!.destroy();
    const url = `http://127.0.0.1:${port}`;
    expect(await probe(url, { withinMs: 200, knocks: 2 })).toEqual({ reachable: false });
    const asked = probe(url, { withinMs: 600, knocks: 5 });
    await sleep(200);
    server.kill('SIGCONT');
    expect(await asked).toEqual({ reachable: true });
  } finally {
    for (const socket of knocking) socket.destroy();
    server.kill('SIGKILL');
  }
});
