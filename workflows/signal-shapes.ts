/** What each signal must hold for its handler to be able to use it. Fields that are not named here may be there. Pure. */
import { z } from 'zod';
import { problemsIn } from './spec.js';

/** Counts up by one for each launch: far from where numbers no longer do. */
const token = z
  .int()
  .min(0)
  .max(2 ** 48);
const iteration = z.int().min(0);
const seconds = z.number().min(0);
const text = z.string().max(100_000);
/** As node workers may be called, see workers/config.ts. */
const node = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, 'the name of a node');
const holder = z.looseObject({ workflowId: z.string().min(1), firstRunId: z.string().min(1) });
const names = z.array(node);
/** A loss that is no number comes as `null`. */
const figure = z.number().nullish();
const points = z.array(z.tuple([iteration, figure]));
const slow = z.looseObject({ since: iteration, was: figure, is: figure });
const info = z.looseObject({
  name: node,
  address: z.string().min(1).max(255),
  port: z.int().min(1).max(65_535),
  devices: z.int().min(1).max(1024),
  profile: z.enum(['npu', 'cpu']),
});
const ending = z.enum(['now', 'checkpoint']);
const cordon = z.looseObject({ node, who: text, why: text });
const of = <S extends z.ZodRawShape>(shape: S) => z.looseObject(shape);

const SHAPES: Record<string, z.ZodType> = {
  join: info.extend({ token }),
  acquire: of({
    requestId: text,
    holder,
    series: text.min(1),
    nodes: z.int().min(1),
    devices: z.int().min(1),
    priority: z.number().optional(),
    spare: z.boolean().optional(),
    soak: node.optional(),
    except: names.optional(),
  }),
  requestLaunch: of({ requestId: text, holder }),
  reportLost: of({ node, reason: text }),
  reportFault: of({ node, reason: text, at: z.number() }),
  soaked: of({ node, holder, iterations: iteration }),
  release: of({ holder, nodes: names.optional(), unused: names.optional() }),
  cordonNode: cordon,
  nodeWanted: cordon,
  nodesGranted: of({ requestId: text, nodes: z.array(info), keepers: z.array(info), fresh: names.optional() }),
  launchGranted: of({ requestId: text, token }),
  placeInLine: of({ requestId: text, text }),
  endGeneration: of({ token, ending: ending.optional() }),
  spareReady: of({
    token,
    node: info,
    replicas: z.int().min(0),
    after: iteration,
    beside: z.array(z.string()).optional(),
  }),
  trainingProgress: of({
    token,
    iteration,
    loss: figure,
    secondsPerIteration: figure,
    saved: iteration.optional(),
    points,
    pace: z.record(z.string(), figure).optional(),
    slow: slow.optional(),
  }),
  checkpointReplicated: of({ token, task: text, iteration, unremoved: text.optional() }),
  copiesBehind: of({ token, task: text, why: text }),
  shardProgress: of({ shard: iteration, node, documents: seconds, tokens: seconds, bytes: seconds }),
  generationNews: of({
    generation: iteration,
    at: z.number().optional(),
    iteration,
    loss: figure,
    secondsPerIteration: figure,
    replicated: iteration,
    points,
    slow: slow.optional(),
    lostSpares: names.optional(),
    copies: z.record(z.string(), z.array(z.string())).optional(),
    troubles: z.array(text).optional(),
  }),
  preparationNews: of({
    token,
    phase: z.enum(['data', 'restore', 'weights']).optional(),
    found: of({ iteration, complete: z.array(of({ iteration })), empty: names }).optional(),
    preprocessed: of({ documents: seconds, tokens: seconds, bytes: seconds, of: seconds, seconds }).optional(),
    dataset: of({ keys: z.array(of({ key: text })) }).optional(),
    note: text.optional(),
    waitsFor: text.nullish(),
  }),
};

/** Whether there is something that says what a signal of this name must hold. */
export const isShaped = (signal: string): boolean => Object.hasOwn(SHAPES, signal);

/** What is wrong with what came under this name, if anything is. */
export function problemIn(signal: string, sent: unknown): string | undefined {
  const [first] = problemsIn(SHAPES[signal]!, sent);
  return first && `${first.path}: expected ${first.expected}, got ${first.value ?? 'nothing'}`;
}
