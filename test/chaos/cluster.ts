/** A cluster on simulated hosts: server and control worker on one, a node worker on each of the others, a hub outside. */
import { mkdir, readdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { makeCorpus } from '../../infra/demo/corpus.js';
import { startHub, type Hub } from '../../infra/demo/hub.js';
import { createPart, type Part } from '../../infra/demo/part.js';
import { createTemporalServer } from '../../infra/demo/temporal-server.js';
import { root } from '../../workers/config.js';
import { GROUP_TIMEOUT_SECONDS } from './cases.js';
import { DATA, openHost, type Host } from './hosts.js';
import { CONTROL, NODES, SWITCH } from './namespaces.js';

export const POOL = 'chaos';
/** Least time of an iteration, so that something can happen between two; and of a run that sits out a long cut. */
const STEP_SECONDS = 0.2;
const SLOW_STEP_SECONDS = 0.6;

export interface Machine {
  host: Host;
  agent: Part;
}

export interface Cluster {
  client: Client;
  slow: boolean;
  sharing: string[];
  /** Where the logs of all parts are. */
  logs: string;
  /** Server and control worker. */
  control: Host;
  server: Part;
  worker: Part;
  nodes: Map<string, Machine>;
  /** Brings back what is down and undoes every cut, as people and systemd would in the end. */
  heal(): Promise<void>;
  /** Brings every node back into the pool. */
  rejoin(): Promise<void>;
  stop(): Promise<void>;
}

/** The disks outlive a cluster: the next one finds them empty. */
export interface Hardware {
  dir: string;
  control: Host;
  nodes: Host[];
  hub: Hub;
}

export async function openHardware(prefix: string, dir: string): Promise<Hardware> {
  const control = await openHost(prefix, dir, CONTROL);
  const nodes: Host[] = [];
  for (const node of NODES) nodes.push(await openHost(prefix, dir, node));
  const hub = await startHub({ root: await makeCorpus(join(root, '.cache/demo-hub')), host: SWITCH.address });
  return { dir, control, nodes, hub };
}

let clusters = 0;

/** What a cluster's workers are, where that is not this checkout as it is. */
export interface Workers {
  /** Program that takes `node` and `control`; read anew at each start. */
  main: string;
  /** Variables that a host's workers have beside the usual ones. */
  env(host: Host): Record<string, string>;
}

/** By how many milliseconds a host's clock is off, below its data directory. */
export const CLOCK = 'clock';
/** What fills a host's disk, there too. */
export const FILLER = 'filler';
const CLOCKWORK = new URL('./clock.mjs', import.meta.url).href;

const THIS: Workers = { main: join(root, 'dist/workers/main.js'), env: () => ({}) };

export interface ClusterOptions {
  /** Nodes that have their datasets, models and series on one storage. */
  sharing?: string[];
  workers?: Workers;
}

/** A new cluster on empty disks. */
export async function startCluster(
  { dir, control, nodes: hosts, hub }: Hardware,
  slow: boolean,
  { sharing = [], workers: { main, env: envOf } = THIS }: ClusterOptions = {},
): Promise<Cluster> {
  for (const host of [control, ...hosts]) {
    await host.killAll();
    for (const name of await readdir(host.data)) await rm(join(host.data, name), { recursive: true, force: true });
    await repair(host);
  }
  await linkStorage(
    join(dir, 'storage'),
    hosts.filter(({ name }) => sharing.includes(name)),
  );
  const logs = join(dir, `logs-${++clusters}`);
  await mkdir(logs, { recursive: true });
  const server = await createTemporalServer({
    dbFile: `${DATA}/temporal.db`,
    log: join(logs, 'temporal.log'),
    on: { address: control.address, command: control.on },
  });
  const env = {
    ...process.env,
    ...{ NODE_OPTIONS: `--import=${CLOCKWORK}`, PRETRAIN_CHAOS_CLOCK: `${DATA}/${CLOCK}` },
    ...{ TEMPORAL_ADDRESS: server.address, PRETRAIN_REPORTS: `${DATA}/reports` },
  };
  const worker = (host: Host, role: string, more: Record<string, string> = {}): Part =>
    createPart(join(logs, `${host.name}.log`), {
      command: host.on([process.execPath, main, role]),
      env: { ...env, ...more, ...envOf(host) },
      ready: /is ready/,
    });
  const agent = (host: Host): Part =>
    worker(host, 'node', {
      PRETRAIN_NODE: host.name,
      PRETRAIN_ADDRESS: host.address,
      PRETRAIN_DATA: DATA,
      PRETRAIN_POOL: POOL,
      PRETRAIN_PROFILE: 'cpu',
      HF_ENDPOINT: hub.url,
      REFERENCE_STEP_SECONDS: String(slow ? SLOW_STEP_SECONDS : STEP_SECONDS),
      REFERENCE_PG_TIMEOUT_SECONDS: String(GROUP_TIMEOUT_SECONDS),
    });
  const controlWorker = worker(control, 'control');
  const nodes = new Map(hosts.map((host) => [host.name, { host, agent: agent(host) }]));
  await server.start();
  await Promise.all([controlWorker, ...[...nodes.values()].map(({ agent }) => agent)].map((part) => part.start()));
  const connection = await Connection.connect({ address: server.address });
  const client = new Client({ connection });

  return {
    client,
    slow,
    sharing,
    logs,
    control,
    server,
    worker: controlWorker,
    nodes,
    async heal() {
      await Promise.all([control, ...hosts].map(repair));
      for (const pid of (await Promise.all([control, ...hosts].map((host) => host.pids()))).flat()) wake(pid);
      if (!isRunning(server)) await server.start();
      if (!isRunning(controlWorker)) await controlWorker.start();
      await Promise.all([...nodes.values()].filter(({ agent }) => !isRunning(agent)).map(({ agent }) => agent.start()));
    },
    async rejoin() {
      // A node that was given up comes back to the pool when its worker starts.
      const page = await client.workflow.getHandle(`pool-${POOL}`).query<string>('status');
      for (const line of page.split('\n').filter((row) => row.includes('away:'))) {
        const { agent } = nodes.get(/^\| (\S+) /.exec(line)![1]!)!;
        await agent.kill('SIGKILL');
        await agent.start();
      }
    },
    async stop() {
      await connection.close();
      await Promise.all([control, ...hosts].map((host) => host.killAll()));
    },
  };
}

/** Outside of the directory with the disks, which no host sees. */
async function linkStorage(storage: string, hosts: Host[]): Promise<void> {
  await rm(storage, { recursive: true, force: true });
  for (const name of ['datasets', 'models', 'series']) {
    await mkdir(join(storage, name), { recursive: true });
    for (const { data } of hosts) await symlink(join(storage, name), join(data, name));
  }
}

/** Also disks: the next case has the same hosts. */
async function repair(host: Host): Promise<void> {
  for (const name of [CLOCK, FILLER]) await rm(join(host.data, name), { force: true });
  await host.drop({});
  await host.link('up');
}

export function isRunning({ pid }: Part): boolean {
  try {
    return pid !== undefined && process.kill(pid, 0);
  } catch {
    return false;
  }
}

function wake(pid: number): void {
  try {
    process.kill(pid, 'SIGCONT');
  } catch {
    // It has ended meanwhile.
  }
}
