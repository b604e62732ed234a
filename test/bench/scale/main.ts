/**
 * `npm run bench -- scale`: the real workflows and a real control worker on a real server, over many nodes whose activities
 * do nothing. How long a launch takes beside a bare fan-out of one activity a node, to notice a lost node and to launch
 * again, and what a generation leaves in histories and memory.
 *
 *     --nodes 16,64,256        how many, one after the other; 1000 takes some minutes and GB
 *     --fan-outs 3             of the peer, the median counts
 *     --json                   the last line on stdout is one JSON object
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect, parseArgs } from 'node:util';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { pause } from '../../../infra/demo/part.js';
import { startStack, type Stack } from '../../../infra/demo/stack.js';
import { patiently, startFleet, type Fleet } from './fleet.js';
import { heartbeatLoad } from './heartbeats.js';
import { historyOf, type History } from './history.js';

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '16,64,256' },
    'fan-outs': { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
});

/** The server's own limits are 1,200 polls of a namespace at a time, and 2,400 calls a second. */
const SERVER = ['frontend.namespaceCount=20000', 'frontend.namespaceRPS=20000'];
const DEVICES = 8;
const ITERATIONS = 20;
/**
 * A launch and a relaunch as multiples of a bare fan-out; events of a gang's launch, watch and stop, and of everything
 * from a loss to the end of the gang after it, a node; payloads. Each with the number of nodes from which on it is meant:
 * few are launched in less time than a run waits on purpose, and share what a run does once.
 */
const BARS = { launch: 3, relaunch: 6, gangEvents: 10, allEvents: 20, payload: 200_000 };
const FROM: typeof BARS = { launch: 1000, relaunch: 1000, gangEvents: 2, allEvents: 256, payload: 2 };
const GANG = ['launchTraining', 'watchTraining', 'stopTraining'];
/** A launch takes at most that long, or never comes. */
const PATIENCE_MS = 600_000;
/** Room that a generation gives its members' logs before the stop. */
const EVIDENCE_MS = 2_000;
/** With no more than that: every node answers at once, and the machine is busy only with the messages. */
const RECOVERY = { heartbeat: '10s', agentAway: '10s', agentGrace: '30s', lease: '10m', stopGrace: '5s' };

interface Row {
  nodes: number;
  /** Seconds of the peer, each time. */
  bare: number[];
  /** From a run's start until its first generation is launched on every node, and the generation's own part of it. */
  firstLaunch: number;
  launch: number;
  /** From the switching off until the generation knew; from there until the next is launched everywhere. */
  noticed: number;
  relaunch: number;
  /** Of the first generation, that a loss ended; of what its launch, watch and stop took of that; of the second's preparation. */
  events: { generation: number; gang: number; preparation: number; first: number; run: number };
  bytes: { generation: number; preparation: number; run: number };
  largestPayload: number;
  memoryMb: { server: number; control: number };
}

async function measure(nodes: number): Promise<Row> {
  const dir = await mkdtemp(join(tmpdir(), 'bench-scale-'));
  const stack = await startStack({ dir, nodes: [], hub: '', pool: 'scale', settings: SERVER });
  let fleet: Fleet | undefined;
  try {
    // One spare more than the gang, for the node that is lost.
    fleet = await startFleet({
      ...{ address: stack.address, client: stack.client, pool: 'scale' },
      ...{ count: nodes + 1, devices: DEVICES, iterations: ITERATIONS },
    });
    const bare = await fanOuts(stack, fleet.names.slice(0, nodes));
    return await oneRun(stack, fleet, nodes, bare);
  } catch (error) {
    // At once: a call that is still being repeated when the connection closes ends the process.
    process.stderr.write(`bench scale: ${nodes} nodes: ${inspect(error)}\n`);
    throw error;
  } finally {
    await Promise.race([fleet?.close(), pause(20_000)]);
    await stack.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

async function fanOuts({ address, client }: Stack, nodes: string[]): Promise<number[]> {
  const connection = await NativeConnection.connect({ address });
  const worker = await Worker.create({
    ...{ connection, taskQueue: 'bare', workflowsPath: fileURLToPath(new URL('./bare.ts', import.meta.url)) },
    // As much time as the control worker has for one task.
    ...({ isolateExecutionTimeout: '1 minute' } as object),
  });
  const seconds: number[] = [];
  await worker.runUntil(async () => {
    for (let round = 0; round < Number(values['fan-outs']); round++) {
      const began = Date.now();
      const workflowId = `bare-${round}`;
      const handle = await client.workflow.start('bareFanOut', { workflowId, taskQueue: 'bare', args: [{ nodes }] });
      await patiently(() => handle.result());
      seconds.push((Date.now() - began) / 1000);
    }
  });
  await connection.close();
  return seconds;
}

async function oneRun({ client, server, control }: Stack, fleet: Fleet, nodes: number, bare: number[]): Promise<Row> {
  const began = Date.now();
  const run = await client.workflow.start('pretrain', {
    ...{ workflowId: 'run', taskQueue: 'pretrain', args: [runFile(nodes)] },
  });
  await launched(() => historyOf(client, 'run/gen-1'), nodes);
  // Until the watchers are all there.
  await pause(5_000);
  const before = await historyOf(client, 'run');
  const struck = Date.now();
  fleet.switchOff(fleet.names[Math.floor(nodes / 2)]!);
  await launched(() => historyOf(client, 'run/gen-2'), nodes);
  const memoryMb = { server: await residentMb(server.pid!), control: await residentMb(control.pid!) };
  fleet.finish();
  await patiently(() => run.result());
  const [first, second, whole, prepared, again, data] = (await Promise.all(
    ['run/gen-1', 'run/gen-2', 'run', 'run/prepare-1', 'run/prepare-2', 'run/data'].map((id) =>
      patiently(() => historyOf(client, id)),
    ),
  )) as [History, History, History, History, History, History];
  const knewAt = first.scheduled('stopTraining') - EVIDENCE_MS;
  return {
    ...{ nodes, bare, memoryMb },
    firstLaunch: (first.completed('launchTraining') - began) / 1000,
    launch: (first.completed('launchTraining') - first.scheduled('launchTraining')) / 1000,
    noticed: (knewAt - struck) / 1000,
    relaunch: (second.completed('launchTraining') - knewAt) / 1000,
    events: {
      ...{ generation: first.events, gang: first.eventsOf(GANG), preparation: again.events },
      ...{ first: prepared.events + data.events, run: whole.events - before.events },
    },
    bytes: { generation: first.bytes, preparation: again.bytes, run: whole.bytes - before.bytes },
    largestPayload: Math.max(
      ...[first, second, whole, prepared, again, data].map(({ largestPayload }) => largestPayload),
    ),
  };
}

/** All members of a generation are watched: then each was launched. */
async function launched(look: () => ReturnType<typeof historyOf>, nodes: number): Promise<void> {
  for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await pause(2_000)) {
    const history = await look().catch(() => undefined);
    if (history && history.count('watchTraining') >= nodes) return;
  }
  throw new Error(`no generation was launched on ${nodes} nodes within ${PATIENCE_MS / 1000} s`);
}

const runFile = (nodes: number): object => ({
  series: 's',
  model: { preset: 'qwen3-tiny' },
  tokenizer: { source: 'hf://a/tokenizer' },
  dataset: { source: 'hf://a/data/*.parquet' },
  cluster: { pool: 'scale', nodes, spares: 1, devicesPerNode: DEVICES },
  parallel: { pp: 2 },
  train: { iterations: ITERATIONS, globalBatch: nodes * DEVICES, seqLength: 128, saveInterval: 10, replicas: 1 },
  recovery: RECOVERY,
});

async function residentMb(pid: number): Promise<number> {
  const kb = /VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))![1];
  return Number(kb) / 1024;
}

const median = (numbers: number[]): number => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** Each bar with its figure, and whether it holds. */
const judged = (row: Row) => {
  const bare = median(row.bare);
  const { generation, gang, preparation, run } = row.events;
  const figures = {
    launch: row.launch / bare,
    relaunch: row.relaunch / bare,
    gangEvents: gang / row.nodes,
    allEvents: (generation + preparation + run) / row.nodes,
    payload: row.largestPayload,
  };
  return (Object.keys(BARS) as (keyof typeof BARS)[]).map((name) => ({
    ...{ name, figure: figures[name], bar: BARS[name], from: FROM[name], judged: row.nodes >= FROM[name] },
    holds: figures[name] <= BARS[name],
  }));
};

function describe(row: Row): string {
  const { nodes, memoryMb, events, bytes } = row;
  const kb = (count: number) => `${(count / 1000).toFixed(0)} kB`;
  return [
    `${nodes} nodes: bare fan-out ${row.bare.map((seconds) => seconds.toFixed(1)).join(', ')} s; from the run's start to its launch everywhere ${row.firstLaunch.toFixed(1)} s, of which the launch ${row.launch.toFixed(1)} s`,
    `  a lost node noticed after ${row.noticed.toFixed(1)} s, launched again ${row.relaunch.toFixed(1)} s later (2 s for members' logs, and a pause of 1 s, included)`,
    `  a generation: ${events.generation} events, ${kb(bytes.generation)}, of which launch, watch and stop ${events.gang}; its preparation ${events.preparation}, ${kb(bytes.preparation)}; in its run ${events.run}, ${kb(bytes.run)}; before the first launch ${events.first}`,
    `  server ${memoryMb.server.toFixed(0)} MB, control worker ${memoryMb.control.toFixed(0)} MB`,
    ...judged(row).map(
      ({ name, figure, bar, from, holds, judged }) =>
        `  ${name.padEnd(12)} ${figure.toFixed(figure < 100 ? 1 : 0).padStart(8)}   bar ${bar}   ${judged ? (holds ? 'holds' : 'FAILS') : `from ${from} nodes on`}`,
    ),
  ].join('\n');
}

async function scale(): Promise<boolean> {
  // Each worker's own heartbeat to the server, which here all come from one process.
  Runtime.install({ logger: new DefaultLogger('ERROR'), workerHeartbeatInterval: 0 });
  const rows: Row[] = [];
  for (const nodes of values.nodes.split(',').map(Number)) {
    if (!Number.isInteger(nodes) || nodes < 2)
      throw new Error(`--nodes: expected whole numbers from 2, with commas, got ${values.nodes}`);
    rows.push(await measure(nodes));
    say(describe(rows.at(-1)!));
  }
  for (const { nodes } of rows) say(heartbeatLoad(nodes));
  const bars = rows.map((row) => ({ nodes: row.nodes, bars: judged(row) }));
  if (values.json) say(JSON.stringify({ rows, bars }));
  return bars.every(({ bars: each }) => each.every(({ judged, holds }) => holds || !judged));
}

scale().then(
  (holds) => process.exit(holds ? 0 : 1),
  (error: unknown) => {
    process.stderr.write(`bench scale: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exit(1);
  },
);
