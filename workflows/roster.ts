/** The pool's book: its nodes, who holds them, who waits, and whose turn it is. Pure. */
import type { Holder, NodeInfo } from './contract.js';
import type { AcquireNodes, HardwareFault } from './messages.js';

export interface PoolNode extends NodeInfo {
  /** Why nothing is given to this node until it answers again. */
  away?: string;
  /** Given to nobody until then, or until somebody lifts it; whatever runs it is in, and whether it answers or not. */
  quarantined?: { since: number; reason: string; until?: number };
  /** When its hardware failed. */
  faults?: number[];
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
export const infoOf = ({ name, address, port, devices, profile }: NodeInfo): NodeInfo => ({
  ...{ name, address, port, devices, profile },
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
 * lets the others pass. Spares are given when nobody is in need.
 */
export function nextRequest({ nodes, waiting }: PoolState): AcquireNodes | undefined {
  const holds = ({ holder }: AcquireNodes) => nodes.some((node) => isHeldBy(node, holder));
  const mayCome = ({ quarantined }: PoolNode) => !quarantined || quarantined.until !== undefined;
  const possible = (request: AcquireNodes) =>
    nodes.filter((node) => mayCome(node) && node.devices >= request.devices).length >= request.nodes;
  const urgent = waiting.filter(({ spare }) => !spare);
  return (
    urgent.find(holds) ??
    urgent.find((request) => possible(request) && !trainedBy(nodes, request)) ??
    waiting.find(({ spare }) => spare)
  );
}

/** Who else trains the series of this request now: two at once would overwrite each other's checkpoints. */
const trainedBy = (nodes: PoolNode[], { series, holder }: AcquireNodes): Holder | undefined =>
  nodes.find((node) => node.holder && !same(node.holder, holder) && node.served?.at(-1) === series)?.holder;

export const isFree = ({ away, quarantined, holder }: PoolNode): boolean =>
  away === undefined && quarantined === undefined && holder === undefined;

/** Hardware that failed once may pass a reset and the checks; it is not tried again at once. */
const REST_MS = 3_600_000;
/** A fault that is older says nothing of this one. */
const FAULTS_COUNT_FOR_MS = 30 * 86_400_000;

/** A node's hardware failed: it rests, and the second time it is left to a person. A run may say so twice. */
export function noteFault({ nodes }: PoolState, { node: name, reason, at }: HardwareFault): void {
  const node = nodes.find((other) => other.name === name);
  if (!node || node.faults?.includes(at)) return;
  node.faults = [...(node.faults ?? []).filter((other) => at - other < FAULTS_COUNT_FOR_MS), at];
  node.quarantined = { since: at, reason, ...(node.faults.length === 1 && { until: at + REST_MS }) };
}

/** Gives nodes back to the pool whose rest is over. */
export function endRests({ nodes }: PoolState, now: number): void {
  for (const node of nodes) if ((node.quarantined?.until ?? Infinity) <= now) delete node.quarantined;
}

/** A person has seen to the node: what it did before is forgotten. False where it was not in quarantine. */
export function liftQuarantine({ nodes }: PoolState, name: string): boolean {
  const node = nodes.find((other) => other.name === name && other.quarantined);
  if (!node) return false;
  delete node.quarantined;
  delete node.faults;
  return true;
}

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

/** Frees these of a holder's nodes; or all that it has, and drops what it still waits for. */
export function giveBack(state: PoolState, holder: Holder, names?: string[]): void {
  if (!names) state.waiting = state.waiting.filter((request) => !same(request.holder, holder));
  for (const node of state.nodes)
    if (isHeldBy(node, holder) && (!names || names.includes(node.name))) delete node.holder;
}

/** Everybody who has nodes or waits for some, once each. */
export function holdersOf({ nodes, waiting }: PoolState): Holder[] {
  const all = [...nodes.flatMap(({ holder }) => holder ?? []), ...waiting.map(({ holder }) => holder)];
  return all.filter((a, index) => all.findIndex((b) => same(a, b)) === index);
}

function stateOf({ away, quarantined, holder }: PoolNode): string {
  const at = (time: number) => `${new Date(time).toISOString().slice(0, 16)}Z`;
  const told = [
    ...(quarantined
      ? [
          `in quarantine since ${at(quarantined.since)}${quarantined.until === undefined ? ', until somebody lifts it' : `, until ${at(quarantined.until)}`}: ${quarantined.reason}`,
        ]
      : []),
    ...(away ? [`away: ${away}`] : []),
    ...(holder && !away ? [`held by ${holder.workflowId}`] : []),
  ];
  return told.join('; ') || 'free';
}

export function describePool({ nodes, waiting, token }: PoolState): string {
  const rows = nodes.map(
    (node) => `| ${node.name} | ${node.address} | ${node.devices} × ${node.profile} | ${stateOf(node)} |`,
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
      const what = request.spare ? 'a spare' : `${request.nodes} nodes`;
      return `${place + 1}. ${request.holder.workflowId} waits for ${what}${behind}`;
    }),
  ].join('\n');
}
