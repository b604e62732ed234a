/** Rules over more than one field. Each is judged as soon as the fields that it reads are right by themselves. */
import { milliseconds } from './duration.js';
import { fewerThan, whyNotFewer } from './fewer-nodes.js';
import { flagComplaints } from './flag-complaints.js';
import { fsdp2RecipeOf } from './fsdp2-recipes.js';
import { FSDP2_RULES, FSDP2_RUN_RULES } from './fsdp2-rules.js';
import { convertedFlagRule, dispatcherRule, sequenceParallelRule } from './flag-rules.js';
import { highAvailabilityRule } from './high-availability.js';
import {
  LAYOUT_RULES,
  MODEL_RULES,
  SIZE_RULES,
  dataParallel,
  worldRule,
  type Complaint,
  type Fit,
} from './layout-rules.js';
import { onlineRule } from './online-conversion.js';
import { learningRateComplaints } from './learning-rate.js';
import { muonRule } from './muon.js';
import { tooManyOpen } from './open-activities.js';
import { isReadWhereWritten } from './optimizer-state.js';
import { presets, type ModelSizes } from './presets.js';
import { SOAK_STEPS } from './quarantine.js';
import { recipeOf, type Recipe } from './recipes.js';
import { unlessWrong } from './right-fields.js';
import type { RunFile } from './spec-fields.js';
import { placeNodes, type Parallel } from './topology.js';

type Rule = (file: RunFile) => Complaint;

const bad = (path: string, expected: string): Complaint => ({ path, expected });

const RULES: Rule[] = [
  ({ model }) => (!model.preset === !model.sizes ? bad('model', 'either "preset" or "sizes"') : undefined),
  ({ model }) =>
    model.init === 'pretrained' && !model.weights
      ? bad('model.weights', 'a source, since model.init is "pretrained"')
      : undefined,
  ({ model, train: { backend }, mindspeed: { release } }) =>
    onlineRule({ model, backend, release, sizes: sizesOf(model) }),
  ({ dataset: { trainKey, keys } }) =>
    trainKey && !keys.includes(trainKey)
      ? bad('dataset.trainKey', `one of dataset.keys (${keys.join(', ')})`)
      : undefined,
  ({ preprocess: { engine, skipBadRows } }) =>
    engine === 'mindspeed' && skipBadRows > 0
      ? bad(
          'preprocess.skipBadRows',
          '0: MindSpeed-LLM ends at the first bad row, only engine "native" leaves rows out',
        )
      : undefined,
  ({ preprocess: { engine, shards } }) =>
    engine === 'mindspeed' && shards !== 'auto'
      ? bad('preprocess.shards', '"auto": with engine "mindspeed" every file is a shard, only "native" cuts files')
      : undefined,
  ({ train: { iterations, iterationsPerRun } }) =>
    iterationsPerRun !== undefined && iterationsPerRun > iterations
      ? bad('train.iterationsPerRun', `at most train.iterations = ${iterations}`)
      : undefined,
  ({ gates, export: exported }) =>
    gates.export && !exported ? bad('export', '{} or more, since gates.export asks before it') : undefined,
  ({ train: { saveInterval, iterations } }) =>
    saveInterval > iterations
      ? bad('train.saveInterval', `at most train.iterations = ${iterations}, or a failure loses everything`)
      : undefined,
  ({ train: { keepEvery, saveInterval } }) =>
    keepEvery !== undefined && keepEvery % saveInterval !== 0
      ? bad('train.keepEvery', `a multiple of train.saveInterval = ${saveInterval}: others are not saved`)
      : undefined,
  ({ recovery: { lease, heartbeat, agentAway } }) =>
    milliseconds(lease) < milliseconds(heartbeat) + milliseconds(agentAway)
      ? bad(
          'recovery.lease',
          `at least heartbeat + agentAway = ${heartbeat} + ${agentAway}: so long may a watcher be away`,
        )
      : undefined,
  ({ train: { replicas }, cluster: { nodes, spares } }) =>
    replicas >= nodes + spares && nodes + spares > 1
      ? bad('train.replicas', `less than nodes + spares = ${nodes + spares}: each copy goes to another node`)
      : undefined,
  ({ cluster: { soak, nodes, spares } }) =>
    soak !== undefined && nodes + spares !== 1
      ? bad('cluster.soak', 'one node and no spare: a node is tried out alone')
      : undefined,
  ({ cluster: { soak }, train: { iterations, iterationsPerRun = iterations } }) =>
    soak !== undefined && iterationsPerRun < SOAK_STEPS
      ? bad('cluster.soak', `at least ${SOAK_STEPS} iterations (train.iterations, train.iterationsPerRun)`)
      : undefined,
  ({ train: { seqLength }, model }) => {
    const sizes = sizesOf(model);
    return sizes && seqLength > sizes.maxPositions
      ? bad('train.seqLength', `at most the model's ${sizes.maxPositions} positions`)
      : undefined;
  },
  ...SIZE_RULES.map((rule): Rule => ({ model }) => {
    const sizes = sizesOf(model);
    return sizes && rule(sizes);
  }),
];

/** Of the layouts, the flags and the recipes of `pretrain_gpt.py`. */
const MCORE_RULES: Rule[] = [
  ({ model, tokenizer }) =>
    !tokenizer.source && !model.weights
      ? bad('tokenizer.source', 'a source, since there are no model.weights to take it from')
      : undefined,
  (file) => fewerRule(file),
  (file) => unpublished(file),
  (file) => worldRule(fitOf(file)),
  (file) => unlessUneven(file, (fit) => sizeRule(fit, file)),
  ...LAYOUT_RULES.map(
    (rule): Rule =>
      (file) =>
        unlessUneven(file, (fit) => rule(fit)),
  ),
  (file) =>
    unlessUneven(file, (fit) => highAvailabilityRule(fit, { ...recipeFor(file)?.flags, ...file.train.extraArgs })),
  (file) =>
    unlessUneven(file, (fit) =>
      muonRule(
        fit,
        { '--use-distributed-optimizer': true, ...recipeFor(file)?.flags, ...file.train.extraArgs },
        file.cluster.sharedStorage === true,
      ),
    ),
  (file) => dispatcherRule(fitOf(file), { ...recipeFor(file)?.flags, ...file.train.extraArgs }),
  (file) =>
    sequenceParallelRule(fitOf(file), {
      ...{ '--num-experts': sizesOf(file.model)?.moe !== undefined, ...recipeFor(file)?.flags },
      ...file.train.extraArgs,
    }),
  ({ model: { init }, export: exported, train: { extraArgs } }) =>
    init === 'pretrained' || exported ? convertedFlagRule(extraArgs) : undefined,
  ...MODEL_RULES.map((rule): Rule => (file) => {
    const sizes = sizesOf(file.model);
    return sizes && rule(fitOf(file), sizes);
  }),
];

/**
 * All that is wrong between fields, one complaint a path. Of `extraArgs` each flag is judged, though others are wrong.
 * @param byHand the commands are printed for a person, and nothing is run
 */
export function complaintsAbout(file: RunFile, extraArgs: object, byHand = false): NonNullable<Complaint>[] {
  const isFsdp2 = unlessWrong(() => file.train.backend) === 'fsdp2';
  const rules: Rule[] = [
    ...RULES,
    ...(isFsdp2
      ? [...FSDP2_RULES, ...(byHand ? [] : FSDP2_RUN_RULES)].map(
          (rule): Rule =>
            (one) =>
              rule(one, fitOf(one)),
        )
      : MCORE_RULES),
  ];
  const script = isFsdp2 ? 'train_fsdp2.py' : 'pretrain_gpt.py';
  const found = [
    ...rules.flatMap((rule) => unlessWrong(() => rule(file)) ?? []),
    ...(unlessWrong(() => flagComplaints(extraArgs, file.mindspeed, script)) ?? []),
    ...(isFsdp2 ? [] : (unlessWrong(() => learningRateComplaints(extraArgs, recipeFor(file)?.flags ?? {})) ?? [])),
  ];
  return found.filter(({ path }, index) => found.findIndex((other) => other.path === path) === index);
}

/** The sizes that a run file names by preset or spells out. */
export const sizesOf = (model: RunFile['model']): ModelSizes | undefined =>
  model.sizes ?? (model.preset ? presets[model.preset] : undefined);

type Chooses = Pick<RunFile, 'model' | 'mindspeed'> & { cluster: Pick<RunFile['cluster'], 'machine'> };

/** What MindSpeed-LLM recommends for this preset on this machine, if a preset is named and it does. */
export const recipeFor = ({ model, cluster, mindspeed }: Chooses): Recipe | undefined =>
  recipeOf(model.preset, cluster.machine, mindspeed.release);

/** The layout that a run file spells out, else its preset's. */
export const layoutOf = (file: RunFile): Parallel =>
  file.parallel ?? publishedOf(file)?.parallel ?? { tp: 1, pp: 1, cp: 1, ep: 1 };

/** With a layout of one's own the recommended micro-batch says nothing. */
export const microBatchOf = (file: RunFile): number =>
  file.train.microBatch ?? (file.parallel ? 1 : (publishedOf(file)?.microBatch ?? 1));

/** What the backend's own recipe says of layout and batch. */
function publishedOf(file: RunFile): { parallel: Parallel; microBatch: number } | undefined {
  if (file.train.backend !== 'fsdp2') return recipeFor(file);
  const recipe = fsdp2RecipeOf(file.model.preset, file.cluster.machine, file.mindspeed.release);
  return recipe && { parallel: { tp: 1, pp: 1, cp: 1, ep: recipe.ep }, microBatch: recipe.microBatch };
}

/** Read lazily, so that a rule only meets the fields that it needs. */
export const fitOf = (file: RunFile): Fit => ({
  get nodes() {
    return file.cluster.nodes;
  },
  get devices() {
    return file.cluster.devicesPerNode;
  },
  get parallel() {
    return layoutOf(file);
  },
  get globalBatch() {
    return file.train.globalBatch;
  },
  get microBatch() {
    return microBatchOf(file);
  },
  get seqLength() {
    return file.train.seqLength;
  },
  get release() {
    return file.mindspeed.release;
  },
});

/** Why this training could not go on with fewer nodes, whatever their number; nothing where it could. */
export const whyNotFewerNodes = (file: RunFile): string | undefined =>
  whyNotFewer(layoutOf(file), { ...recipeFor(file)?.flags, ...file.train.extraArgs });

/** Whether a node that writes nothing of a shard has no use for its optimizer's state either. */
export const isOptimizerReadWhereWritten = (file: RunFile): boolean =>
  isReadWhereWritten({ ...recipeFor(file)?.flags, ...file.train.extraArgs });

function fewerRule(file: RunFile): Complaint {
  const { fewerNodes } = file.recovery;
  if (fewerNodes === 'wait') return undefined;
  const path = 'recovery.fewerNodes';
  const why = whyNotFewerNodes(file);
  if (why !== undefined) return bad(path, `"wait": ${why}`);
  const { nodes } = file.cluster;
  if (fewerNodes.atLeast >= nodes) return bad(path, `atLeast below cluster.nodes = ${nodes}, or "wait"`);
  const possible = fewerThan(fitOf(file));
  if (possible.some((size) => size >= fewerNodes.atLeast)) return undefined;
  const others = possible.length > 0 ? `; smaller ones that do: ${possible.join(', ')}` : '';
  return bad(
    path,
    `"wait": no number of nodes from ${fewerNodes.atLeast} to ${nodes - 1} takes parallel and train.globalBatch as they are${others}`,
  );
}

/** Nothing more can be computed from a layout that does not divide the world. */
function unlessUneven(file: RunFile, judge: (fit: Fit) => Complaint): Complaint {
  const fit = fitOf(file);
  return Number.isInteger(dataParallel(fit)) ? judge(fit) : undefined;
}

/** Of a gang so large that its layout decides whether one workflow can watch over it. */
function sizeRule({ nodes, devices, parallel }: Fit, { train, cluster: { spares } }: RunFile): Complaint {
  const all = nodes + spares;
  if (tooManyOpen({ members: nodes, copiers: all }) === undefined) return undefined;
  const writers = placeNodes(parallel, nodes, devices).filter(({ writes }) => writes.length > 0).length;
  const why = tooManyOpen({ members: nodes, copiers: Math.min(all, writers * (1 + train.replicas)) });
  return why === undefined ? undefined : bad('cluster.nodes', why);
}

function unpublished(file: RunFile): Complaint {
  const { model, cluster, mindspeed } = file;
  if (!model.preset || model.preset === 'qwen3-tiny' || file.parallel || recipeFor(file)) return undefined;
  return bad(
    'parallel',
    `a layout, since MindSpeed-LLM ${mindspeed.release} recommends none for ${model.preset} on ${cluster.machine}`,
  );
}
