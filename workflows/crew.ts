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
  cordonNode,
  nodesGranted,
  placeInLine,
  release,
  reportLost,
  requestLaunch,
  type AcquireNodes,
  type NodesGranted,
  type NodeWanted,
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
  /** Asks for spares, one by one, and does not wait: they join at the next launch. */
  seek(count: number): void;
  /** Spares that came since the last launch. */
  newcomers: NodeInfo[];
  /** How many spares are asked for and have not come. */
  readonly sought: number;
  /** Puts a spare, or a node from the pool, in the place of members that are to leave, which are well and keep what they have; spares just leave. */
  move(leaving: string[]): Promise<void>;
  /** Tells the pool to give this node to nobody. */
  cordon(wanted: NodeWanted): void;
  /** Gives spares back, down to this many. */
  shrink(spares: number): Promise<void>;
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

/**
 * @param spec read each time anew: a paused run may go on with another
 * @param arrived hears of each spare that was asked for and came
 */
export function createCrew(spec: RunSpec, waiting: Waiting, arrived: (node: string) => void): Crew {
  const pool = () => getExternalWorkflowHandle(`pool-${spec.cluster.pool}`);
  const { workflowId, firstExecutionRunId: firstRunId } = workflowInfo();
  const holder: Holder = { workflowId, firstRunId };
  const granted = new Map<string, NodesGranted>();
  const places = new Map<string, string>();
  /** Requests for spares that are open. */
  const seeking = new Map<string, AcquireNodes>();
  /** Nodes that people told this run to do without. */
  const except = new Set<string>();
  const tokens = new Map<string, number>();
  let requests = 0;
  const newRequest = (what: string) => `${firstRunId}/${what}-${++requests}`;

  setHandler(nodesGranted, (grant) => void granted.set(grant.requestId, grant));
  setHandler(launchGranted, ({ requestId, token }) => void tokens.set(requestId, token));

  setHandler(placeInLine, ({ requestId, text }) => {
    places.set(requestId, text);
    if (requestId === waitingFor?.requestId) waiting(describeWait(waitingFor));
  });

  let waitingFor: AcquireNodes | undefined;
  const describeWait = ({ requestId, nodes }: AcquireNodes): string => {
    const place = places.get(requestId);
    return `${nodes} of the pool "${spec.cluster.pool}"${place ? ` (${place})` : ''}`;
  };

  const newAcquire = (what: string, nodes: number): AcquireNodes => ({
    ...{ requestId: newRequest(what), holder, series: spec.series, nodes, except: [...except] },
    ...{ devices: spec.cluster.devicesPerNode, priority: spec.cluster.priority },
  });
  const tellPool = (signal: () => Promise<void>, say = waiting) => insist(signal, say, spec.cluster.pool);

  async function ask(count: number): Promise<NodeInfo[]> {
    const request = newAcquire('nodes', count);
    const grant = await waitFor(request, () => granted.get(request.requestId));
    return taken(grant);
  }

  async function waitFor<T>(request: AcquireNodes, answer: () => T | undefined): Promise<T> {
    waitingFor = request;
    waiting(describeWait(request));
    try {
      await tellPool(() => pool().signal(acquire, request));
      await condition(() => answer() !== undefined);
    } finally {
      waitingFor = undefined;
    }
    waiting(undefined);
    return answer()!;
  }

  function taken({ requestId, nodes, keepers }: NodesGranted): NodeInfo[] {
    granted.delete(requestId);
    places.delete(requestId);
    crew.keepers = keepers;
    return nodes;
  }

  async function seekOne(): Promise<void> {
    const request: AcquireNodes = { ...newAcquire('spare', 1), spare: true };
    const { requestId } = request;
    seeking.set(requestId, request);
    await tellPool(
      () => pool().signal(acquire, request),
      () => undefined,
    );
    await condition(() => granted.has(requestId) || !seeking.has(requestId));
    // Given back meanwhile, and the pool has it.
    if (!seeking.delete(requestId)) return;
    crew.newcomers.push(...taken(granted.get(requestId)!));
    arrived(crew.newcomers.at(-1)!.name);
  }

  function settleIn(): void {
    crew.spares.push(...crew.newcomers.splice(0));
  }

  /** A spare, else the one that is asked for already, which is urgent by now, else a new one. */
  async function standIn(): Promise<NodeInfo> {
    if (crew.spares.length === 0 && crew.newcomers.length === 0) {
      const [open] = seeking.values();
      if (!open) return (await ask(1))[0]!;
      await waitFor({ ...open, spare: false }, () => crew.newcomers[0]);
    }
    settleIn();
    return crew.spares.shift()!;
  }

  const crew: Crew = {
    members: [],
    spares: [],
    keepers: [],
    newcomers: [],
    get sought() {
      return seeking.size;
    },

    async lease() {
      const { nodes, spares } = spec.cluster;
      const all = await ask(nodes + spares);
      crew.members = all.slice(0, nodes);
      crew.spares = all.slice(nodes);
    },

    seek(count) {
      for (let more = count; more > 0; more--)
        seekOne().catch((error: unknown) => {
          if (!isCancellation(error)) log.warn('a spare was asked for in vain', { error: String(error) });
        });
    },

    async move(leaving) {
      settleIn();
      const all = [...crew.members, ...crew.spares].filter(({ name }) => leaving.includes(name));
      for (const { name } of all) except.add(name);
      crew.spares = crew.spares.filter(({ name }) => !leaving.includes(name));
      await tellPool(() => pool().signal(release, { holder, nodes: all.map(({ name }) => name) }));
      for (const [rank, member] of crew.members.entries())
        if (leaving.includes(member.name)) crew.members[rank] = await standIn();
      crew.keepers.push(...all);
    },

    cordon(wanted) {
      tellPool(
        () => pool().signal(cordonNode, wanted),
        () => undefined,
      ).catch(() => undefined);
    },

    async shrink(spares) {
      settleIn();
      const surplus = crew.spares.splice(spares).map(({ name }) => name);
      if (surplus.length) await tellPool(() => pool().signal(release, { holder, nodes: surplus }));
    },

    async replace(lost, reason) {
      settleIn();
      const gone = [...crew.members, ...crew.spares].filter(({ name }) => lost.includes(name));
      crew.spares = crew.spares.filter(({ name }) => !lost.includes(name));
      for (const node of lost) await tellPool(() => pool().signal(reportLost, { node, reason }));
      await tellPool(() => pool().signal(release, { holder, nodes: lost }));
      for (const [rank, member] of crew.members.entries())
        if (lost.includes(member.name)) crew.members[rank] = await standIn();
      crew.keepers.push(...gone);
    },

    async fence() {
      settleIn();
      const requestId = newRequest('launch');
      await tellPool(() => pool().signal(requestLaunch, { requestId, holder }));
      await condition(() => tokens.has(requestId));
      const token = tokens.get(requestId)!;
      const fenced = async ({ name }: NodeInfo) => infoOf(await onNode(name, spec.recovery).fenceNode({ token }));
      const present = await Promise.all([...crew.members, ...crew.spares].map(fenced));
      [crew.members, crew.spares] = [present.slice(0, spec.cluster.nodes), present.slice(spec.cluster.nodes)];
      return token;
    },

    async release() {
      seeking.clear();
      [crew.members, crew.spares, crew.newcomers] = [[], [], []];
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
