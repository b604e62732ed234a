/** A finished run as one HTML page that needs no network: figures, loss curve, timeline, ledger, events. Pure. */
import { causesOf, ledgerOf } from '../workflows/ledger.js';
import type { PretrainResult, RunState } from '../workflows/status.js';
import { escapeHtml, lossCurve, timeline } from './report-charts.js';

const STYLE = `
:root { color-scheme: light dark; --ink: #1d2330; --paper: #fff; --soft: #6b7385; --line: #d9dde5; --accent: #2f6fde; --bad: #c8362f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --paper: #14171d; --soft: #98a1b3; --line: #2c323d; --accent: #7aa7ff; --bad: #ff7a70; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
.soft, text { color: var(--soft); fill: var(--soft); font-size: 12px; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; }
dt { color: var(--soft); font-size: .8rem; } dd { margin: 0; font-size: 1.2rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); }
svg { width: 100%; height: auto; } .axis { stroke: var(--line); } .curve { fill: none; stroke: var(--accent); stroke-width: 1.5; }
.span { fill: var(--accent); } .mark { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 3 3; }
`;

export function renderReport(state: RunState, result: PretrainResult): string {
  const figures: [string, string][] = [
    ['iterations', `${result.iteration} of ${result.total}`],
    ['final loss', result.loss?.toFixed(4) ?? 'none'],
    ['generations', String(result.generations)],
    ['failures', String(result.failures)],
    ['nodes', state.nodes.join(', ')],
    ['last checkpoint', state.replicated ? `iteration ${state.replicated}` : 'none'],
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(state.run)}</title><style>${STYLE}</style></head><body>
<h1>${escapeHtml(state.run)}</h1><p class="soft">series ${escapeHtml(state.series)} · ${escapeHtml(result.message)}</p>
<dl>${figures.map(([name, value]) => `<div><dt>${name}</dt><dd>${escapeHtml(value)}</dd></div>`).join('')}</dl>
<h2>Loss</h2>${lossCurve(
    state.curve,
    state.failures.map(({ startedFrom, endedAt }) => Math.max(startedFrom, endedAt)),
  )}
<h2>Phases</h2>${timeline(state.phases)}
<h2>Where the time went</h2>${table(['phase', 'cause', 'node-seconds', 'share'], ledger(state))}
${
  state.failures.length
    ? `<h2>What failures cost</h2>${table(
        ['cause', 'failures', 'iterations trained again', 'mean seconds to the next launch'],
        causesOf(state).map(({ cause, failures, lostIterations, toNextLaunch }) => [
          ...[cause, String(failures), String(lostIterations), toNextLaunch?.toFixed(1) ?? 'none followed'],
        ]),
      )}<h2>Failures</h2>${table(
        ['generation', 'cause', 'culprit', 'went on from iteration'],
        state.failures.map((f) => [String(f.generation), f.cause, f.culprit ?? 'unknown', String(f.endedAt)]),
      )}`
    : ''
}
<h2>Events</h2>${table(
    ['time (UTC)', 'what'],
    state.events.map(({ at, text }) => [new Date(at).toISOString().slice(0, 19).replace('T', ' '), text]),
  )}
</body></html>
`;
}

const table = (heads: string[], rows: string[][]): string =>
  `<table><thead><tr>${heads.map((head) => `<th>${escapeHtml(head)}</th>`).join('')}</tr></thead><tbody>${rows
    .map((row) => `<tr>${row.map((cell) => `<td>${escapeHtml(cell)}</td>`).join('')}</tr>`)
    .join('')}</tbody></table>`;

/** Node-seconds a phase and cause, over all times that it was entered. */
function ledger(state: RunState): string[][] {
  const rows = ledgerOf(state, state.phases.at(-1)?.from ?? 0);
  const all = rows.reduce((sum, { nodeSeconds }) => sum + nodeSeconds, 0);
  return rows.map(({ phase, cause, nodeSeconds }) => [
    ...[phase, cause, nodeSeconds.toFixed(1), `${((100 * nodeSeconds) / (all || 1)).toFixed(0)} %`],
  ]);
}
