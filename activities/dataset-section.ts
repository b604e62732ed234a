/** What the texts of a run's dataset are like: totals, lengths, the longest, scripts. Pure. */
import { describeRepeats, lengthRange, percent, type DatasetFigures } from '../workflows/dataset-figures.js';
import { table } from './html-page.js';
import { escapeHtml } from './timeline.js';

const number = (value: number): string => value.toLocaleString('en-US');

export function datasetSection({ keys }: DatasetFigures): string {
  const totals = keys.map(({ key, ...figures }) => [
    ...[key, number(figures.documents), number(figures.tokens)],
    ...[percent(figures.pieces.tokens + figures.pieces.unknown, figures.tokens), describeRepeats(figures)],
  ]);
  return `<h2>Dataset</h2>${table(['key', 'documents', 'tokens', 'spelled in parts of characters', 'repeated documents'], totals)}
${keys.map(keySection).join('')}`;
}

function keySection({
  key,
  documents,
  lengths,
  withoutTokens,
  longest,
  pieces,
}: DatasetFigures['keys'][number]): string {
  const rows = lengths.flatMap((count, place) => (count ? [{ count, tokens: lengthRange(place) }] : []));
  if (withoutTokens) rows.unshift({ count: withoutTokens, tokens: '0' });
  const places = longest.map(({ file, row, tokens }) => [file, String(row), number(tokens)]);
  const scripts = Object.entries(pieces.characters).map(([script, count]) => [script, number(count)]);
  return `<h2>Documents of ${escapeHtml(key)} by tokens</h2>${histogram(rows, documents)}
${section(`Longest documents of ${key}`, ['file', 'row', 'tokens'], places)}
${section(`Characters of ${key} without a token of their own`, ['script', 'characters'], scripts)}`;
}

const section = (title: string, heads: string[], rows: string[][]): string =>
  rows.length ? `<h2>${escapeHtml(title)}</h2>${table(heads, rows)}` : '';

const histogram = (rows: { count: number; tokens: string }[], documents: number): string =>
  `<table><thead><tr><th>tokens</th><th>documents</th><th>share</th></tr></thead><tbody>${rows
    .map(
      ({ count, tokens }) =>
        `<tr><td>${tokens}</td><td>${number(count)}</td><td><meter value="${count}" max="${documents}"></meter> ${percent(count, documents)}</td></tr>`,
    )
    .join('')}</tbody></table>`;
