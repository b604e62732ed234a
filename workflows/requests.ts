/** What a person can ask of a run or a pool: the fields of each update, and the answer to one that is wrong. Pure. */
import { z } from 'zod';
import { NAME } from './spec-fields.js';
import { problemsIn } from './spec.js';

/** On pages of one line each, and in terminals: a line that nobody said must not be made of it. */
const oneLine = (said: string): string => said.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ').trim();
const text = (what: string, max: number) =>
  z.string(what).overwrite(oneLine).min(1, what).max(max, `at most ${max} characters`);
const NODE = 'the name of a node, such as "n07"';
const node = z.string(NODE).regex(NAME, NODE);
const count = z.int('a whole number from 1').min(1, 'a whole number from 1').max(100, 'at most 100');
const because = {
  who: text('your name: it stays on record', 100),
  why: text('the reason: it stays on record', 500),
};
/** `checkpoint`: after the next save has its copies; `now`: the ranks save after the iteration under way. */
const at = z.enum(['checkpoint', 'now'], '"checkpoint" or "now"').default('checkpoint');

/** What a paused run may go on with. The rest would not be the same training, and is for a new series. */
const settings = z.strictObject({
  saveInterval: z.int('a whole number from 1').min(1, 'a whole number from 1').optional(),
  spares: z.int('a whole number from 0').min(0, 'a whole number from 0').max(100, 'at most 100').optional(),
  /** A larger total of the series. */
  iterations: z.int('a whole number from 1').min(1, 'a whole number from 1').optional(),
  /** What becomes of the learning rate when the total changes. */
  schedule: z.enum(['keep', 'recompute'], '"keep" or "recompute"').optional(),
  /** Flags of `pretrain_gpt.py`, over those of the run file; `null` takes one of them out again. */
  extraArgs: z
    .record(
      z.string(),
      z.union(
        [z.string(), z.number(), z.boolean(), z.array(z.union([z.string(), z.number()])), z.null()],
        'a text, a number, true, false, a list, or null',
      ),
    )
    .optional(),
});

export const GATES = ['train', 'export'] as const;

const WITH = 'an object such as {"who": "ann", "why": "a reason"} (--input)';

const RUN = {
  checkpointNow: z.strictObject(because, WITH),
  pauseTraining: z.strictObject(
    { ...because, at, nodes: z.enum(['keep', 'free'], '"keep" or "free"').default('keep') },
    WITH,
  ),
  resumeTraining: z.strictObject({ ...because, settings: settings.optional() }, WITH),
  replaceNode: z.strictObject({ ...because, node, at }, WITH),
  drainNode: z.strictObject({ ...because, node, at }, WITH),
  addSpare: z.strictObject({ ...because, count: count.default(1) }, WITH),
  approve: z.strictObject(
    {
      ...because,
      gate: z.enum(GATES, `one of ${GATES.join(', ')}`),
      decision: z.enum(['proceed', 'stop'], '"proceed" or "stop"').default('proceed'),
    },
    WITH,
  ),
};

const POOL = {
  cordon: z.strictObject({ ...because, node }, WITH),
  uncordon: z.strictObject({ ...because, node }, WITH),
  drain: z.strictObject({ ...because, node }, WITH),
};

type Fields<S, K extends keyof S> = { name: K } & (S[K] extends z.ZodType ? z.infer<S[K]> : never);
type Any<S> = { [K in keyof S]: Fields<S, K> }[keyof S];

/** One request to a run, by the update's name. */
export type RunRequest = Any<typeof RUN>;
export type PoolRequest = Any<typeof POOL>;
export type Settings = z.infer<typeof settings>;
export type Gate = (typeof GATES)[number];

/** What the run does when nobody lets it through. */
export const AT_STOP: Record<Gate, string> = { train: 'ends', export: 'ends without an export' };

/** For each update of a run, in words for `temporal workflow metadata`. */
export const RUN_UPDATES: Record<RunRequest['name'], string> = {
  checkpointNow:
    'Saves after the iteration under way: the ranks save, end, and are launched again from there. {who, why}',
  pauseTraining:
    'Pauses after the next checkpoint or now, and keeps or frees the nodes. {who, why, at: "checkpoint" | "now", nodes: "keep" | "free"}',
  resumeTraining:
    'Goes on after a pause, with other settings if given. {who, why, settings: {saveInterval, spares, iterations, schedule: "keep" | "recompute", extraArgs}}',
  replaceNode:
    'Puts a spare, or a node of the pool, in the place of a node. {who, why, node, at: "checkpoint" | "now"}',
  drainNode: 'The same, and no run gets the node until it is uncordoned. {who, why, node, at: "checkpoint" | "now"}',
  addSpare: 'Asks the pool for more spares. {who, why, count}',
  approve:
    'Decides at a gate that the run file sets. {who, why, gate: "train" | "export", decision: "proceed" | "stop"}',
};

export const POOL_UPDATES: Record<PoolRequest['name'], string> = {
  cordon: 'Gives the node to no run from now on; one that holds it keeps it. {node, who, why}',
  uncordon: 'Takes that back, and lifts the quarantine of a node whose hardware failed. {node, who, why}',
  drain: 'Cordons the node, and asks the run that holds it to move away at its next checkpoint. {node, who, why}',
};

/** Reads the input of an update; what is wrong with it comes back as one text that names every field. */
const reader =
  <S extends Record<string, z.ZodType>>(schemas: S) =>
  (update: keyof S & string, input: unknown): { request: Any<S> } | { wrong: string } => {
    const problems = problemsIn(schemas[update]!, input);
    if (problems.length === 0)
      return { request: { name: update, ...(schemas[update]!.parse(input) as object) } as Any<S> };
    const lines = problems.map(({ path, expected, value }) => `${path}: expected ${expected}, got ${value}`);
    return { wrong: `${update}: ${lines.join('; ')}` };
  };

export const readRunRequest = reader(RUN);
export const readPoolRequest = reader(POOL);
