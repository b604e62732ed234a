/** The page of text that a person reads: `status` query, CLI metadata and the UI's current details. Pure. */
import type { Pace } from './contract.js';
import type { Slowdown } from './messages.js';
import type { FailedGeneration } from './recovery.js';

export type Phase = 'check' | 'data' | 'weights' | 'restore' | 'train' | 'report' | 'done' | 'failed';

/** A stretch of the run's time, for the ledger and the report's timeline. Milliseconds since the epoch. */
export interface Span {
  name: string;
  from: number;
  to?: number;
  /** How it ended, where that is not plain. */
  note?: string;
}

export interface RunState {
  run: string;
  series: string;
  phase: Phase | 'nodes';
  waitsFor?: string;
  generation: number;
  child?: string;
  nodes: string[];
  spares: string[];
  iteration: number;
  target: number;
  total: number;
  loss?: number;
  secondsPerIteration?: number;
  slow?: Slowdown;
  /** How long phases took in generations before, for the patience with the next. */
  pace?: Pace;
  /** Newest checkpoint that is complete, proven and copied. */
  replicated: number;
  /** When the figures above were last heard of. */
  asOf?: number;
  phases: Span[];
  failures: FailedGeneration[];
  events: { at: number; text: string }[];
  /** Iteration and loss, at most `MAX_POINTS`, thinned evenly. */
  curve: [iteration: number, loss: number][];
}

/** What a run comes to. */
export interface PretrainResult {
  series: string;
  iteration: number;
  total: number;
  loss?: number;
  generations: number;
  failures: number;
  report?: string;
  /** One line for the person who asked. */
  message: string;
}

const MAX_POINTS = 600;
const MAX_EVENTS = 50;

export const newState = (run: string, series: string, total: number): RunState => ({
  run,
  series,
  phase: 'nodes',
  generation: 0,
  nodes: [],
  spares: [],
  iteration: 0,
  target: total,
  total,
  replicated: 0,
  phases: [],
  failures: [],
  events: [],
  curve: [],
});

export function addEvent(state: RunState, at: number, text: string): void {
  state.events.push({ at, text });
  if (state.events.length > MAX_EVENTS) state.events.shift();
}

/** Adds points to the curve; a point of an iteration that is trained again replaces what came after it. */
export function addPoints(state: RunState, points: RunState['curve']): void {
  const first = points[0]?.[0];
  if (first === undefined) return;
  state.curve = thinned(state.curve.filter(([iteration]) => iteration < first).concat(points), MAX_POINTS);
}

/** At most `max` points, evenly fewer, the last one among them. */
export function thinned(points: RunState['curve'], max: number): RunState['curve'] {
  let kept = points;
  while (kept.length > max) kept = kept.filter((_, index, all) => index % 2 === 0 || index === all.length - 1);
  return kept;
}

const RAREST_NEWS = 15 * 60_000;

/**
 * Whether a generation that is `age` old and last spoke `silent` ago tells its run something again. Rarer with age:
 * a run takes 10,000 signals and 51,200 events in its life, and a word a minute would use them up in a week.
 */
export const isNewsDue = (age: number, silent: number): boolean => silent >= Math.min(RAREST_NEWS, age / 100);

export function enterPhase(state: RunState, phase: RunState['phase'], at: number): void {
  const last = state.phases.at(-1);
  if (last && last.to === undefined) last.to = at;
  state.phase = phase;
  if (phase !== 'done' && phase !== 'failed')
    state.phases.push({ name: phase === 'train' ? `generation ${state.generation}` : phase, from: at });
}

const slowness = ({ since, was, is }: Slowdown): string =>
  `slow: a step takes ${is.toPrecision(3)} s since iteration ${since}, and took ${was.toPrecision(3)} s at first. A node that is slow holds up all: compare their devices`;

const clock = (at: number): string => new Date(at).toISOString().slice(11, 19);

export function describeRun(state: RunState): string {
  const { iteration, target, total, loss, secondsPerIteration } = state;
  const left =
    secondsPerIteration && state.phase === 'train'
      ? `, about ${duration((target - iteration) * secondsPerIteration)} left`
      : '';
  const planned = target < total ? ` (this run ends at ${target})` : '';
  const lines = [
    `**${state.run}** · series ${state.series} · ${state.phase}${state.waitsFor ? ` · waits for ${state.waitsFor}` : ''}`,
    '',
    `iteration ${iteration} of ${total}${planned}${loss === undefined ? '' : ` · loss ${loss.toFixed(4)}`}${left}${state.asOf ? ` · as of ${clock(state.asOf)} UTC` : ''}`,
    `checkpoint: ${state.replicated ? `iteration ${state.replicated}, complete and copied` : 'none yet'}`,
    `generation ${state.generation}${state.child ? ` (${state.child})` : ''} · nodes ${state.nodes.join(', ') || 'none'} · spares ${state.spares.join(', ') || 'none'}`,
    ...(state.slow ? [slowness(state.slow)] : []),
    ...(state.failures.length ? [`failures: ${state.failures.length}`] : []),
    '',
    ...state.events.slice(-5).map(({ at, text }) => `- ${clock(at)} ${text}`),
  ];
  return lines.join('\n');
}

/** Seconds as a person says them. */
export function duration(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
