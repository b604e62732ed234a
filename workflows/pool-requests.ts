/** What a run asks its pool for: nodes that it waits for, spares that it does not wait for, launch tokens. */
import {
  condition,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  patched,
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
  release,
  requestLaunch,
  type AcquireNodes,
  type NodesGranted,
} from './messages.js';
import { onSignal } from './on-signal.js';
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
  /** Those up to this number were given up, with all that they bring. */
  givenUp?: number;
}

/** Nodes that nobody waits for go back; before, the run kept them to its end. */
const STRAYS_GO_BACK = 'nodes that nobody waits for go back';

/** @param spec read each time anew: a paused run may go on with another */
export function createPoolRequests(spec: RunSpec, waiting: Waiting, open?: OpenRequests) {
  const { workflowId, firstExecutionRunId: firstRunId } = workflowInfo();
  const holder: Holder = { workflowId, firstRunId };
  const granted = new Map(open?.granted.map((grant) => [grant.requestId, grant]));
  const tokens = new Map<string, number>();
  const places = new Map<string, string>();
  /** Requests for spares that are open; at once, since what was granted meanwhile is heard before anything else. */
  const seeking = new Map(open?.seeking.map((request) => [request.requestId, request]));
  /** Nodes that people told this run to do without. */
  const except = new Set<string>(open?.except);
  let waitsFor: AcquireNodes | undefined;
  let requests = open?.requests ?? 0;
  let givenUp = open?.givenUp ?? 0;
  const newId = (what: string) => `${firstRunId}/${what}-${++requests}`;

  onSignal(nodesGranted, (grant) => {
    if (isStray(grant) && patched(STRAYS_GO_BACK)) returnNodes(grant);
    else granted.set(grant.requestId, grant);
  });
  onSignal(launchGranted, ({ requestId, token }) => void tokens.set(requestId, token));
  onSignal(placeInLine, ({ requestId, text }) => {
    places.set(requestId, text);
    if (requestId === waitsFor?.requestId) waiting(describeWait(waitsFor));
  });

  /** A request that was made again, since it may not have arrived, is answered twice where it had. */
  function isStray({ requestId }: NodesGranted): boolean {
    const [run, number] = [requestId.split('/')[0], Number(requestId.split('-').at(-1))];
    // Of an earlier run of this id, which holds nothing any more; or went back already, and may be granted anew.
    if (run !== firstRunId || number <= givenUp) return false;
    // Of this run before it was reset: it will ask once more, and has the answer.
    if (number > requests) return false;
    const isOpen = requestId === waitsFor?.requestId || seeking.has(requestId);
    return !isOpen || granted.has(requestId);
  }

  function returnNodes({ requestId, nodes }: NodesGranted): void {
    const names = nodes.map(({ name }) => name);
    log.warn('nodes that nobody waits for are given back', { requestId, names });
    tell((to) => to.signal(release, { holder, nodes: names }), SILENT).catch(() => undefined);
  }

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
      if (!granted.has(requestId) || !patched(STRAYS_GO_BACK))
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
    /** Makes what is asked for urgent until there is enough of it, or for so long, and waits meanwhile. */
    async hurry(isEnough: () => boolean, atMost: string): Promise<void> {
      const open = [...seeking.values()];
      const say = (spare: boolean) =>
        Promise.all(
          open
            .filter(({ requestId }) => seeking.has(requestId))
            .map((request) => tell((pool) => pool.signal(acquire, { ...request, spare }))),
        );
      waiting(`${open.length} of the pool "${spec.cluster.pool}", for ${atMost} at most`);
      await say(false);
      await condition(isEnough, atMost);
      await say(true);
      waiting(undefined);
    },
    /** For whoever continues this run. */
    open: (): OpenRequests => ({
      ...{ requests, except: [...except], seeking: [...seeking.values()], granted: [...granted.values()], givenUp },
    }),
    /** Also for what is asked for already. */
    async doWithout(node: string): Promise<void> {
      except.add(node);
      for (const request of seeking.values()) {
        if (request.except?.includes(node)) continue;
        request.except = [...except];
        await tell((pool) => pool.signal(acquire, request), SILENT);
      }
    },
    /** What comes from now on has been given back already. */
    forget(): void {
      seeking.clear();
      givenUp = requests;
    },
    async newToken(): Promise<number> {
      const requestId = newId('launch');
      await tell((pool) => pool.signal(requestLaunch, { requestId, holder }));
      await condition(() => tokens.has(requestId));
      return tokens.get(requestId)!;
    },
  };
}
