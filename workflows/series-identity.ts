/**
 * What a series is trained with. It is kept with every checkpoint and compared before another run does anything to
 * the series: a run file that was changed would else go on from weights, samples or a plan that it does not describe.
 */
import type { RunSpec } from './spec.js';
import { trainingFlags } from './training-flags.js';

/** By field of the run file; `null` where it says nothing. What one side does not know is not compared. */
export type SeriesIdentity = Record<string, string | number | boolean | null>;

/** Flags that no field owns: with another value a checkpoint does not load, or means something else, or the samples differ. */
export const FIXED_FLAGS = [
  ...['--seed', '--split', '--dataloader-type', '--rampup-batch-size', '--bf16', '--fp16', '--optimizer'],
  ...['--use-distributed-optimizer', '--spec', '--normalization', '--norm-epsilon', '--qk-layernorm', '--swiglu'],
  ...['--disable-bias-linear', '--add-qkv-bias', '--group-query-attention', '--position-embedding-type'],
  ...['--rotary-base', '--rotary-percent', '--rotary-interleaved', '--use-rope-scaling'],
];

/** The plan of the learning rate is in the checkpoint as well, and Megatron refuses another unless a flag says which holds. */
export const PLAN_FLAGS = [
  ...['--lr', '--min-lr', '--lr-decay-style', '--lr-decay-iters', '--lr-wsd-decay-style', '--lr-wsd-decay-iters'],
  ...['--lr-warmup-fraction', '--lr-warmup-iters', '--lr-warmup-init'],
  ...['--weight-decay', '--start-weight-decay', '--end-weight-decay', '--weight-decay-incr-style'],
];
export const PLAN_CHOICE = {
  keep: '--use-checkpoint-opt_param-scheduler',
  recompute: '--override-opt_param-scheduler',
} as const;
/** What each means: it is easy to get a learning rate that nobody wanted. */
export const PLAN_MEANS = {
  keep: 'the learning rate goes on by the old plan, and stays at its minimum after the old total',
  recompute: 'the learning rate is computed anew for the new values: it jumps to where the new plan has it',
} as const;

/** May be changed on the way, by who knows what it does. */
const NOTED_FLAGS = [
  ...['--clip-grad', '--adam-beta1', '--adam-beta2', '--adam-eps', '--attention-dropout', '--hidden-dropout'],
  ...['--eod-mask-loss', '--reset-position-ids', '--moe-aux-loss-coeff'],
];

const inExtraArgs = (flag: string): string => `train.extraArgs.${flag}`;
const PLAN = ['train.iterations', ...PLAN_FLAGS.map(inExtraArgs)];
/** The bytes that are trained on: with others Megatron draws the samples in another order, some of them for a second time. */
export const DATA = 'dataset pair';
/** Noted for a later run, which compares it before it asks what the data is. */
export const LISTING = 'dataset listing';
/** Where data comes from may be another place. `dataset content` is what versions noted that knew no pair. */
const NOTED = [
  ...['dataset.source', 'dataset.trainKey', 'dataset content', 'tokenizer.source revision', 'model.weights revision'],
  ...NOTED_FLAGS.map(inExtraArgs),
];

/**
 * What a run file says of its series. Not in it is what may differ from launch to launch: how many nodes and therefore
 * how much data parallelism, context parallelism, micro-batch, release, and all that only makes training faster.
 */
export function identityOf(spec: RunSpec): SeriesIdentity {
  const { sizes, parallel, model, tokenizer, dataset, train } = spec;
  const { moe, ...dense } = sizes;
  const experts = moe ?? { experts: null, topk: null, ffn: null };
  const tokens = addressOf(tokenizer.source ?? model.weights);
  const weights = addressOf(model.init === 'pretrained' ? model.weights : undefined);
  const flags: Record<string, unknown> = { ...trainingFlags(spec), ...train.extraArgs };
  return {
    'train.backend': 'mcore',
    ...under('model.sizes', { ...dense }),
    ...under('model.sizes.moe', { ...experts, sharedFfn: moe?.sharedFfn ?? null }),
    ...{ 'model.init': model.init, 'model.weights': weights.name, 'model.weights revision': weights.revision },
    ...{ 'tokenizer.source': tokens.name, 'tokenizer.source revision': tokens.revision },
    ...under('parallel', { tp: parallel.tp, pp: parallel.pp, ep: parallel.ep }),
    'parallel.etp': moe ? (parallel.etp ?? parallel.tp) : null,
    'parallel.layersPerVirtualStage': parallel.layersPerVirtualStage ?? null,
    'parallel.noopLayers': parallel.noopLayers?.join(',') ?? null,
    ...under('train', { iterations: train.iterations, globalBatch: train.globalBatch, seqLength: train.seqLength }),
    'dataset.source': dataset.source,
    'dataset.trainKey': dataset.trainKey ?? dataset.keys[0]!,
    'dataset.appendEod': dataset.appendEod,
    ...Object.fromEntries(
      [...FIXED_FLAGS, ...PLAN_FLAGS, ...NOTED_FLAGS].map((flag) => [inExtraArgs(flag), valueOf(flags[flag])]),
    ),
  };
}

const under = (path: string, fields: Record<string, string | number | boolean | null>): SeriesIdentity =>
  Object.fromEntries(Object.entries(fields).map(([field, value]) => [`${path}.${field}`, value]));

/** A hub's address without its revision, which moves on without the name meaning anything else. */
function addressOf(source: string | undefined): { name: string | null; revision: string | null } {
  const [, name, revision, path = ''] = /^((?:hf|modelscope):\/\/[^@]+)@([^/]+)(\/.*)?$/.exec(source ?? '') ?? [];
  return name === undefined
    ? { name: source ?? null, revision: null }
    : { name: `${name}${path}`, revision: revision ?? null };
}

const valueOf = (flag: unknown): string | boolean | null =>
  flag === undefined || flag === false ? null : flag === true ? true : [flag].flat().map(String).join(' ');

export interface Following {
  /** What the series is trained with if this run goes on with it. */
  identity: SeriesIdentity;
  /** Why it must not; absent where it may. */
  refusal?: string;
  /** The series that it trains instead, and why. */
  instead?: { series: string; why: string };
  /** What is different and may be, for a person to know. */
  notes: string[];
}

/**
 * What it means that a run follows on checkpoints that were trained with `before`, of which older ones say nothing.
 * Where none of them is complete no plan is loaded, and what the others say of it does not matter.
 */
export function followOn(
  before: SeriesIdentity | undefined,
  now: SeriesIdentity,
  spec: RunSpec,
  isComplete = true,
): Following {
  if (!before) return { identity: now, notes: [] };
  const chosen = (choice: keyof typeof PLAN_CHOICE) => spec.train.extraArgs[PLAN_CHOICE[choice]] === true;
  const identity = isComplete && chosen('keep') ? { ...now, ...pick(before, PLAN) } : now;
  const found = Object.keys(identity).filter(
    (field) => field !== LISTING && before[field] !== undefined && !isSame(before[field], identity[field]!),
  );
  const say = (fields: string[]) =>
    fields.map((field) => `${field} was ${show(before[field]!)} and is ${show(identity[field]!)}`);
  const fixed = found.filter((field) => ![...PLAN, ...NOTED, DATA].includes(field));
  // All that is wrong in one answer: what is complete here may be so where the old layout is given back.
  const isPlanned = (isComplete || fixed.length > 0) && !chosen('recompute') && !chosen('keep');
  const plan = isPlanned ? found.filter((field) => PLAN.includes(field)) : [];
  const wrong = [...fixed, ...plan];
  const notes = say(found.filter((field) => NOTED.includes(field)));
  const hasChoice = fixed.length === 0 && PLAN_FLAGS.some((flag) => inExtraArgs(flag) in identity);
  if (wrong.length > 0) return { identity, refusal: `${say(wrong).join('; ')}. ${advice(hasChoice)}`, notes };
  const data = isComplete && found.includes(DATA) ? [...say([DATA]), ...notes].join('; ') : undefined;
  if (data === undefined) return { identity, notes };
  if (spec.dataset.whenGrown === 'refuse') return { identity, refusal: `${data}. ${DATA_ADVICE}`, notes: [] };
  return { identity, instead: { series: seriesOn(spec.series, String(identity[DATA])), why: data }, notes: [] };
}

const DATA_ADVICE =
  'The data of dataset.source is not what it was, and the order of samples depends on it. Give the field its old data, as by a revision, or use another series; with dataset.whenGrown "newSeries" a run does that by itself';

/** One series for each state of the data: a later run of the same file finds it again, and goes on with it. */
export const seriesOn = (series: string, pair: string): string =>
  `${series.replace(/\.data-[0-9a-f]{12}$/, '')}.data-${pair}`;

function advice(isOnlyPlan: boolean): string {
  const back = 'Give what is named its old value, or use another series';
  const choices = (['keep', 'recompute'] as const).map(
    (choice) => `"${PLAN_CHOICE[choice]}": true (${PLAN_MEANS[choice]})`,
  );
  return isOnlyPlan ? `${back}; to change the plan of this one, add to train.extraArgs ${choices.join(' or ')}` : back;
}

const pick = (from: SeriesIdentity, fields: string[]): SeriesIdentity =>
  Object.fromEntries(fields.flatMap((field) => (from[field] === undefined ? [] : [[field, from[field]]])));

/** 1e-6 and "0.000001" are one value. */
const isSame = (a: SeriesIdentity[string], b: SeriesIdentity[string]): boolean =>
  a === b || (isNumber(a) && isNumber(b) && Number(a) === Number(b));
const isNumber = (value: SeriesIdentity[string]): boolean =>
  typeof value === 'number' || (typeof value === 'string' && /^[-+\d.]/.test(value) && Number.isFinite(Number(value)));

const show = (value: SeriesIdentity[string]): string => (value === null ? 'not there' : JSON.stringify(value));
