/** The pool's book: its nodes, who holds them, who waits, and whose turn it is. Pure. */
import type { Holder, NodeInfo } from './contract.js';
import type { AcquireNodes } from './messages.js';

export interface PoolNode extends NodeInfo {
  /** Why nothing is given to this node until it answers again. */
  away?: string;
  holder?: Holder;
  /** The series it served, the last one last: their data is there. */
  served?: string[];
}

export interface PoolState {
  nodes: PoolNode[];
  waiting: AcquireNodes[];
  /** The last launch token that was given, or that a node has seen. */
  token: number;
}

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

/** Runs number their requests each for itself, and repeat one that may not have arrived. */
export function enqueue(state: PoolState, request: AcquireNodes): void {
  const isAgain = ({ requestId, holder }: AcquireNodes) =>
    requestId === request.requestId && same(holder, request.holder);
  if (!state.waiting.some(isAgain)) state.waiting.push(request);
}

/**
 * A run that holds nodes and lost one comes first: it gives nothing back while it waits, so whoever is before it
 * might wait for its nodes for ever. One that asks for more than there is, or whose series another run is training,
 * lets the others pass.
 */
export function nextRequest({ nodes, waiting }: PoolState): AcquireNodes | undefined {
  const holds = ({ holder }: AcquireNodes) => nodes.some((node) => isHeldBy(node, holder));
  const possible = (request: AcquireNodes) =>
    nodes.filter(({ devices }) => devices >= request.devices).length >= request.nodes;
  return waiting.find(holds) ?? waiting.find((request) => possible(request) && !trainedBy(nodes, request));
}

/** Who else trains the series of this request now: two at once would overwrite each other's checkpoints. */
const trainedBy = (nodes: PoolNode[], { series, holder }: AcquireNodes): Holder | undefined =>
  nodes.find((node) => node.holder && !same(node.holder, holder) && node.served?.at(-1) === series)?.holder;

export const isFree = ({ away, holder }: PoolNode): boolean => away === undefined && holder === undefined;

/** Which free nodes a request would get, those that served its series first; nothing if there are too few. */
export function candidates({ nodes }: PoolState, { series, nodes: wanted, devices }: AcquireNodes) {
  const fit = nodes.filter((node) => isFree(node) && node.devices >= devices);
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
  for (const node of chosen) {
    node.holder = holder;
    node.served = [...(node.served ?? []).filter((other) => other !== series), series].slice(-SERVED);
  }
  return { requestId, nodes: chosen.map(infoOf), keepers: keepers.map(infoOf) };
}

/** Frees what a holder has, or these of its nodes, and drops what it still waits for. */
export function giveBack(state: PoolState, holder: Holder, names?: string[]): void {
  state.waiting = state.waiting.filter((request) => !same(request.holder, holder));
  for (const node of state.nodes)
    if (isHeldBy(node, holder) && (!names || names.includes(node.name))) delete node.holder;
}

/** Everybody who has nodes or waits for some, once each. */
export function holdersOf({ nodes, waiting }: PoolState): Holder[] {
  const all = [...nodes.flatMap(({ holder }) => holder ?? []), ...waiting.map(({ holder }) => holder)];
  return all.filter((a, index) => all.findIndex((b) => same(a, b)) === index);
}

export function describePool({ nodes, waiting, token }: PoolState): string {
  const rows = nodes.map(
    ({ name, address, devices, profile, away, holder }) =>
      `| ${name} | ${address} | ${devices} × ${profile} | ${away ? `away: ${away}` : holder ? `held by ${holder.workflowId}` : 'free'} |`,
  );
  return [
    `**${nodes.length} nodes**, last launch token ${token}`,
    '',
    '| node | address | devices | state |',
    '| --- | --- | --- | --- |',
    ...rows,
    ...waiting.map((request, place) => {
      const other = trainedBy(nodes, request);
      const behind = other ? `, after ${other.workflowId}, which trains the same series` : '';
      return `${place + 1}. ${request.holder.workflowId} waits for ${request.nodes} nodes${behind}`;
    }),
  ].join('\n');
}
