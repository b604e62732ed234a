import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { manifestBytes, readManifest, sealArtifact } from '../../../activities/artifact.js';
import { startFileService, type FileService } from '../../../activities/file-service.js';
import { grantAccess } from '../../../activities/grants.js';
import { pullArtifact } from '../../../activities/transfer.js';
import type { Artifact, Peer } from '../../../workflows/contract.js';
import { mutated } from '../mutate.js';
import type { Target } from '../target.js';

const FILE = 'the bytes of a file\n'.repeat(20);
const DIR = 'datasets/k';

interface Site {
  dir: string;
  honest: FileService;
  artifact: Artifact;
  peer: Peer;
  liar: Server;
}

let site: Site | undefined;
/** What the liar answers, by what it is asked for. */
let lies: Record<string, Buffer> = {};

const answering = (body: string | Uint8Array, type = 'application/octet-stream'): Buffer =>
  Buffer.concat([
    Buffer.from(
      `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`,
    ),
    Buffer.from(body),
  ]);

async function open(): Promise<Site> {
  const dir = mkdtempSync(join(tmpdir(), 'fuzz-peer-'));
  const there = join(dir, 'there');
  mkdirSync(join(there, DIR), { recursive: true });
  mkdirSync(join(dir, 'here'));
  writeFileSync(join(there, DIR, 'prefix.bin'), FILE);
  const artifact = await sealArtifact(there, DIR, ['prefix.bin'], { block: 150 });
  const honest = await startFileService({ dataDir: there, host: '127.0.0.1', port: 0, name: 'n1' });
  const token = await grantAccess(there, { run: 'r', series: 's' });
  const liar = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (asked) => {
      const [kind = ''] = /manifest|blocks|progress/.exec(asked.toString('latin1')) ?? [];
      socket.end(lies[kind] ?? '');
    });
  });
  await new Promise<void>((done) => liar.listen(0, '127.0.0.1', done));
  return { dir, honest, artifact, liar, peer: { name: 'n1', url: `http://127.0.0.1:${honest.port}`, token } };
}

const first = FILE.slice(0, 150);
const manifest = {
  files: [{ path: 'prefix.bin', size: FILE.length, sha256: 'a'.repeat(64), blocks: ['b'] }],
  block: 150,
};
const progress = [{ version: 3, blocks: 'oA==', fetching: [1] }, { all: true }];

/** Whatever another node answers, beside one that has the bytes: these bytes, and no others. */
export const peer: Target<[Buffer, Buffer, Buffer, boolean]> = {
  name: 'peer',
  slice: 8,
  inputs: fc.tuple(
    mutated([answering(manifestBytes(manifest)), answering(JSON.stringify(manifest))]),
    mutated([answering(first), answering(FILE)]),
    mutated(progress.map((told) => answering(JSON.stringify(told), 'application/json'))),
    fc.boolean(),
  ),
  async check([manifest, blocks, progress, isSeed]) {
    site ??= await open();
    const { dir, artifact, peer, liar } = site;
    lies = { manifest, blocks, progress };
    const lying: Peer = { name: 'n2', url: `http://127.0.0.1:${(liar.address() as AddressInfo).port}`, token: 't' };
    const dataDir = join(dir, 'here');
    try {
      await pullArtifact(
        { name: 'n3', dataDir },
        { artifact, from: isSeed ? [lying, peer] : [peer], beside: isSeed ? [] : [lying], idleMs: 5_000 },
      );
      if (readFileSync(join(dataDir, DIR, 'prefix.bin'), 'utf8') !== FILE) throw new Error('other bytes');
      if ((await readManifest(dataDir, DIR))?.artifact.digest !== artifact.digest) throw new Error('not vouched for');
    } finally {
      rmSync(join(dataDir, 'datasets'), { recursive: true, force: true });
    }
  },
  async close() {
    const { dir, honest, liar } = site ?? {};
    site = undefined;
    await honest?.close();
    await new Promise((done) => (liar ? liar.close(done) : done(undefined)));
    if (dir !== undefined) rmSync(dir, { recursive: true, force: true });
  },
};
