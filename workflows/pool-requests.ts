/** What a run asks its pool for: nodes that it waits for, spares that it does not wait for, launch tokens. */
import {
  condition,
  getExternalWorkflowHandle,
  isCancellation,
  setHandler,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import type { ExternalWorkflowHandle } from '@temporalio/workflow';
import type { Holder, NodeInfo } from './contract.js';
import {
  acquire,
  launchGranted,
  nodesGranted,
  placeInLine,
  requestLaunch,
  type AcquireNodes,
  type NodesGranted,
} from './messages.js';
import type { RunSpec } from './spec.js';

/** What the run says while it waits for nodes; `undefined` when it no longer does. */
export type Waiting = (what: string | undefined) => void;

const SILENT: Waiting = () => undefined;

export type PoolRequests = ReturnType<typeof createPoolRequests>;

/** What a run that continues as new has asked for and not got, or been told and not used. */
export interface OpenRequests {
  /** How many it has numbered. */
  requests: number;
  except: string[];
  seeking: AcquireNodes[];
  granted: NodesGranted[];
}

/** @param spec read each time anew: a paused run may go on with another */
export function createPoolRequests(spec: RunSpec, waiting: Waiting, open?: OpenRequests) {
  const { workflowId, firstExecutionRunId: firstRunId } = workflowInfo();
  const holder: Holder = { workflowId, firstRunId };
  const granted = new Map(open?.granted.map((grant) => [grant.requestId, grant]));
  const tokens = new Map<string, number>();
  const places = new Map<string, string>();
  /** Requests for spares that are open. */
  const seeking = new Map<string, AcquireNodes>();
  /** Nodes that people told this run to do without. */
  const except = new Set<string>(open?.except);
  let waitsFor: AcquireNodes | undefined;
  let requests = open?.requests ?? 0;
  const newId = (what: string) => `${firstRunId}/${what}-${++requests}`;

  setHandler(nodesGranted, (grant) => void granted.set(grant.requestId, grant));
  setHandler(launchGranted, ({ requestId, token }) => void tokens.set(requestId, token));
  setHandler(placeInLine, ({ requestId, text }) => {
    places.set(requestId, text);
    if (requestId === waitsFor?.requestId) waiting(describeWait(waitsFor));
  });

  const describeWait = ({ requestId, nodes }: AcquireNodes): string => {
    const place = places.get(requestId);
    return `${nodes} of the pool "${spec.cluster.pool}"${place ? ` (${place})` : ''}`;
  };
  const newAcquire = (what: string, nodes: number): AcquireNodes => ({
    ...{ requestId: newId(what), holder, series: spec.series, nodes, except: [...except] },
    ...{ devices: spec.cluster.devicesPerNode, priority: spec.cluster.priority },
    ...(spec.cluster.soak !== undefined && { soak: spec.cluster.soak }),
  });

  /** Signals until the pool exists: it begins with the first node worker that joins. */
  async function tell(signal: (pool: ExternalWorkflowHandle) => Promise<void>, say = waiting): Promise<void> {
    const { pool } = spec.cluster;
    for (;;) {
      try {
        return await signal(getExternalWorkflowHandle(`pool-${pool}`));
      } catch (error) {
        if (isCancellation(error)) throw error;
        say(`the pool "${pool}", which no node worker has joined yet`);
        await sleep('5 seconds');
      }
    }
  }

  async function waitFor<T>(request: AcquireNodes, answer: () => T | undefined): Promise<T> {
    waitsFor = request;
    waiting(describeWait(request));
    try {
      await tell((pool) => pool.signal(acquire, request));
      await condition(() => answer() !== undefined);
    } finally {
      waitsFor = undefined;
    }
    waiting(undefined);
    return answer()!;
  }

  function take(requestId: string): NodesGranted {
    const grant = granted.get(requestId)!;
    granted.delete(requestId);
    places.delete(requestId);
    return grant;
  }

  return {
    holder,
    tell,
    /** Waits for this many nodes, all or none. */
    async ask(count: number): Promise<NodesGranted> {
      const request = newAcquire('nodes', count);
      await waitFor(request, () => granted.get(request.requestId));
      return take(request.requestId);
    },
    /**
     * One node when it is its turn; `undefined` when the run gave everything back meanwhile.
     * @param request that was made before, and may not have arrived
     */
    async seek(request: AcquireNodes = { ...newAcquire('spare', 1), spare: true }): Promise<NodesGranted | undefined> {
      const { requestId } = request;
      seeking.set(requestId, request);
      await tell((pool) => pool.signal(acquire, request), SILENT);
      await condition(() => granted.has(requestId) || !seeking.has(requestId));
      return seeking.delete(requestId) ? take(requestId) : undefined;
    },
    /** How many nodes are asked for and not waited for. */
    get sought(): number {
      return seeking.size;
    },
    /** Waits for the first node that comes of those that are asked for already, which is urgent by now. */
    async urge(first: () => NodeInfo | undefined): Promise<void> {
      const [open] = seeking.values();
      if (open) await waitFor({ ...open, spare: false }, first);
    },
    /** For whoever continues this run. */
    open: (): OpenRequests => ({
      ...{ requests, except: [...except], seeking: [...seeking.values()], granted: [...granted.values()] },
    }),
    doWithout: (node: string): void => void except.add(node),
    /** What comes from now on has been given back already. */
    forget: (): void => seeking.clear(),
    async newToken(): Promise<number> {
      const requestId = newId('launch');
      await tell((pool) => pool.signal(requestLaunch, { requestId, holder }));
      await condition(() => tokens.has(requestId));
      return tokens.get(requestId)!;
    },
  };
}
