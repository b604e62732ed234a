/** The document around a page: style, the chart library and its data, all in one file, so that it needs no network. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { drawing } from './page-script.js';
import { escapeHtml } from './timeline.js';

const STYLE = `
:root { color-scheme: light dark; --ink: #1d2330; --paper: #fff; --soft: #6b7385; --line: #d9dde5; --accent: #2f6fde; --bad: #c8362f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --paper: #14171d; --soft: #98a1b3; --line: #2c323d; --accent: #7aa7ff; --bad: #ff7a70; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; } a { color: var(--accent); }
.soft, text { color: var(--soft); fill: var(--soft); font-size: 12px; } .bad { color: var(--bad); }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; }
dt { color: var(--soft); font-size: .8rem; } dd { margin: 0; font-size: 1.2rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); } td { white-space: pre-line; }
svg { width: 100%; height: auto; } .span { fill: var(--accent); } .chart { min-height: 14rem; }
`;

/** Read once, and only when a page is made: from the package, which is on the disk. */
let library: { script: string; style: string } | undefined;
function chartLibrary() {
  const read = (file: string) => readFileSync(createRequire(import.meta.url).resolve(`uplot/dist/${file}`), 'utf8');
  return (library ??= { script: read('uPlot.iife.min.js'), style: read('uPlot.min.css') });
}

export interface PageParts {
  title: string;
  main: string;
  /** Asks for the main part again this often, and draws anew. */
  refreshMs?: number;
  /** Of the content security policy, where a server sends one. */
  nonce?: string;
}

export function htmlPage({ title, main, refreshMs, nonce }: PageParts): string {
  const { script, style } = chartLibrary();
  const attribute = nonce ? ` nonce="${nonce}"` : '';
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title><style>${style}${STYLE}</style></head><body>
<main>${main}</main>
<script${attribute}>${script}</script>
<script${attribute}>${drawing(refreshMs)}</script>
</body></html>
`;
}

/** Data for the page's script. It is inside a script element, which nothing in it may end. */
export const chartData = (data: unknown): string =>
  `<script type="application/json" id="charts">${JSON.stringify(data).replaceAll('<', '\\u003c')}</script>`;

export const table = (heads: string[], rows: string[][]): string =>
  `<table><thead><tr>${heads.map((head) => `<th>${escapeHtml(head)}</th>`).join('')}</tr></thead><tbody>${rows
    .map((row) => `<tr>${row.map((cell) => `<td>${escapeHtml(cell)}</td>`).join('')}</tr>`)
    .join('')}</tbody></table>`;

export const clock = (at: number): string => new Date(at).toISOString().slice(0, 19).replace('T', ' ');
