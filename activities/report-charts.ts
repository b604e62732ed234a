/** The report's two pictures as inline SVG. Pure. */
import type { RunState, Span } from '../workflows/status.js';

export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)!};`);

const WIDTH = 900;
const HEIGHT = 260;
const MARGIN = { left: 48, right: 12, top: 10, bottom: 26 };

/** Loss over iterations; a dashed line where a failure sent the run back to a checkpoint. */
export function lossCurve(curve: RunState['curve'], failures: number[]): string {
  if (curve.length < 2) return '<p class="soft">no loss was reported</p>';
  const iterations = curve.map(([iteration]) => iteration);
  const losses = curve.map(([, loss]) => loss);
  const x = scale(Math.min(...iterations), Math.max(...iterations), MARGIN.left, WIDTH - MARGIN.right);
  const y = scale(Math.min(...losses), Math.max(...losses), HEIGHT - MARGIN.bottom, MARGIN.top);
  const path = curve.map(([iteration, loss], index) => `${index ? 'L' : 'M'}${x(iteration)} ${y(loss)}`).join('');
  const ticks = steps(Math.min(...losses), Math.max(...losses)).map(
    (value) =>
      `<line class="axis" x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${y(value)}" y2="${y(value)}"/><text x="4" y="${y(value)}">${value.toFixed(2)}</text>`,
  );
  const marks = failures.map(
    (iteration) =>
      `<line class="mark" x1="${x(iteration)}" x2="${x(iteration)}" y1="${MARGIN.top}" y2="${HEIGHT - MARGIN.bottom}"/>`,
  );
  const labels = [iterations[0]!, iterations.at(-1)!].map(
    (iteration, index) =>
      `<text x="${x(iteration)}" y="${HEIGHT - 6}" text-anchor="${index ? 'end' : 'start'}">iteration ${iteration}</text>`,
  );
  return svg(HEIGHT, [...ticks, ...marks, ...labels, `<path class="curve" d="${path}"/>`]);
}

const ROW = 20;

/** Each phase as a bar from its start to its end, a row a name. */
export function timeline(phases: Span[]): string {
  if (phases.length === 0) return '';
  const names = [...new Set(phases.map(({ name }) => name))];
  const begin = phases[0]!.from;
  const end = Math.max(begin + 1, ...phases.map(({ from, to }) => to ?? from));
  const x = scale(begin, end, 80, WIDTH - MARGIN.right);
  const bars = phases.map(({ name, from, to = from }) => {
    const title = `<title>${escapeHtml(name)}: ${((to - from) / 1000).toFixed(1)} s</title>`;
    return `<rect class="span" x="${x(from)}" y="${names.indexOf(name) * ROW + 3}" width="${Math.max(1, x(to) - x(from))}" height="${ROW - 6}">${title}</rect>`;
  });
  const labels = names.map((name, row) => `<text x="4" y="${row * ROW + 14}">${escapeHtml(name)}</text>`);
  return svg(names.length * ROW + 20, [
    ...bars,
    ...labels,
    `<text x="${WIDTH - MARGIN.right}" y="${names.length * ROW + 16}" text-anchor="end">${((end - begin) / 1000).toFixed(0)} s</text>`,
  ]);
}

const svg = (height: number, parts: string[]): string =>
  `<svg viewBox="0 0 ${WIDTH} ${height}" role="img">${parts.join('')}</svg>`;

const scale = (from: number, to: number, low: number, high: number) => (value: number) =>
  Math.round((low + ((value - from) / (to - from || 1)) * (high - low)) * 10) / 10;

const steps = (low: number, high: number): number[] =>
  Array.from({ length: 5 }, (_, index) => low + ((high - low) * index) / 4);
