/** The pool's page of text: its nodes, who waits behind whom, and what people did. Pure. */
import type { Quarantine } from './quarantine.js';
import { inOrder, trainedBy, type PoolNode, type PoolState, type Waiting } from './roster.js';

const EVENTS = 10;

export function describePool(state: PoolState, now: number): string {
  const { nodes, token, history = [] } = state;
  const rows = nodes.map(
    (node) =>
      `| ${node.name} | ${node.address} | ${node.devices} × ${node.profile} | ${heardOf(node)} | ${stateOf(node)} |`,
  );
  const events = history.slice(-EVENTS);
  return [
    `**${nodes.length} nodes**, last launch token ${token}`,
    '',
    '| node | address | devices | heard of | state |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    ...inOrder(state, now).map((request, place) => `${place + 1}. ${describeWaiting(state, request)}`),
    ...(events.length ? [''] : []),
    ...events.map(({ at, node, what, who, why }) => `- ${minute(at)} ${node} ${what} by ${who}: ${why}`),
  ].join('\n');
}

/** Of one that is held, its run knows. */
const heardOf = ({ heard, holder }: PoolNode): string => (heard === undefined || holder ? '' : minute(heard));

function stateOf({ away, holder, cordoned, quarantined }: PoolNode): string {
  const held = holder && `held by ${holder.workflowId}`;
  const told = [
    away ? `away: ${away}` : held,
    cordoned && `cordoned since ${minute(cordoned.since)} by ${cordoned.who}: ${cordoned.why}`,
    quarantined && inQuarantine(quarantined),
  ];
  return told.filter(Boolean).join(', ') || 'free';
}

const inQuarantine = ({ since, until, reason }: Quarantine): string =>
  `in quarantine since ${minute(since)}, until ${until === undefined ? 'somebody lifts it (uncordon)' : minute(until)}: ${reason}`;

function describeWaiting({ nodes }: PoolState, request: Waiting): string {
  const other = trainedBy(nodes, request);
  const behind = other ? `, after ${other.workflowId}, which trains the same series` : '';
  const priority = request.priority ? ` (priority ${request.priority})` : '';
  return `${request.holder.workflowId} waits for ${request.nodes} ${request.spare ? 'spare nodes' : 'nodes'}${priority}${behind}`;
}

/** What a run that waits says on its own page: how many are before it, and where the nodes are. */
export function placeOf(state: PoolState, request: Waiting, now: number): string {
  const { nodes } = state;
  const same = trainedBy(nodes, request);
  if (same) return `after ${same.workflowId}, which trains the same series`;
  const order = inOrder(state, now);
  const before = order.slice(0, order.indexOf(request)).map(({ holder }) => holder.workflowId);
  const held = new Map<string, number>();
  for (const node of nodes) {
    const what = node.holder
      ? `held by ${node.holder.workflowId}`
      : node.cordoned
        ? 'cordoned'
        : node.quarantined
          ? 'in quarantine'
          : node.away
            ? 'away'
            : 'free';
    held.set(what, (held.get(what) ?? 0) + 1);
  }
  const where = [...held].map(([what, count]) => `${count} ${what}`).join(', ');
  const without = request.except?.length ? `; it was told to do without ${request.except.join(', ')}` : '';
  return `${before.length ? `behind ${before.slice(-3).join(', ')}` : 'first in line'}; ${where}${without}`;
}

const minute = (at: number): string => `${new Date(at).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
