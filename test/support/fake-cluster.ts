/** Real workflows on a real server, over nodes whose activities are told what to answer. */
import { Client, Connection } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { inject, type TestContext } from 'vitest';
import { createControlActivities } from '../../activities/control.js';
import { workflowPatience } from '../../workers/control.js';
import type { CheckpointHeld, ControlActivities, NodeActivities, NodeInfo } from '../../workflows/contract.js';
import { quietNode } from './quiet-node.js';

export interface FakeNode {
  info: NodeInfo;
  /** What was asked of it, in order. */
  calls: string[];
  /** Takes its worker away, as when its machine is switched off. */
  switchOff(): Promise<void>;
  /** A worker takes its tasks again, without having told the pool. */
  switchOn(): Promise<void>;
}

export interface FakeCluster {
  client: Client;
  pool: string;
  taskQueue: string;
  /** Another control worker, on a queue of its own. */
  control(taskQueue: string): Promise<void>;
  node(name: string, overrides?: Partial<NodeActivities>): Promise<FakeNode>;
  runFile(changes?: { cluster?: object; train?: object; parallel?: object; recovery?: object }): object;
  /** The pool's own page: who holds and who waits. */
  poolStatus(): Promise<string>;
}

/**
 * How long a node may be silent: longer than any pause of a busy machine, where a test is not about a node that is lost.
 * A heartbeat that is missed means another attempt, or another generation, of which most tests know nothing.
 */
export const PATIENT = { heartbeat: '30s', agentAway: '30s', agentGrace: '10s', lease: '60s', stopGrace: '1s' };
/** Where one is lost, or silent, and is to be missed soon. */
export const QUICK = { ...PATIENT, heartbeat: '4s', agentAway: '4s', lease: '8s' };

/** By itself it would be most of a time-out, and little would be left of `QUICK` for a busy machine. */
const maxHeartbeatThrottleInterval = '1s';

let installed = false;

/**
 * One control worker on a task queue of its own; nodes are added by the test. All of it ends with the test, which
 * hands itself over since several run at once: most of their time is waiting.
 */
export async function startFakeCluster(
  { onTestFinished }: Pick<TestContext, 'onTestFinished'>,
  overrides: Partial<ControlActivities> = {},
  dataConverter: DataConverter = {},
): Promise<FakeCluster> {
  if (!installed) Runtime.install({ logger: new DefaultLogger('ERROR') });
  installed = true;
  const address = inject('temporalAddress');
  const id = crypto.randomUUID().slice(0, 8);
  const taskQueue = `control-${id}`;
  const native = await NativeConnection.connect({ address });
  const connection = await Connection.connect({ address });
  const client = new Client({ connection, dataConverter });
  const ending: (() => Promise<void>)[] = [];
  /** Machines that are switched off: all others reach one another. */
  const off = new Set<string>();
  const probePeer: NodeActivities['probePeer'] = ({ peer }) => Promise.resolve({ reachable: !off.has(peer.name) });

  const control: ControlActivities = {
    ...createControlActivities({ client, reports: '/nonexistent' }),
    writeReport: () => Promise.resolve({ path: 'report.html' }),
    ...overrides,
  };
  const startControl = async (queue: string): Promise<void> => {
    const worker = await Worker.create({
      connection: native,
      dataConverter,
      taskQueue: queue,
      activities: control,
      ...workflowPatience,
      workflowBundle: { codePath: inject('workflowBundlePath') },
    });
    ending.push(running(worker));
  };
  await startControl(taskQueue);
  onTestFinished(async () => {
    await client.workflow
      .getHandle(`pool-${id}`)
      .terminate()
      .catch(() => undefined);
    await Promise.all(ending.map((end) => end()));
    await connection.close();
    await native.close();
  });

  return {
    client,
    pool: id,
    taskQueue,
    control: startControl,
    async node(name, changes = {}) {
      const calls: string[] = [];
      const info: NodeInfo = { name: `${name}-${id}`, address: '127.0.0.1', port: 1, devices: 1, profile: 'cpu' };
      const activities = recorded(quietNode(info, { probePeer, ...changes }), calls);
      const begin = async () => {
        const taskQueue = `node-${info.name}`;
        const options = { connection: native, dataConverter, taskQueue, activities, maxHeartbeatThrottleInterval };
        const end = running(await Worker.create(options));
        ending.push(end);
        return end;
      };
      let end = await begin();
      await client.workflow.signalWithStart('nodePool', {
        ...{ workflowId: `pool-${id}`, taskQueue, signal: 'join' },
        signalArgs: [{ ...info, token: 0 }],
      });
      return {
        ...{ info, calls },
        switchOff() {
          off.add(info.name);
          return end();
        },
        async switchOn() {
          off.delete(info.name);
          end = await begin();
        },
      };
    },
    poolStatus: () => client.workflow.getHandle(`pool-${id}`).query<string>('status'),
    runFile: ({ cluster, train, parallel, recovery } = {}) => ({
      series: `s-${id}`,
      model: { preset: 'qwen3-tiny' },
      tokenizer: { source: 'hf://a/tokenizer' },
      dataset: { source: 'hf://a/data/*.parquet' },
      cluster: { pool: id, nodes: 2, devicesPerNode: 1, ...cluster },
      parallel: { pp: 2, ...parallel },
      train: { iterations: 20, globalBatch: 4, seqLength: 128, saveInterval: 10, replicas: 0, ...train },
      recovery: { ...PATIENT, ...recovery },
    }),
  };
}

/** What a node with these complete iterations lists. */
export const holding = (shard: string, ...iterations: number[]): CheckpointHeld[] =>
  iterations.map((iteration) => ({ iteration, shards: [{ shard, digest: `${shard}@${iteration}`, bytes: 1 }] }));

const recorded = (activities: NodeActivities, calls: string[]): NodeActivities =>
  Object.fromEntries(
    Object.entries(activities).map(([name, activity]) => [
      name,
      (input: never) => {
        calls.push(name);
        return (activity as (input: never) => Promise<unknown>)(input);
      },
    ]),
  ) as unknown as NodeActivities;

function running(worker: Worker): () => Promise<void> {
  const run = worker.run();
  return async () => {
    if (worker.getState() === 'RUNNING') worker.shutdown();
    await run;
  };
}
