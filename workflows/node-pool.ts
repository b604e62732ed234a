/**
 * The durable roster of a cluster's nodes and who holds them. Node workers announce themselves; runs ask for
 * nodes and for launch tokens, and are answered, by signal, since a workflow cannot send another an update.
 */
import {
  condition,
  continueAsNew,
  getExternalWorkflowHandle,
  log,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { onControl, onProbe, type NodeInfo, type Recipient } from './contract.js';
import {
  acquire,
  join,
  launchGranted,
  nodesGranted,
  release,
  reportLost,
  requestLaunch,
  status,
  type AcquireNodes,
} from './messages.js';

export interface PoolNode extends NodeInfo {
  /** Why nothing is given to this node until it announces itself again. */
  away?: string;
  holder?: Recipient;
  /** The series it served, the last one last: their data is there. */
  served?: string[];
}

export interface PoolState {
  nodes: PoolNode[];
  waiting: AcquireNodes[];
  token: number;
}

/** How many series a node is remembered for. */
const SERVED = 20;
/** How often holders are asked whether they still run while somebody waits for their nodes. */
const RECHECK_MS = 15_000;

export async function nodePool(initial?: PoolState): Promise<never> {
  const state: PoolState = initial ?? { nodes: [], waiting: [], token: 0 };
  let changed = true;
  let looked = Date.now();
  const launches: { requestId: string; holder: Recipient }[] = [];

  setHandler(join, (info) => {
    const known = state.nodes.find(({ name }) => name === info.name);
    if (known) {
      Object.assign(known, info);
      delete known.away;
    } else state.nodes.push(info);
    changed = true;
  });
  setHandler(acquire, (request) => {
    // Runs number their requests each for itself.
    const isAgain = ({ requestId, holder }: AcquireNodes) =>
      requestId === request.requestId && same(holder, request.holder);
    if (!state.waiting.some(isAgain)) state.waiting.push(request);
    changed = true;
  });
  setHandler(requestLaunch, (request) => {
    launches.push(request);
    changed = true;
  });
  setHandler(reportLost, ({ node, reason }) => {
    const known = state.nodes.find(({ name }) => name === node);
    if (known) known.away = reason;
  });
  setHandler(release, ({ holder, nodes }) => {
    giveBack(state, holder, nodes);
    changed = true;
  });
  setHandler(status, () => describePool(state));

  for (;;) {
    setCurrentDetails(describePool(state));
    await condition(() => changed, state.waiting.length ? RECHECK_MS : '1 day');
    changed = false;
    for (const request of launches.splice(0)) await answerLaunch(state, request);
    // By the clock and not by the time-out: where signals never cease, it would never come.
    if (state.waiting.length && Date.now() - looked >= RECHECK_MS) {
      await lookAgain(state);
      looked = Date.now();
    }
    await settle(state);
    if (workflowInfo().continueAsNewSuggested && !changed && launches.length === 0)
      await continueAsNew<typeof nodePool>(state);
  }
}

/** Serves the queue in order, all or none: a large request is not overtaken for ever by small ones behind it. */
async function settle(state: PoolState): Promise<void> {
  while (state.waiting.length) {
    const request = nextRequest(state);
    if (!request) return;
    const chosen = await choose(state, request);
    if (!chosen) return;
    // The handlers ran while nodes were asked: the request may be withdrawn, a node lost or taken meanwhile.
    if (!state.waiting.includes(request)) continue;
    state.waiting.splice(state.waiting.indexOf(request), 1);
    const { requestId, holder, series } = request;
    const keepers = state.nodes.filter(
      (node) => hasServed(node, series) && !chosen.includes(node) && !isHeldBy(node, holder),
    );
    for (const node of chosen) {
      node.holder = holder;
      node.served = [...(node.served ?? []).filter((other) => other !== series), series].slice(-SERVED);
    }
    try {
      const granted = { requestId, nodes: chosen.map(infoOf), keepers: keepers.map(infoOf) };
      await to(holder).signal(nodesGranted, granted);
    } catch (error) {
      log.warn('the holder is gone: its nodes are free again', {
        holder: holder.workflowId,
        error: String(error),
      });
      for (const node of chosen) delete node.holder;
    }
  }
}

/**
 * A run that holds nodes and lost one comes first: it gives nothing back while it waits, so whoever is before it
 * might wait for its nodes for ever. One that asks for more than there is lets the others pass.
 */
function nextRequest({ nodes, waiting }: PoolState): AcquireNodes | undefined {
  const holds = ({ holder }: AcquireNodes) => nodes.some((node) => isHeldBy(node, holder));
  const possible = (request: AcquireNodes) =>
    nodes.filter(({ devices }) => devices >= request.devices).length >= request.nodes;
  return waiting.find(holds) ?? waiting.find(possible);
}

/** Enough free nodes that answer right now, those that served the series first; nothing if there are too few. */
async function choose(state: PoolState, request: AcquireNodes): Promise<PoolNode[] | undefined> {
  for (;;) {
    const free = state.nodes.filter((node) => !node.away && !node.holder && node.devices >= request.devices);
    if (free.length < request.nodes) return undefined;
    const preferred = [...free].sort(
      (a, b) =>
        Number(hasServed(b, request.series)) - Number(hasServed(a, request.series)) || (a.name < b.name ? -1 : 1),
    );
    const chosen = preferred.slice(0, request.nodes);
    const answers = await Promise.all(chosen.map(ping));
    if (answers.every(Boolean) && chosen.every((node) => !node.away && !node.holder)) return chosen;
  }
}

async function ping(node: PoolNode): Promise<boolean> {
  try {
    await onProbe(node.name).pingNode();
    return true;
  } catch {
    node.away = 'did not answer when it was to be leased; comes back when its worker starts';
    return false;
  }
}

/** Somebody waits: free what closed runs still hold, and ask nodes that were away whether they are back. */
async function lookAgain(state: PoolState): Promise<void> {
  await reclaim(state);
  const away = state.nodes.filter((node) => node.away && !node.holder);
  await Promise.all(away.map(async (node) => (await ping(node)) && delete node.away));
}

/** A terminated run releases nothing by itself: whoever is closed loses its nodes and its place in the queue. */
async function reclaim(state: PoolState): Promise<void> {
  const holders = [...state.nodes.flatMap(({ holder }) => holder ?? []), ...state.waiting.map(({ holder }) => holder)];
  for (const holder of holders.filter((a, i) => holders.findIndex((b) => same(a, b)) === i)) {
    // Nobody to ask is no reason to take nodes from a run that may well be alive.
    const open = await onControl()
      .describeHolder(holder)
      .then((answer) => answer.open)
      .catch(() => true);
    if (open) continue;
    giveBack(state, holder);
  }
}

/** Frees what a holder has, or these of its nodes, and drops what it still waits for. */
function giveBack(state: PoolState, holder: Recipient, names?: string[]): void {
  state.waiting = state.waiting.filter((request) => !same(request.holder, holder));
  for (const node of state.nodes)
    if (isHeldBy(node, holder) && (!names || names.includes(node.name))) delete node.holder;
}

async function answerLaunch(
  state: PoolState,
  { requestId, holder }: { requestId: string; holder: Recipient },
): Promise<void> {
  const token = ++state.token;
  try {
    await to(holder).signal(launchGranted, { requestId, token });
  } catch (error) {
    log.warn('nobody took the launch token', { holder: holder.workflowId, token, error: String(error) });
  }
}

const hasServed = ({ served = [] }: PoolNode, series: string): boolean => served.includes(series);
const infoOf = ({ name, address, port, devices, profile }: PoolNode): NodeInfo => ({
  ...{ name, address, port, devices, profile },
});
const to = (holder: Recipient) => getExternalWorkflowHandle(holder.workflowId, holder.runId);
const isHeldBy = ({ holder }: PoolNode, by: Recipient): boolean => holder !== undefined && same(holder, by);
const same = (a: Recipient, b: Recipient): boolean => a.workflowId === b.workflowId && a.runId === b.runId;

function describePool({ nodes, waiting, token }: PoolState): string {
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
    ...waiting.map(
      ({ holder, nodes: wanted }, place) => `${place + 1}. ${holder.workflowId} waits for ${wanted} nodes`,
    ),
  ].join('\n');
}
