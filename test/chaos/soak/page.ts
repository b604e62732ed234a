/** What a soak shows every few minutes. Pure. */
import type { Execution, Growth } from './verdict.js';

export interface Page {
  minutes: number;
  iteration: number;
  runs: number;
  generations: number;
  /** Iterations that were trained again. */
  lost: number;
  strikes: string[];
  growths: Growth[];
  executions: Execution[];
  problems: string[];
}

/** So many of the longest histories are shown. */
const SHOWN = 5;

export function describePage(page: Page): string {
  const { minutes, iteration, runs, generations, lost, strikes, problems } = page;
  const longest = [...page.executions].sort((a, b) => b.events - a.events).slice(0, SHOWN);
  const largest = page.executions.reduce<Execution | undefined>(
    (most, one) => (one.payload > (most?.payload ?? 0) ? one : most),
    undefined,
  );
  return [
    `after ${minutes.toFixed(1)} min: iteration ${iteration}, ${runs} runs, ${generations} generations, ${lost} iterations trained again, ${strikes.length} faults`,
    `  faults: ${strikes.join(', ') || 'none'}`,
    row('host', 'figure', 'now', 'an hour', 'for 95 of 100', 'looks', 'verdict'),
    ...page.growths.map(({ host, figure, slope, verdict, last }) =>
      row(
        ...([host, figure, last.toFixed(1), slope ? signed(slope.perHour) : '-'] as const),
        ...([
          slope ? `${signed(slope.low)} to ${signed(slope.high)}` : '-',
          String(slope?.points ?? 0),
          verdict,
        ] as const),
      ),
    ),
    `  longest histories: ${longest.map(({ workflowId, events }) => `${workflowId} ${events}`).join(', ') || 'none'}`,
    `  largest payload: ${largest ? `${largest.payload} bytes in ${largest.workflowId} (${largest.payloadIn})` : 'none'}`,
    ...problems.map((problem) => `  PROBLEM: ${problem}`),
  ].join('\n');
}

/** The same for a program. */
export function figuresOf({ strikes, growths, executions, ...page }: Page): Record<string, unknown> {
  return {
    ...page,
    faults: strikes.length,
    slopes: Object.fromEntries(
      growths.map(({ host, figure, slope, verdict }) => [`${host} ${figure}`, { ...slope, verdict }]),
    ),
    longestHistory: Math.max(0, ...executions.map(({ events }) => events)),
    largestPayload: Math.max(0, ...executions.map(({ payload }) => payload)),
  };
}

const signed = (value: number): string => (value < 0 ? '' : '+') + value.toFixed(1);
const WIDTHS = [9, 12, 9, 10, 20, 7];
const row = (...cells: string[]): string =>
  `  ${cells.map((text, index) => text.padEnd(WIDTHS[index] ?? 0)).join(' ')}`;
