/** The dashboard's first page: runs and pools. Pure. */
import type { Quarantine } from '../workflows/quarantine.js';
import type { PoolState } from '../workflows/roster.js';
import { clock, table } from './html-page.js';
import { escapeHtml } from './timeline.js';

export interface RunLine {
  id: string;
  status: string;
  startedAt: number;
  /** Absent when nobody could say. */
  phase?: string;
  progress?: string;
}

export interface PoolLine {
  name: string;
  /** Absent when no control worker answers for it. */
  state?: PoolState;
}

export function overviewMain(runs: RunLine[], pools: PoolLine[]): string {
  return `<h1>Pretraining</h1>
<h2>Runs</h2>${runs.length ? runTable(runs) : '<p class="soft">no run was started yet</p>'}
${pools.map(({ name, state }) => poolSection(name, state)).join('')}`;
}

const runTable = (runs: RunLine[]): string =>
  `<table><thead><tr><th>run</th><th>state</th><th>phase</th><th>iterations</th><th>started (UTC)</th></tr></thead><tbody>${runs
    .map(
      ({ id, status, phase = '', progress = '', startedAt }) =>
        `<tr><td><a href="/runs/${encodeURIComponent(id)}">${escapeHtml(id)}</a></td>${[status, phase, progress, clock(startedAt)].map((cell) => `<td>${escapeHtml(cell)}</td>`).join('')}</tr>`,
    )
    .join('')}</tbody></table>`;

const untilWhen = ({ until }: Quarantine): string =>
  until === undefined ? 'until somebody lifts it' : `until ${clock(until)}`;

function poolSection(name: string, state: PoolState | undefined): string {
  if (!state) return `<h2>${escapeHtml(name)}</h2><p class="soft">no control worker answers for this pool</p>`;
  const { nodes, waiting, history = [] } = state;
  const rows = nodes.map((node) => [
    ...[node.name, node.address, `${node.devices} × ${node.profile}`, node.holder?.workflowId ?? 'nobody'],
    node.heard === undefined || node.holder ? '' : clock(node.heard),
    ...[node.away ?? '', node.cordoned ? `by ${node.cordoned.who}: ${node.cordoned.why}` : ''],
    node.quarantined ? `${untilWhen(node.quarantined)}: ${node.quarantined.reason}` : '',
  ]);
  const line = waiting.map(({ holder, nodes: wanted, since }) => [holder.workflowId, String(wanted), clock(since)]);
  return `<h2>${escapeHtml(name)}</h2>${table(['node', 'address', 'devices', 'held by', 'heard of (UTC)', 'away', 'cordoned', 'in quarantine'], rows)}
${line.length ? table(['waits', 'for nodes', 'since (UTC)'], line) : ''}
${
  history.length
    ? table(
        ['time (UTC)', 'node', 'what', 'by', 'why'],
        history.slice(-10).map(({ at, node, what, who, why }) => [clock(at), node, what, who, why]),
      )
    : ''
}`;
}
