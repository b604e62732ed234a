/** What a case does to the cluster: each fault strikes at once and returns when it has struck. */
import { spawn } from 'node:child_process';
import { open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pause } from '../../infra/demo/part.js';
import { CLOCK, FILLER, type Cluster, type Machine } from './cluster.js';
import { killQuietly } from './namespaces.js';
import type { ObservedRun } from './observed-run.js';

export interface Struck {
  cluster: Cluster;
  run: ObservedRun;
  /** The node that is struck; for faults of the control host any. */
  node: Machine;
}

export type Fault = (struck: Struck) => Promise<void>;

/** Nothing was struck: what the fault is for is not on that node, as where another has taken its place. */
export class NothingThere extends Error {}

/** What of a launch a process is, by its environment as the launch made it. */
async function launched({ host }: Machine): Promise<{ pid: number; part: 'rank' | 'torchrun' | 'guard' }[]> {
  const found = await Promise.all(
    (await host.pids()).map(async (pid) => {
      const variables = (await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')).split('\0');
      const has = (name: string) => variables.some((variable) => variable.startsWith(`${name}=`));
      if (!has('PRETRAIN_TOKEN')) return [];
      return [{ pid, part: has('LOCAL_RANK') ? 'rank' : has('PRETRAIN_GUARD') ? 'guard' : 'torchrun' } as const];
    }),
  );
  return found.flat();
}

const STARTS_WITHIN_MS = 10_000;

const signalLaunched =
  (part: 'rank' | 'torchrun' | 'guard', signal: NodeJS.Signals): Fault =>
  async ({ node }) => {
    const look = async () => (await launched(node)).filter((process) => process.part === part).map(({ pid }) => pid);
    let pids = await look();
    // A launch that has just begun may still be on its way to it.
    for (const end = Date.now() + STARTS_WITHIN_MS; pids.length === 0; pids = await look()) {
      if (Date.now() > end) throw new NothingThere(`no ${part} runs on ${node.host.name}`);
      await pause(20);
    }
    for (const pid of pids) process.kill(pid, signal);
  };

async function flipByte(path: string): Promise<number> {
  const file = await open(path, 'r+');
  const { size } = await file.stat();
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, size >> 1);
  await file.write(Buffer.from([byte[0]! ^ 0xff]), 0, 1, size >> 1);
  await file.close();
  return size;
}

/** Flips a byte in the middle of each shard of the newest checkpoint on this node, or cuts it short there. */
const spoil =
  (how: 'flip' | 'cut'): Fault =>
  async ({ run, node }) => {
    const dir = join(node.host.data, 'series', run.series, 'checkpoints');
    const newest = (await readdir(dir))
      .filter((name) => name.startsWith('iter_'))
      .sort()
      .at(-1);
    if (newest === undefined) throw new Error(`${node.host.name} has no checkpoint of ${run.series}`);
    for (const shard of await readdir(join(dir, newest))) {
      const path = join(dir, newest, shard, 'model_optim_rng.pt');
      const size = await flipByte(path);
      if (how === 'cut') await truncate(path, size >> 1);
    }
  };

const DAY_MS = 24 * 3_600_000;

const turnClock =
  (ms: number): Fault =>
  ({ node }) =>
    writeFile(join(node.host.data, CLOCK), String(ms));

export const faults = {
  killRank: signalLaunched('rank', 'SIGKILL'),
  killTorchrun: signalLaunched('torchrun', 'SIGKILL'),
  killGuard: signalLaunched('guard', 'SIGKILL'),
  freezeRank: signalLaunched('rank', 'SIGSTOP'),
  wakeRank: signalLaunched('rank', 'SIGCONT'),
  killAgent: ({ node }) => node.agent.kill('SIGKILL'),
  startAgent: ({ node }) => node.agent.start(),
  /** As a service manager does on an upgrade. */
  restartAgent: async ({ node }) => {
    await node.agent.kill('SIGTERM');
    await node.agent.start();
  },
  freezeAgent: async ({ node }) => void process.kill(node.agent.pid!, 'SIGSTOP'),
  wakeAgent: async ({ node }) => void process.kill(node.agent.pid!, 'SIGCONT'),
  killHost: async ({ node }) => {
    await node.host.link('down');
    await node.host.killAll();
  },
  /** The same machine comes up with its disk. */
  startHost: async ({ node }) => {
    await node.host.link('up');
    await node.agent.start();
  },
  unplug: ({ node }) => node.host.link('down'),
  plugIn: ({ node }) => node.host.link('up'),
  cutFromServer: ({ cluster, node }) => node.host.drop({ peers: [cluster.control.address] }),
  cutFromPeers: ({ cluster, node }) =>
    node.host.drop({ peers: [...cluster.nodes.values()].filter((m) => m !== node).map(({ host }) => host.address) }),
  loseThird: ({ node }) => node.host.drop({ share: 0.3 }),
  dropNothing: ({ node }) => node.host.drop({}),
  /** Nodes still reach each other. */
  cutServerFromAll: ({ cluster }) =>
    cluster.control.drop({ peers: [...cluster.nodes.values()].map(({ host }) => host.address) }),
  rejoinServer: ({ cluster }) => cluster.control.drop({}),
  killWorker: ({ cluster }) => cluster.worker.kill('SIGKILL'),
  startWorker: ({ cluster }) => cluster.worker.start(),
  restartWorker: async ({ cluster }) => {
    await cluster.worker.kill('SIGTERM');
    await cluster.worker.start();
  },
  killServer: ({ cluster }) => cluster.server.kill('SIGKILL'),
  startServer: ({ cluster }) => cluster.server.start(),
  killControl: async ({ cluster }) => {
    await cluster.control.link('down');
    await cluster.control.killAll();
  },
  startControl: async ({ cluster }) => {
    await cluster.control.link('up');
    await cluster.server.start();
    await cluster.worker.start();
  },
  turnClockOn: turnClock(DAY_MS),
  turnClockBack: turnClock(-DAY_MS),
  fillDisk: async ({ node }) => {
    const path = join(node.host.data, FILLER);
    const block = Buffer.alloc(1 << 20);
    const file = await open(path, 'a');
    try {
      for (let size = block.length; size >= 1;)
        await file.write(block, 0, size).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== 'ENOSPC') throw error;
          size >>= 1;
        });
    } finally {
      await file.close();
    }
  },
  freeDisk: ({ node }) => rm(join(node.host.data, FILLER), { force: true }),
  killEverything: async ({ cluster }) => {
    const hosts = [cluster.control, ...[...cluster.nodes.values()].map(({ host }) => host)];
    await Promise.all(hosts.map((host) => host.link('down')));
    await Promise.all(hosts.map((host) => host.killAll()));
  },
  startAllHosts: async ({ cluster }) => {
    await Promise.all(
      [...cluster.nodes.values()].map(async ({ host, agent }) => {
        await host.link('up');
        await agent.start();
      }),
    );
  },
  flipByte: spoil('flip'),
  cutShort: spoil('cut'),
  /** What no size tells: other tokens here and there, each of them in the vocabulary. */
  flipDataset: async ({ node }) => {
    const datasets = join(node.host.data, 'datasets');
    const found = await readdir(datasets, { recursive: true, withFileTypes: true });
    const pairs = found.filter(({ name, parentPath }) => name.endsWith('.bin') && !parentPath.includes('/shards'));
    if (pairs.length === 0) throw new Error(`${node.host.name} has no dataset`);
    for (const { parentPath, name } of pairs) {
      const bytes = await readFile(join(parentPath, name));
      for (let at = 0; at < bytes.length; at += 256) bytes[at]! ^= 1;
      const file = await open(join(parentPath, name), 'r+');
      await file.write(bytes, 0, bytes.length, 0);
      await file.close();
    }
  },
  /** What looks like a rank of an old launch, and does not end when asked. */
  leaveProcess: async ({ node }) => {
    const owner = await readFile(join(node.host.data, 'owner'), 'utf8');
    const [command, ...args] = node.host.on(['sh', '-c', `trap '' TERM; while :; do sleep 1; done`]);
    spawn(command!, args, {
      env: { ...process.env, PRETRAIN_TOKEN: `0@${owner}`, LOCAL_RANK: '0' },
      stdio: 'ignore',
      detached: true,
    }).unref();
  },
  /** Listens on the port that the node's check has just called free. */
  takePort: async ({ cluster, run, node }) => {
    const preparation = `${run.id}/prepare-${run.recorder.generation() + 1}`;
    const port = await checkedPort(cluster, preparation, node.host.name);
    const script = `require('net').createServer().listen(${port}, '0.0.0.0')`;
    const [command, ...args] = node.host.on([process.execPath, '-e', script]);
    spawn(command!, args, { stdio: 'ignore', detached: true, env: { ...process.env, [TAKES_PORT]: '1' } }).unref();
  },
  freePort: async ({ node }) => {
    for (const pid of await node.host.pids())
      if ((await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')).includes(`${TAKES_PORT}=`)) killQuietly(pid);
  },
} satisfies Record<string, Fault>;

const TAKES_PORT = 'CHAOS_TAKES_PORT';

export type FaultName = keyof typeof faults;

async function checkedPort(cluster: Cluster, id: string, node: string): Promise<number> {
  const { events } = await cluster.client.workflow.getHandle(id).fetchHistory();
  const reports = (events ?? []).flatMap(({ activityTaskCompletedEventAttributes: completed }) => {
    const data = completed?.result?.payloads?.[0]?.data;
    const value = data?.length ? (JSON.parse(Buffer.from(data).toString()) as Record<string, unknown>) : {};
    return value['name'] === node && typeof value['freePort'] === 'number' ? [value['freePort']] : [];
  });
  if (reports.length === 0) throw new Error(`${node} has not been checked by ${id}`);
  return reports.at(-1)!;
}
