/** What a node can say of another whose worker does not answer. */
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { watchForAbsence } from '../../activities/absence.js';
import { createProbePeer } from '../../activities/probe-peer.js';
import { blackHole } from '../support/black-hole.js';
import { run } from '../support/test-node.js';
import { until } from '../support/until.js';

const UNREACHABLE = 'http://255.255.255.255:9';

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
  expect(await probe(UNREACHABLE, { withinMs: 60, knocks: 2 })).toEqual({ reachable: false });
});

it('a machine whose link comes back while it is asked is there, before TCP would send again what was lost', async () => {
  const { url, comeBack } = await blackHole();
  expect(await probe(url, { withinMs: 200, knocks: 2 })).toEqual({ reachable: false });

  // A connection to it that was there before would never break off.
  let isAbsent = false;
  const gone = { onAbsent: () => void (isAbsent = true), silentMs: 50, patience: { withinMs: 60, knocks: 2 } };
  const absence = watchForAbsence({ url }, gone);
  await until(() => isAbsent, 20);
  absence.stop();

  const asked = probe(url, { withinMs: 600, knocks: 5 });
  await sleep(200);
  comeBack();
  expect(await asked).toEqual({ reachable: true });
});

it('a machine that is only slow is not taken for absent, nor one that says something while it is asked', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const slow = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const absent: string[] = [];
  const watch = (url: string) =>
    watchForAbsence(
      { url },
      { onAbsent: () => void absent.push(url), silentMs: 20, patience: { withinMs: 60, knocks: 2 } },
    );
  const [silent, unreached] = [watch(slow), watch(UNREACHABLE)];
  for (let times = 0; times < 30; times++) {
    unreached.touch();
    await sleep(5);
  }
  expect(absent).toEqual([]);
  await until(() => absent.length > 0, 20);
  for (const absence of [silent, unreached]) absence.stop();
  expect(absent).toEqual([UNREACHABLE]);
  server.close();
});
