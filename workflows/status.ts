/** The page of text that a person reads: `status` query, CLI metadata and the UI's current details. Pure. */
import type { ExportedModel, Pace } from './contract.js';
import { describeDataset, describeProgress, type DatasetFigures, type Preprocessed } from './dataset-figures.js';
import { duration } from './duration.js';
import { gigabytes } from './gigabytes.js';
import type { Slowdown } from './messages.js';
import { effectiveTime, ledgerOf, type LedgerRow, type Trained } from './ledger.js';
import { failureCount, type Past } from './past.js';
import type { FailedGeneration } from './recovery.js';
import type { Asked } from './wishes.js';

export type Phase =
  | 'check'
  | 'data'
  | 'weights'
  | 'restore'
  | 'approval'
  | 'train'
  | 'paused'
  | 'export'
  | 'report'
  | 'done'
  | 'failed'
  | 'cancelled';

/** A stretch of the run's time, for the ledger and the report's timeline. Milliseconds since the epoch. */
export interface Span {
  name: string;
  from: number;
  to?: number;
  /** Of a generation. */
  trained?: Trained;
  /** What it and the following ones are owed to, up to the next iteration, where no failure is to blame. */
  owedTo?: LedgerRow['cause'];
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
  tokensPerIteration?: number;
  /** Nodes that the run asks for, while it has to do with fewer. */
  fewerThan?: number;
  /** Ranks on a node. */
  devices?: number;
  /** Whose checkpoint shards each node keeps copies of. */
  copies?: Record<string, string[]>;
  /** Iterations that restores have set aside on each node: they stay until a person removes them. */
  aside?: Record<string, { iterations: number[]; bytes: number }>;
  /** While the dataset is made, how far it is; and what its texts are like, of a run that made it. */
  preprocessed?: Preprocessed;
  dataset?: DatasetFigures;
  /** The trained model in Hugging Face format. */
  exported?: ExportedModel;
  /** Nodes that had the last rank, which alone writes curves for TensorBoard, the newest one last. */
  writers?: string[];
  curves?: Curves;
  slow?: Slowdown;
  /** What the generation says that a person should know at this moment. */
  troubles?: string[];
  /** How long phases took in generations before, for the patience with the next. */
  pace?: Pace;
  /** Newest checkpoint that is complete, proven and copied. */
  replicated: number;
  /** When it became that, in milliseconds since the epoch; absent of one that was found, and has not been waited for. */
  replicatedAt?: number;
  /** When the figures above were last heard of. */
  asOf?: number;
  /** What is no longer spelled out below. */
  past?: Past;
  phases: Span[];
  /** How many nodes the run held, and since when; absent in runs that were started before anybody counted. */
  held?: [at: number, nodes: number][];
  failures: FailedGeneration[];
  events: { at: number; text: string }[];
  /** What people asked of the run, the last one last. */
  requests: Asked[];
  /** Iteration and loss, at most `MAX_POINTS`, thinned evenly. */
  curve: [iteration: number, loss: number][];
  /** Iteration and seconds an iteration, as they were heard of. */
  rates: [iteration: number, seconds: number][];
}

/** What the trainer wrote for TensorBoard, on one node. */
export interface Curves {
  node: string;
  /** Absolute, on that node. */
  path: string;
  files: number;
  bytes: number;
  /** Nodes that wrote some as well, which could not be had. */
  missing?: string[];
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
  /** Where the model is in Hugging Face format: on a node, and where it was asked for. */
  exported?: { node: string; path: string; to?: string };
  /** For TensorBoard. */
  curves?: { node: string; path: string };
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
  requests: [],
  curve: [],
  rates: [],
});

/** @param at when it was complete and copied, where that is known */
export function noteReplicated(state: RunState, iteration: number, at?: number): void {
  if (at !== undefined) state.replicatedAt = at;
  else if (iteration !== state.replicated) delete state.replicatedAt;
  state.replicated = iteration;
}

export function addEvent(state: RunState, at: number, text: string): void {
  state.events.push({ at, text });
  if (state.events.length > MAX_EVENTS) state.events.shift();
}

/** Adds points that arrive after later ones. */
export function addMissed(state: RunState, points: RunState['curve']): void {
  const known = new Set(state.curve.map(([iteration]) => iteration));
  const missed = points.filter(([iteration]) => !known.has(iteration));
  state.curve = thinned(
    state.curve.concat(missed).sort(([a], [b]) => a - b),
    MAX_POINTS,
  );
}

/** Adds points to the curve; a point of an iteration that is trained again replaces what came after it. */
export function addPoints(state: RunState, points: RunState['curve']): void {
  const first = points[0]?.[0];
  if (first === undefined) return;
  state.curve = thinned(state.curve.filter(([iteration]) => iteration < first).concat(points), MAX_POINTS);
}

/** The pace that was just heard of; iterations that are trained again replace what came after. */
export function addRate(state: RunState): void {
  const { iteration, secondsPerIteration, rates } = state;
  if (secondsPerIteration === undefined) return;
  const before = rates.filter(([other]) => other < iteration);
  state.rates = thinned([...before, [iteration, secondsPerIteration]], MAX_POINTS);
}

/** At most `max` points, evenly fewer, the last one among them. */
export function thinned(points: RunState['curve'], max: number): RunState['curve'] {
  let kept = points;
  while (kept.length > max) kept = kept.filter((_, index, all) => index % 2 === 0 || index === all.length - 1);
  return kept;
}

const RAREST_NEWS = 15 * 60_000;

/**
 * Whether a generation that is `age` old and last spoke `silent` ago tells its run something again. Rarer with age: each
 * word is four events of the run, which continues as new only between generations.
 */
export const isNewsDue = (age: number, silent: number): boolean => silent >= Math.min(RAREST_NEWS, age / 40);

/** @param from where a generation begins */
export function enterPhase(state: RunState, phase: RunState['phase'], at: number, from?: number): void {
  const last = state.phases.at(-1);
  if (last && last.to === undefined) last.to = at;
  state.phase = phase;
  delete state.preprocessed;
  if (phase !== 'done' && phase !== 'failed' && phase !== 'cancelled')
    state.phases.push({
      ...{ name: phase === 'train' ? `generation ${state.generation}` : phase, from: at },
      ...(from !== undefined && {
        trained: {
          ...{ generation: state.generation, from, to: from, seconds: 0 },
          ...(state.fewerThan !== undefined && { isFewer: true as const }),
        },
      }),
    });
}

const slowness = ({ since, was, is }: Slowdown): string =>
  `slow: a step takes ${is.toPrecision(3)} s since iteration ${since}, and took ${was.toPrecision(3)} s at first. A node that is slow holds up all: compare their devices`;

const clock = (at: number): string => new Date(at).toISOString().slice(11, 19);

/** Nodes, requests and such on a page that a person reads: no more of each. */
const MAX_LISTED = 8;

export function describeRun(state: RunState): string {
  const lines = [
    `**${state.run}** · series ${state.series} · ${state.phase}${state.waitsFor ? ` · waits for ${state.waitsFor}` : ''}`,
    '',
    progressLine(state),
    ...ledgerLine(state),
    ...(state.preprocessed ? [describeProgress(state.preprocessed)] : []),
    ...(state.dataset ? describeDataset(state.dataset) : []),
    `checkpoint: ${state.replicated ? `iteration ${state.replicated}, ${isCopied(state) ? 'complete and copied' : 'complete'}` : 'none yet'}`,
    ...copiesLine(state),
    ...asideLine(state),
    ...(state.exported ? [`exported: ${describeExport(state.exported)}`] : []),
    ...(state.curves ? [`curves: ${describeCurves(state.curves)}`] : []),
    `generation ${state.generation}${state.child ? ` (${state.child})` : ''} · nodes ${state.nodes.join(', ') || 'none'} · spares ${state.spares.join(', ') || 'none'}`,
    ...fewerLine(state),
    ...rolesLine(state),
    ...(state.slow ? [slowness(state.slow)] : []),
    ...(state.troubles ?? []),
    ...(state.failures.length ? [failuresLine(state)] : []),
    ...pendingLines(state.requests),
    '',
    ...state.events.slice(-5).map(({ at, text }) => `- ${clock(at)} ${text}`),
  ];
  return lines.join('\n');
}

function progressLine(state: RunState): string {
  const { iteration, target, total, loss, secondsPerIteration: pace, tokensPerIteration: tokens, asOf } = state;
  const trains = state.phase === 'train' && pace;
  return [
    `iteration ${iteration} of ${total}${target < total ? ` (this run ends at ${target})` : ''}`,
    ...(loss === undefined ? [] : [`loss ${loss.toFixed(4)}`]),
    ...(trains && tokens ? [`${Math.round(tokens / pace).toLocaleString('en-US')} tokens/s`] : []),
    ...(trains ? [`about ${duration((target - iteration) * pace)} left`] : []),
    ...(asOf ? [`as of ${clock(asOf)} UTC`, ...effective(state)] : []),
  ].join(' · ');
}

/** What came since is not known of yet; where a phase began later, it is known until then. */
const knownUntil = ({ asOf = 0, phases }: RunState): number => Math.max(asOf, phases.at(-1)?.from ?? 0);

/** Of the run's whole time. */
function effective(state: RunState): string[] {
  const share = effectiveTime(state, knownUntil(state));
  return share === undefined ? [] : [`${(100 * share).toFixed(0)} % of the time trained`];
}

/** The ledger in short: the phases that took most, over all causes. */
function ledgerLine(state: RunState): string[] {
  const sums = new Map<string, number>();
  for (const { phase, nodeSeconds } of ledgerOf(state, knownUntil(state)))
    sums.set(phase, (sums.get(phase) ?? 0) + nodeSeconds);
  const all = [...sums.values()].reduce((sum, seconds) => sum + seconds, 0);
  const shares = [...sums]
    .map(([phase, seconds]): [string, number] => [phase, Math.round((100 * seconds) / (all || 1))])
    .filter(([, share]) => share > 0)
    .sort(([, a], [, b]) => b - a)
    .map(([phase, share]) => `${phase} ${share} %`);
  return state.asOf && shares.length > 0 ? [`node time: ${listed(shares, ', ')}`] : [];
}

/** Nobody keeps copies where none are wanted, or no other node is left. */
export const isCopied = ({ copies = {} }: { copies?: RunState['copies'] }): boolean =>
  Object.values(copies).some((of) => of.length > 0);

function copiesLine({ replicated, copies = {} }: RunState): string[] {
  const kept = Object.entries(copies).filter(([, of]) => of.length > 0);
  return replicated && kept.length
    ? [
        `copies: ${listed(
          kept.map(([node, of]) => `${node} keeps those of ${of.join(', ')}`),
          '; ',
        )}`,
      ]
    : [];
}

export const describeExport = ({ iteration, node, path, to, tensors, bytes, dtypes }: ExportedModel): string =>
  `iteration ${iteration} in Hugging Face format, ${tensors} tensors (${dtypes.join(', ')}), ${gigabytes(bytes)}: ${path} on ${node}${to === undefined ? '' : `, and ${to}`}`;

export const describeCurves = ({ node, path, files, missing }: Curves): string =>
  `tensorboard --logdir ${path} on ${node}, ${files} ${files === 1 ? 'file' : 'files'}${missing ? `; without what ${listed(missing, ', ')} wrote` : ''}`;

/** Most writers that a run remembers: whoever was so long ago has little of the curve. */
const MAX_WRITERS = 20;

/** The last rank is on this node from now on. */
export function noteWriter(state: RunState, node: string): void {
  const others = (state.writers ?? []).filter((other) => other !== node);
  state.writers = [...others, node].slice(-MAX_WRITERS);
}

/** Nobody removes them, and they are as large as checkpoints are. */
function asideLine({ series, aside = {} }: RunState): string[] {
  const on = Object.entries(aside).map(
    ([node, { iterations, bytes }]) => `${gigabytes(bytes)} on ${node} (${listed(iterations.map(String), ', ')})`,
  );
  return on.length === 0
    ? []
    : [`set aside: ${listed(on, ', ')}, below <data>/series/${series}/checkpoints/set-aside until somebody removes it`];
}

/** Which ranks are where; the first node is where they meet, and the last one prints iterations. */
function rolesLine({ nodes, spares, devices, phase }: RunState): string[] {
  if (!devices || phase !== 'train') return [];
  const ranks = (node: number) =>
    devices === 1 ? `rank ${node}` : `ranks ${node * devices}–${(node + 1) * devices - 1}`;
  const special = (node: number) => [
    ...(node === 0 ? ['rendezvous'] : []),
    ...(node === nodes.length - 1 ? ['prints iterations'] : []),
  ];
  const members = nodes.map((name, node) => `${name} ${[ranks(node), ...special(node)].join(', ')}`);
  return [`roles: ${listed([...members, ...spares.map((name) => `${name} spare`)], '; ')}`];
}

function fewerLine({ nodes, spares, fewerThan }: RunState): string[] {
  if (fewerThan === undefined) return [];
  const missing = fewerThan - nodes.length - spares.length;
  const what = missing > 0 ? `waits for ${missing === 1 ? 'one' : missing} more` : 'the others join at a checkpoint';
  return [`on ${nodes.length} of ${fewerThan} nodes, ${what}`];
}

const failuresLine = (state: RunState): string => {
  const { generation, cause, culprit } = state.failures.at(-1)!;
  return `failures: ${failureCount(state)}, the last one of generation ${generation}: ${cause}${culprit ? ` on ${culprit}` : ''}`;
};

function pendingLines(requests: Asked[]): string[] {
  const pending = requests.filter(({ ended }) => !ended);
  return pending
    .slice(-MAX_LISTED)
    .map(
      ({ at, update, about, who, why, answer }) =>
        `asked ${clock(at)} by ${who}: ${update}${about ? ` ${about}` : ''} (${why}): ${answer}`,
    );
}

const listed = (items: string[], separator: string): string =>
  items.length > MAX_LISTED
    ? `${items.slice(0, MAX_LISTED).join(separator)} and ${items.length - MAX_LISTED} more`
    : items.join(separator);
