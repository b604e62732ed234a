/** The pool's book: its nodes, who holds them, who waits, and whose turn it is. Pure. */
import type { Holder, NodeInfo } from './contract.js';
import type { AcquireNodes } from './messages.js';
import type { Quarantine } from './quarantine.js';

export interface PoolNode extends NodeInfo {
  /** When it last joined or answered, in milliseconds since the epoch. A node that nobody asks for is not asked. */
  heard?: number;
  /** Why nothing is given to this node until it answers again. */
  away?: string;
  awaySince?: number;
  holder?: Holder;
  /** Given to no run until somebody says so; one that holds it keeps it. */
  cordoned?: Cordon;
  /** Given to nobody until it is over or lifted, whatever run it is in, and whether it answers or not. */
  quarantined?: Quarantine;
  /** When its hardware failed. */
  faults?: number[];
  /** The series it served, the last one last: their data is there. */
  served?: string[];
  /** The series of its holder, where it did not serve that before. */
  newTo?: string;
}

export interface Cordon {
  since: number;
  who: string;
  why: string;
}

/** A request in line, and since when. */
export type Waiting = AcquireNodes & { since: number };

export interface PoolState {
  nodes: PoolNode[];
  waiting: Waiting[];
  /** The last launch token that was given, or that a node has seen. */
  token: number;
  /** What people did to nodes, the last one last. */
  history?: { at: number; node: string; what: string; who: string; why: string }[];
}

/** How much of what was done to nodes is remembered. */
const HISTORY = 100;

/** How many series a node is remembered for. */
const SERVED = 20;

const same = (a: Holder, b: Holder): boolean => a.workflowId === b.workflowId && a.firstRunId === b.firstRunId;
const isHeldBy = ({ holder }: PoolNode, by: Holder): boolean => holder !== undefined && same(holder, by);
const hasServed = ({ served = [] }: PoolNode, series: string): boolean => served.includes(series);
/** What a run is told of a node, and nothing else that is known of it. */
export const infoOf = ({ name, address, port, devices, profile, tls }: NodeInfo): NodeInfo => ({
  ...{ name, address, port, devices, profile },
  ...(tls && { tls }),
});

/** Waiting this long is worth one step of priority, so that whoever asked is served one day. */
const STEP_MS = 60 * 60_000;

/** Who waits for a node that has been away for so long keeps nobody else waiting: it may never come back. */
const GONE_MS = 15 * 60_000;

export function noteAway(node: PoolNode, reason: string, now: number): void {
  node.away = reason;
  node.awaySince ??= now;
}

export function noteBack(node: PoolNode): void {
  delete node.away;
  delete node.awaySince;
}

const mayComeBack = ({ awaySince }: PoolNode, now: number): boolean =>
  awaySince === undefined || now - awaySince < GONE_MS;

/** Runs number their requests each for itself, and repeat one that may not have arrived, or that is urgent by now. */
export function enqueue(state: PoolState, request: AcquireNodes, now: number): void {
  const isAgain = ({ requestId, holder }: AcquireNodes) =>
    requestId === request.requestId && same(holder, request.holder);
  const known = state.waiting.find(isAgain);
  if (known) Object.assign(known, request);
  else state.waiting.push({ ...request, since: now });
}

/** Those who wait, first come first served within a priority. */
export function inOrder({ nodes, waiting }: PoolState, now: number): Waiting[] {
  const rank = (request: Waiting) =>
    isStuck(nodes, request) ? Infinity : (request.priority ?? 0) + Math.floor((now - request.since) / STEP_MS);
  const ranks = new Map(waiting.map((request) => [request, rank(request)]));
  return [...waiting].sort((a, b) =>
    ranks.get(b) === ranks.get(a) ? a.since - b.since : ranks.get(b)! - ranks.get(a)!,
  );
}

/** A run that holds nodes and cannot train gives nothing back while it waits: whoever is before it might wait for its nodes for ever. */
const isStuck = (nodes: PoolNode[], { holder, spare }: AcquireNodes): boolean =>
  !spare && nodes.some((node) => isHeldBy(node, holder));

/** What is not cordoned, comes back by itself and is not ruled out by the request itself, be it free or not. */
const suits = (node: PoolNode, { devices, except = [], soak }: AcquireNodes): boolean =>
  node.devices >= devices &&
  !node.cordoned &&
  !except.includes(node.name) &&
  (soak === undefined ? !isLeftToAPerson(node) : node.name === soak);

const isLeftToAPerson = ({ quarantined }: PoolNode): boolean =>
  quarantined !== undefined && quarantined.until === undefined;

/**
 * Whose turn it is. One that asks for more than there is, or whose series another run is training, lets the others
 * pass, unless it is stuck and a node is free that it could have. A spare, or a soak, takes nothing from those behind it
 * while no free node suits it.
 */
export function nextRequest(state: PoolState, now: number): Waiting | undefined {
  const { nodes } = state;
  const possible = (request: AcquireNodes) =>
    nodes.filter(
      (node) => suits(node, request) && mayComeBack(node, now) && (!takesItsTime(request) || isFreeFor(node, request)),
    ).length >= request.nodes;
  const isKeptFor = (request: AcquireNodes) =>
    isStuck(nodes, request) && nodes.some((node) => suits(node, request) && isFreeFor(node, request));
  return inOrder(state, now).find(
    (request) => isKeptFor(request) || (!isStuck(nodes, request) && possible(request) && !trainedBy(nodes, request)),
  );
}

/** Who else trains the series of this request now: two at once would overwrite each other's checkpoints. */
export const trainedBy = (nodes: PoolNode[], { series, holder }: AcquireNodes): Holder | undefined =>
  nodes.find((node) => node.holder && !same(node.holder, holder) && node.served?.at(-1) === series)?.holder;

const takesItsTime = ({ spare, soak }: AcquireNodes): boolean => spare === true || soak !== undefined;

const isIdle = ({ away, holder, cordoned }: PoolNode): boolean =>
  away === undefined && holder === undefined && cordoned === undefined;

export const isFree = (node: PoolNode): boolean => isIdle(node) && node.quarantined === undefined;

/** Quarantine keeps a node from all but the run that is to try it out. */
export const isFreeFor = (node: PoolNode, { soak }: Pick<AcquireNodes, 'soak'>): boolean =>
  isFree(node) || (isIdle(node) && node.name === soak);

/** Which free nodes a request would get, those that served its series first; nothing if there are too few. */
export function candidates({ nodes }: PoolState, request: AcquireNodes) {
  const { series, nodes: wanted } = request;
  const fit = nodes.filter((node) => isFreeFor(node, request) && suits(node, request));
  if (fit.length < wanted) return undefined;
  const order = (a: PoolNode, b: PoolNode) =>
    Number(hasServed(b, series)) - Number(hasServed(a, series)) || (a.name < b.name ? -1 : 1);
  return fit.sort(order).slice(0, wanted);
}

/** Takes the request off the queue and writes the nodes down to its holder; what the holder is to hear of it. */
export function grant(state: PoolState, request: AcquireNodes, chosen: PoolNode[]) {
  const { requestId, holder, series } = request;
  state.waiting = state.waiting.filter((other) => other !== request);
  const keepers = state.nodes.filter(
    (node) => hasServed(node, series) && !chosen.includes(node) && !isHeldBy(node, holder),
  );
  const fresh = chosen.filter((node) => !hasServed(node, series));
  for (const node of fresh) node.newTo = series;
  for (const node of chosen) {
    node.holder = holder;
    node.served = [...(node.served ?? []).filter((other) => other !== series), series].slice(-SERVED);
  }
  return {
    ...{ requestId, nodes: chosen.map(infoOf), keepers: keepers.map(infoOf) },
    ...(fresh.length > 0 && { fresh: fresh.map(({ name }) => name) }),
  };
}

/** Frees these of a holder's nodes, or all that it has, and then drops what it still waits for. */
export function giveBack(state: PoolState, holder: Holder, names?: string[], unused: string[] = []): void {
  if (!names) state.waiting = state.waiting.filter((request) => !same(request.holder, holder));
  for (const node of state.nodes)
    if (isHeldBy(node, holder) && (!names || names.includes(node.name))) {
      if (unused.includes(node.name)) node.served = node.served?.filter((series) => series !== node.newTo) ?? [];
      delete node.holder;
      delete node.newTo;
    }
}

/** Everybody who has nodes or waits for some, once each. */
export function holdersOf({ nodes, waiting }: PoolState): Holder[] {
  const all = [...nodes.flatMap(({ holder }) => holder ?? []), ...waiting.map(({ holder }) => holder)];
  return all.filter((a, index) => all.findIndex((b) => same(a, b)) === index);
}

/** The last ones of what people, and runs that tried a node out, did. */
export function noteHistory(state: PoolState, event: NonNullable<PoolState['history']>[number]): void {
  state.history = [...(state.history ?? []), event].slice(-HISTORY);
}
