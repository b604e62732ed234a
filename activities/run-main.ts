/** One run: figures, curves, timeline, where the time went, nodes, failures, requests, events. Pure. */
import { causesOf, effectiveTime, ledgerOf } from '../workflows/ledger.js';
import { failureCount } from '../workflows/past.js';
import { duration } from '../workflows/duration.js';
import { describeCurves, describeExport, type RunState } from '../workflows/status.js';
import { datasetSection } from './dataset-section.js';
import { chartData, clock, table } from './html-page.js';
import type { Chart } from './page-script.js';
import { escapeHtml, timeline } from './timeline.js';

/** @param said a line under the title: how it came out, or what it waits for */
export function runMain(state: RunState, said: string, now: number): string {
  const { failures, requests, curve } = state;
  const share = effectiveTime(state, now);
  return `<h1>${escapeHtml(state.run)}</h1><p class="soft">series ${escapeHtml(state.series)} · ${escapeHtml(said)}</p>
<dl>${figures(state)
    .map(([name, value]) => `<div><dt>${name}</dt><dd>${escapeHtml(value)}</dd></div>`)
    .join('')}</dl>
<h2>Loss</h2>${curve.length < 2 ? '<p class="soft">no loss was reported</p>' : '<div class="chart" id="loss"></div>'}
${(state.rates ?? []).length < 2 ? '' : '<h2>Throughput</h2><div class="chart" id="throughput"></div>'}
${chartData(charts(state))}
${state.dataset ? datasetSection(state.dataset) : ''}
<h2>Phases</h2>${timeline(state.phases, now)}
<h2>Where the time went</h2>${share === undefined ? '' : `<p class="soft">${(100 * share).toFixed(1)} % of the run's time went into iterations that count</p>`}${table(['phase', 'cause', 'node-seconds', 'share'], ledger(state, now))}
<h2>Nodes</h2>${table(['node', 'part', 'keeps copies of'], nodes(state))}
${section(
  'What failures cost',
  ['cause', 'failures', 'iterations trained again', 'mean seconds to the next launch'],
  causesOf(state).map(({ cause, failures, lostIterations, toNextLaunch }) => [
    ...[cause, String(failures), String(lostIterations), toNextLaunch?.toFixed(1) ?? 'none followed'],
  ]),
)}
${section(
  'Failures',
  ['generation', 'cause', 'culprit', 'went on from iteration'],
  failures.map((f) => [String(f.generation), f.cause, f.culprit ?? 'unknown', String(f.endedAt)]),
)}
${section(
  'What was asked',
  ['time (UTC)', 'who', 'what', 'why', 'answer', 'came of it'],
  (requests ?? []).map(({ at, who, update, about, why, answer, ended }) => [
    ...[clock(at), who, `${update}${about ? ` ${about}` : ''}`, why, answer, ended?.how ?? 'is pending'],
  ]),
)}
<h2>Events</h2>${table(
    ['time (UTC)', 'what'],
    state.events.map(({ at, text }) => [clock(at), text]),
  )}`;
}

const section = (title: string, heads: string[], rows: string[][]): string =>
  rows.length ? `<h2>${title}</h2>${table(heads, rows)}` : '';

function figures(state: RunState): [string, string][] {
  const { iteration, target, total, loss, secondsPerIteration: pace, tokensPerIteration: tokens, phase } = state;
  return [
    ['phase', phase],
    ['iterations', `${iteration} of ${total}`],
    ['loss', loss?.toFixed(4) ?? 'none'],
    ['tokens/s', pace && tokens ? Math.round(tokens / pace).toLocaleString('en-US') : 'unknown'],
    ...(phase === 'train' && pace ? [['left, about', duration((target - iteration) * pace)] as [string, string]] : []),
    ['generations', String(state.generation)],
    ['failures', String(failureCount(state))],
    ['checkpoint', state.replicated ? `iteration ${state.replicated}` : 'none'],
    ...(state.exported ? [['exported', describeExport(state.exported)] as [string, string]] : []),
    ...(state.curves ? [['curves', describeCurves(state.curves)] as [string, string]] : []),
  ];
}

function charts(state: RunState): Chart[] {
  const { curve, rates = [], tokensPerIteration: tokens, failures } = state;
  const marks = failures.map(({ startedFrom, endedAt }) => Math.max(startedFrom, endedAt));
  const rate = ([iteration, seconds]: [number, number]): [number, number] => [iteration, (tokens ?? 1) / seconds];
  return [
    { id: 'loss', label: 'loss', points: curve, marks },
    { id: 'throughput', label: tokens ? 'tokens/s' : 'iterations/s', points: rates.map(rate), marks },
  ];
}

const nodes = ({ nodes, spares, copies = {} }: RunState): string[][] => [
  ...nodes.map((name, rank) => [name, `node rank ${rank}`, (copies[name] ?? []).join(', ')]),
  ...spares.map((name) => [name, 'spare', (copies[name] ?? []).join(', ')]),
];

/** Node-seconds a phase and cause, over all times that it was entered. */
function ledger(state: RunState, now: number): string[][] {
  const rows = ledgerOf(state, now);
  const all = rows.reduce((sum, { nodeSeconds }) => sum + nodeSeconds, 0);
  return rows.map(({ phase, cause, nodeSeconds }) => [
    ...[phase, cause, nodeSeconds.toFixed(1), `${((100 * nodeSeconds) / (all || 1)).toFixed(0)} %`],
  ]);
}
