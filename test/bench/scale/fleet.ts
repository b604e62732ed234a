/** Many node workers in one process, each on its own task queue as on a machine of its own, whose activities do nothing. */
import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import type { MemberEvidence, NodeInfo, WatchResult } from '../../../workflows/contract.js';
import { pause } from '../../../infra/demo/part.js';
import { quietNode } from '../../support/quiet-node.js';

/** Workers that are made at the same time, and pool joins. */
const AT_ONCE = 32;
const HEARTBEAT_MS = 2_000;

export interface Fleet {
  names: string[];
  /** As when a machine is switched off: it takes nothing any more, and answers nothing that it took. */
  switchOff(name: string): void;
  /** Ranks end well, wherever they are watched. */
  finish(): void;
  close(): Promise<void>;
}

export interface FleetOptions {
  address: string;
  client: Client;
  pool: string;
  count: number;
  devices: number;
  iterations: number;
}

/** What a server that is busy answers is no answer: node workers ask again as well. */
export async function patiently<T>(call: () => Promise<T>, attempts = 10): Promise<T> {
  for (let left = attempts; ; left--) {
    try {
      return await call();
    } catch (error) {
      if (left <= 1) throw error;
      await pause(1_000);
    }
  }
}

/** Rejects when ranks are stopped. */
const ended = (stopped: AbortSignal): Promise<never> =>
  new Promise((_, reject) =>
    stopped.addEventListener('abort', () => reject(ApplicationFailure.nonRetryable('stopped', 'CommandFailed'))),
  );

export async function startFleet({ address, client, pool, count, devices, iterations }: FleetOptions): Promise<Fleet> {
  const connections: NativeConnection[] = [];
  const names = Array.from({ length: count }, (_, index) => `n${String(index).padStart(4, '0')}`);
  const off = new Set<string>();
  const workers = new Map<string, { worker: Worker; run: Promise<void> }>();
  const done: WatchResult = {
    exitCode: 0,
    verdict: { outcome: 'finished', lastIteration: iterations, lastSaved: iterations, loss: 1 },
  };
  let finish = (): void => undefined;
  const finished = new Promise<void>((resolve) => (finish = resolve));
  const silence = new Promise<never>(() => undefined);

  /** Beats until the ranks are done or the watch is cancelled; of a machine that is off, nothing. */
  async function last<T>(name: string, answer: T): Promise<T> {
    const context = Context.current();
    const beating = setInterval(() => {
      if (!off.has(name)) context.heartbeat({ iteration: 1 });
    }, HEARTBEAT_MS);
    const cancelled = context.cancelled.catch((error: unknown) => {
      if (off.has(name)) return silence;
      throw error instanceof CancelledFailure ? error : new CancelledFailure('cancelled');
    });
    try {
      return await Promise.race([finished.then(() => (off.has(name) ? silence : answer)), cancelled]);
    } finally {
      clearInterval(beating);
    }
  }

  async function startOne(name: string, connection: NativeConnection): Promise<void> {
    let stopped = new AbortController();
    const info: NodeInfo = { name, address: name, port: 1, devices, profile: 'cpu' };
    const evidence: MemberEvidence = { node: name, confirmed: true, logPath: `/data/${name}/train.log` };
    const activities = {
      ...quietNode(info),
      probePeer: ({ peer }: { peer: { name: string } }) => Promise.resolve({ reachable: !off.has(peer.name) }),
      // Ends with its ranks, as on a machine of its own.
      watchTraining: () => Promise.race([last(name, done), ended(stopped.signal)]),
      replicateCheckpoint: ({ until }: { until: number }) => last(name, { iteration: until }),
      stopTraining: () => {
        stopped.abort();
        return Promise.resolve(evidence);
      },
      launchTraining: () => {
        stopped = new AbortController();
        return Promise.resolve();
      },
    };
    const worker = await Worker.create({
      ...{ connection, taskQueue: `node-${name}`, identity: name, activities },
      ...{ maxConcurrentActivityTaskExecutions: 16, maxConcurrentActivityTaskPolls: 1 },
    });
    const run = worker.run().catch(() => undefined);
    workers.set(name, { worker, run });
    await patiently(() =>
      client.workflow.signalWithStart('nodePool', {
        ...{ workflowId: `pool-${pool}`, taskQueue: 'pretrain', signal: 'join', signalArgs: [{ ...info, token: 0 }] },
      }),
    );
  }

  for (let at = 0; at < count; at += AT_ONCE) {
    // Each node has one of its own; the polls of all in one are more than HTTP/2 takes.
    const connection = await NativeConnection.connect({ address });
    connections.push(connection);
    await Promise.all(names.slice(at, at + AT_ONCE).map((name) => startOne(name, connection)));
  }
  return {
    names,
    switchOff(name) {
      off.add(name);
      workers.get(name)?.worker.shutdown();
    },
    finish: () => finish(),
    async close() {
      for (const [name, { worker }] of workers)
        if (!off.has(name) && worker.getState() === 'RUNNING') worker.shutdown();
      await Promise.all([...workers].filter(([name]) => !off.has(name)).map(([, { run }]) => run));
      // The worker that was switched off never lets go of its own.
      if (off.size === 0) await Promise.all(connections.map((connection) => connection.close()));
    },
  };
}
