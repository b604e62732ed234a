/** The timeline of a run as inline SVG. Pure. */
import type { Span } from '../workflows/status.js';

export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)!};`);

const WIDTH = 900;
const RIGHT = 12;
const ROW = 20;

/** Each phase as a bar from its start to its end, a row a name; one that goes on ends now. */
export function timeline(phases: Span[], now: number): string {
  if (phases.length === 0) return '';
  const names = [...new Set(phases.map(({ name }) => name))];
  const begin = phases[0]!.from;
  const end = Math.max(begin + 1, ...phases.map(({ to }) => to ?? now));
  const x = scale(begin, end, 80, WIDTH - RIGHT);
  const bars = phases.map(({ name, from, to = now }) => {
    const title = `<title>${escapeHtml(name)}: ${((to - from) / 1000).toFixed(1)} s</title>`;
    return `<rect class="span" x="${x(from)}" y="${names.indexOf(name) * ROW + 3}" width="${Math.max(1, x(to) - x(from))}" height="${ROW - 6}">${title}</rect>`;
  });
  const labels = names.map((name, row) => `<text x="4" y="${row * ROW + 14}">${escapeHtml(name)}</text>`);
  return svg(names.length * ROW + 20, [
    ...bars,
    ...labels,
    `<text x="${WIDTH - RIGHT}" y="${names.length * ROW + 16}" text-anchor="end">${((end - begin) / 1000).toFixed(0)} s</text>`,
  ]);
}

const svg = (height: number, parts: string[]): string =>
  `<svg viewBox="0 0 ${WIDTH} ${height}" role="img">${parts.join('')}</svg>`;

const scale = (from: number, to: number, low: number, high: number) => (value: number) =>
  Math.round((low + ((value - from) / (to - from || 1)) * (high - low)) * 10) / 10;
