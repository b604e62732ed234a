/** One artifact from its origin to the first receivers of a network: by our transfer, and by rsync. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { readArtifact, sealArtifact, verifyArtifact } from '../../../activities/artifact.js';
import { BLOCK_BYTES } from '../../../activities/blocks.js';
import type { Artifact, Peer } from '../../../workflows/contract.js';
import type { Host, Network } from './network.js';

const run = promisify(execFile);
const PART = fileURLToPath(new URL('./node-part.ts', import.meta.url));
export const DIR = 'datasets/bench';
const FILE = 'prefix.bin';

export interface Origin {
  dataDir: string;
  artifact: Artifact;
  file: string;
}

export interface Measured {
  seconds: number;
  /** What the origin sent, in copies of the artifact. */
  copies: number;
}

export async function makeOrigin(dataDir: string, bytes: number, block = BLOCK_BYTES): Promise<Origin> {
  await mkdir(join(dataDir, DIR), { recursive: true });
  const path = join(dataDir, DIR, FILE);
  const file = await open(path, 'w');
  const chunk = Buffer.alloc(2 ** 22);
  for (let left = bytes; left > 0; left -= chunk.length)
    await file.write(randomFillSync(chunk), 0, Math.min(left, chunk.length));
  await file.close();
  return { dataDir, artifact: await sealArtifact(dataDir, DIR, undefined, { block }), file: path };
}

export interface NodePart {
  peer: Peer;
  process: ChildProcess;
}

export async function startPart(
  command: (args: string[]) => string[],
  name: string,
  dataDir: string,
  host: string,
): Promise<NodePart> {
  await mkdir(dataDir, { recursive: true });
  const [file, ...args] = command([process.execPath, '--import', 'tsx', PART, name, dataDir, host]);
  const child = spawn(file!, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const [peer] = (await once(child, 'message')) as [Peer];
  return { peer, process: child };
}

/** Resolves when the copy is whole there, every byte proven. */
export async function copy({ process }: NodePart, artifact: Artifact, from: Peer[], beside: Peer[]): Promise<void> {
  const done = once(process, 'message');
  process.send({ artifact, from, beside });
  await done;
}

export async function measureSwarm(dir: string, { hosts }: Network, origin: Origin, count: number): Promise<Measured> {
  const data = (host: Host) => join(dir, `swarm-${count}`, host.name);
  const used = hosts.slice(0, count + 1);
  const parts = await Promise.all(
    used.map((host, index) => startPart(host.on, host.name, index ? data(host) : origin.dataDir, host.address)),
  );
  const [first, ...receivers] = parts;
  try {
    const measured = await timed(hosts[0]!, origin.artifact.bytes, () =>
      Promise.all(
        receivers.map((part) =>
          copy(
            part,
            origin.artifact,
            [first!.peer],
            receivers.map(({ peer }) => peer),
          ),
        ),
      ),
    );
    for (const host of used.slice(1)) {
      const bad = await verifyArtifact(data(host), DIR);
      if (bad?.length !== 0 || !(await readArtifact(data(host), DIR)))
        throw new Error(`${host.name} has no whole copy`);
    }
    return measured;
  } finally {
    for (const { process } of parts) process.kill('SIGKILL');
    await rm(join(dir, `swarm-${count}`), { recursive: true, force: true });
  }
}

/** `undefined` where there is no rsync. */
export async function measureRsync(
  dir: string,
  { hosts }: Network,
  origin: Origin,
  count: number,
): Promise<Measured | undefined> {
  if (!(await run('rsync', ['--version']).catch(() => undefined))) return undefined;
  const config = join(dir, 'rsyncd.conf');
  await writeFile(config, `use chroot = no\n[data]\npath = ${join(origin.dataDir, DIR)}\nuid = 0\ngid = 0\n`);
  const [command, ...args] = hosts[0]!.on(['rsync', '--daemon', '--no-detach', '--port=8730', `--config=${config}`]);
  const daemon = spawn(command!, args, { stdio: 'ignore' });
  const target = join(dir, `rsync-${count}`);
  try {
    await new Promise((resolve) => setTimeout(resolve, 500));
    return await timed(hosts[0]!, origin.artifact.bytes, () =>
      Promise.all(
        hosts.slice(1, count + 1).map(async (host) => {
          await mkdir(join(target, host.name), { recursive: true });
          const url = `rsync://${hosts[0]!.address}:8730/data/${FILE}`;
          const [program, ...rest] = host.on(['rsync', '--whole-file', url, join(target, host.name, FILE)]);
          await run(program!, rest);
        }),
      ),
    );
  } finally {
    daemon.kill('SIGKILL');
    await rm(target, { recursive: true, force: true });
  }
}

async function timed(origin: Host, bytes: number, work: () => Promise<unknown>): Promise<Measured> {
  const before = await origin.sent();
  const start = performance.now();
  await work();
  const seconds = (performance.now() - start) / 1000;
  return { seconds, copies: ((await origin.sent()) - before) / bytes };
}
