/**
 * `npm run bench -- transfer [--megabytes 64] [--block 2] [--rate 4] [--receivers 8] [--json]`: one artifact to several
 * nodes on links of one rate, beside `rsync` from its origin, and one transfer on loopback beside `curl` from nginx and
 * `sha256sum`. Blocks are smaller than 64 MiB so that a small artifact has as many as one of 2 GiB, and the system's
 * send buffers as much smaller than 4 MiB; on loopback they are not. The rate is low so that links are what is measured:
 * each byte is sent, received and hashed on this one machine for every receiver. Everything is in memory: the hosts'
 * disks would be one. Needs Linux, root and iproute2; without rsync or nginx the line says so.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureLoopback } from './transfer/loopback.js';
import { openNetwork } from './transfer/network.js';
import { makeOrigin, measureRsync, measureSwarm } from './transfer/receivers.js';

const { values } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '64' },
    block: { type: 'string', default: '2' },
    rate: { type: 'string', default: '4' },
    receivers: { type: 'string', default: '8' },
    json: { type: 'boolean', default: false },
  },
});
const [megabytes, rate, receivers] = [Number(values.megabytes), Number(values.rate), Number(values.receivers)];

const LOOPBACK_BYTES = 2 ** 28;
/** What Linux gives a connection by default, at most, for blocks of 64 MiB. */
const BUFFER_OF_A_BLOCK = 4 / 64;

const dir = await mkdtemp('/dev/shm/bench-transfer-');
try {
  const whole = await makeOrigin(join(dir, 'whole'), LOOPBACK_BYTES);
  const loopback = await measureLoopback(dir, whole);
  const block = Number(values.block) * 2 ** 20;
  const origin = await makeOrigin(join(dir, 'origin'), megabytes * 2 ** 20, block);
  const network = await openNetwork(receivers, rate, block * BUFFER_OF_A_BLOCK);
  try {
    const one = await measureSwarm(dir, network, origin, 1);
    const all = await measureSwarm(dir, network, origin, receivers);
    const rsyncOne = await measureRsync(dir, network, origin, 1);
    const rsync = rsyncOne && (await measureRsync(dir, network, origin, receivers));
    const ratio = all.seconds / one.seconds;
    const rows: [string, string][] = [
      [`1 receiver at ${rate} MB/s`, `${one.seconds.toFixed(1)} s`],
      [`${receivers} receivers`, `${all.seconds.toFixed(1)} s, ${ratio.toFixed(2)} × one (bar 1.4)`],
      ['sent by the origin', `${all.copies.toFixed(2)} copies (bar 1.5)`],
      rsync && rsyncOne
        ? [
            `rsync to ${receivers} receivers`,
            `${rsync.seconds.toFixed(1)} s, ${(rsync.seconds / rsyncOne.seconds).toFixed(2)} × one, ${rsync.copies.toFixed(2)} copies`,
          ]
        : ['rsync', 'is not installed (Debian: apt install rsync)'],
      ['one transfer on loopback', `${loopback.ours.toFixed(0)} MB/s, proven`],
      loopback.peer === undefined
        ? ['nginx', 'is not installed (Debian: apt install nginx-light)']
        : [
            'curl from nginx, then sha256sum',
            `${loopback.peer.toFixed(0)} MB/s: ours is ${(loopback.ours / loopback.peer).toFixed(2)} × (bar 0.8)`,
          ],
    ];
    for (const [what, figure] of rows) process.stdout.write(`${what.padEnd(36)} ${figure}\n`);
    const measured = {
      ...{
        bench: 'transfer',
        megabytes,
        block: block / 2 ** 20,
        rate,
        receivers,
        timeRatio: ratio,
        originCopies: all.copies,
      },
      ...{ secondsOne: one.seconds, secondsAll: all.seconds },
      ...(rsync && rsyncOne && { rsyncTimeRatio: rsync.seconds / rsyncOne.seconds, rsyncOriginCopies: rsync.copies }),
      loopbackMegabytesPerSecond: loopback.ours,
      ...(loopback.peer !== undefined && { loopbackRatio: loopback.ours / loopback.peer }),
    };
    if (values.json) process.stdout.write(`${JSON.stringify(measured)}\n`);
  } finally {
    await network.close();
  }
} finally {
  await rm(dir, { recursive: true, force: true });
}
