/** The nodes that a run holds: asked of the pool, replaced one by one, given back however the run ends. */
import {
  condition,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  setHandler,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import { onNode, type Holder, type NodeInfo } from './contract.js';
import {
  acquire,
  launchGranted,
  nodesGranted,
  release,
  reportLost,
  requestLaunch,
  type NodesGranted,
} from './messages.js';
import { infoOf } from './roster.js';
import type { RunSpec } from './spec.js';

export interface Crew {
  /** Node of each node rank, in order. */
  members: NodeInfo[];
  spares: NodeInfo[];
  /** Nodes of others that served the series before. */
  keepers: NodeInfo[];
  /** Waits for the first full set: members and spares, all or none. */
  lease(): Promise<void>;
  /** Puts a spare, or a node from the pool, in the place of each of these, and tells the pool why. Drops lost spares. */
  replace(lost: string[], reason: string): Promise<void>;
  /**
   * A fresh token, with which every node of the run has ended what older launches left, and refuses such from now on.
   * Also takes the nodes' present addresses: a worker may have come back on another port.
   */
  fence(): Promise<number>;
  /** Gives everything back. */
  release(): Promise<void>;
}

/** What the run says while it waits for nodes; `undefined` when it no longer does. */
export type Waiting = (what: string | undefined) => void;

export function createCrew(spec: RunSpec, waiting: Waiting): Crew {
  const pool = () => getExternalWorkflowHandle(`pool-${spec.cluster.pool}`);
  const { workflowId, firstExecutionRunId: firstRunId } = workflowInfo();
  const holder: Holder = { workflowId, firstRunId };
  const granted = new Map<string, NodesGranted>();
  const tokens = new Map<string, number>();
  let requests = 0;
  const newRequest = (what: string) => `${firstRunId}/${what}-${++requests}`;

  setHandler(nodesGranted, (grant) => void granted.set(grant.requestId, grant));
  setHandler(launchGranted, ({ requestId, token }) => void tokens.set(requestId, token));

  async function ask(count: number): Promise<NodeInfo[]> {
    const requestId = newRequest('nodes');
    waiting(`${count} of the pool "${spec.cluster.pool}"`);
    const request = { requestId, holder, series: spec.series, nodes: count, devices: spec.cluster.devicesPerNode };
    await insist(() => pool().signal(acquire, request), waiting, spec.cluster.pool);
    await condition(() => granted.has(requestId));
    waiting(undefined);
    const { nodes, keepers } = granted.get(requestId)!;
    crew.keepers = keepers;
    return nodes;
  }

  const crew: Crew = {
    members: [],
    spares: [],
    keepers: [],

    async lease() {
      const { nodes, spares } = spec.cluster;
      const all = await ask(nodes + spares);
      crew.members = all.slice(0, nodes);
      crew.spares = all.slice(nodes);
    },

    async replace(lost, reason) {
      crew.spares = crew.spares.filter(({ name }) => !lost.includes(name));
      const tell = (signal: () => Promise<void>) => insist(signal, waiting, spec.cluster.pool);
      for (const node of lost) await tell(() => pool().signal(reportLost, { node, reason }));
      await tell(() => pool().signal(release, { holder, nodes: lost }));
      for (const [rank, member] of crew.members.entries())
        if (lost.includes(member.name)) crew.members[rank] = crew.spares.shift() ?? (await ask(1))[0]!;
    },

    async fence() {
      const requestId = newRequest('launch');
      await insist(() => pool().signal(requestLaunch, { requestId, holder }), waiting, spec.cluster.pool);
      await condition(() => tokens.has(requestId));
      const token = tokens.get(requestId)!;
      const input = { token, run: workflowId, series: spec.series };
      const fenced = async ({ name }: NodeInfo) => {
        const answer = await onNode(name, spec.recovery).fenceNode(input);
        return { ...infoOf(answer), ...(answer.access !== undefined && { access: answer.access }) };
      };
      const present = await Promise.all([...crew.members, ...crew.spares].map(fenced));
      [crew.members, crew.spares] = [present.slice(0, spec.cluster.nodes), present.slice(spec.cluster.nodes)];
      return token;
    },

    async release() {
      try {
        await pool().signal(release, { holder });
      } catch (error) {
        // The pool asks after its holders by itself, so a missed release only costs time.
        log.warn('the pool did not take the nodes back', { error: String(error) });
      }
    },
  };
  return crew;
}

/** Signals until the pool exists: it begins with the first node worker that joins. */
async function insist(signal: () => Promise<void>, waiting: Waiting, pool: string): Promise<void> {
  for (;;) {
    try {
      return await signal();
    } catch (error) {
      if (isCancellation(error)) throw error;
      waiting(`the pool "${pool}", which no node worker has joined yet`);
      await sleep('5 seconds');
    }
  }
}
