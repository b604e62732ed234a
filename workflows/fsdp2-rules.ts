/**
 * What a run file with `train.backend: "fsdp2"` may say: what `train_fsdp2.py` of its release does, and nothing that
 * it has no way to do. Each rule meets only the fields that it needs.
 */
import { FSDP2_PRESETS, FSDP2_SINCE, fsdp2RecipeOf } from './fsdp2-recipes.js';
import { batchRule, expertsRule, type Complaint, type Fit } from './layout-rules.js';
import { presets } from './presets.js';
import { isAtLeast, MACHINES } from './releases.js';
import type { RunFile } from './spec-fields.js';

type Rule = (file: RunFile, fit: Fit) => Complaint;

const bad = (path: string, expected: string): Complaint => ({ path, expected });

/** Of a run alone: a person who gives the commands by hand may do these. */
export const FSDP2_RUN_RULES: Rule[] = [
  ({ cluster: { sharedStorage } }) =>
    sharedStorage === false
      ? undefined
      : bad(
          'cluster.sharedStorage',
          'false in a run with train.backend "fsdp2": every node has storage of its own, or ranks would tokenise into one file',
        ),
  ({ train: { iterations, saveInterval } }) =>
    iterations % saveInterval === 0
      ? undefined
      : bad(
          'train.saveInterval',
          `a divisor of train.iterations = ${iterations}: train_fsdp2.py saves at no other end`,
        ),
  ({ recovery: { fewerNodes } }) =>
    fewerNodes === 'wait'
      ? undefined
      : bad('recovery.fewerNodes', '"wait": as many ranks load a checkpoint of train_fsdp2.py as saved it'),
  (file) =>
    file.export === undefined
      ? undefined
      : bad(
          'export',
          'no such field in a run with train.backend "fsdp2" yet; npm run plan prints the command that makes the model of a checkpoint',
        ),
];

/** No field for what this backend has not got. */
const ABSENT = ['etp', 'layersPerVirtualStage', 'noopLayers'] as const;

export const FSDP2_RULES: Rule[] = [
  ({ mindspeed: { release } }) =>
    isAtLeast(release, FSDP2_SINCE)
      ? undefined
      : bad('train.backend', `"mcore": MindSpeed-LLM ${release} has no train_fsdp2.py, which came with ${FSDP2_SINCE}`),
  ({ model: { preset }, cluster: { machine }, mindspeed: { release } }) => {
    if (!isAtLeast(release, FSDP2_SINCE) || fsdp2RecipeOf(preset, machine, release)) return undefined;
    const shipped = FSDP2_PRESETS.flatMap((name) => {
      const on = MACHINES.filter((one) => fsdp2RecipeOf(name, one, release));
      return on.length > 0 ? [`${name} (${on.join(', ')})`] : [];
    });
    return bad(
      'model.preset',
      `one that MindSpeed-LLM ${release} trains with FSDP2 in an example, on that machine: ${shipped.join(', ')}`,
    );
  },
  ({ model }) =>
    model.weights
      ? undefined
      : bad('model.weights', 'a source, from which train_fsdp2.py takes sizes and tokenizer, for random weights too'),
  ({ tokenizer }) =>
    tokenizer.source ? bad('tokenizer.source', 'no such field: train_fsdp2.py takes that of model.weights') : undefined,
  ({ dataset: { keys } }) =>
    keys.length === 1 && keys[0] === 'text'
      ? undefined
      : bad('dataset.keys', '["text"], the one column that train_fsdp2.py tokenises'),
  ({ dataset: { appendEod }, mindspeed: { release } }) =>
    appendEod && !isAtLeast(release, '26.1.0')
      ? bad('dataset.appendEod', `false: train_fsdp2.py of ${release} has no such argument`)
      : undefined,
  ({ dataset: { appendEod } }, { microBatch }) =>
    appendEod && microBatch !== 1
      ? bad('train.microBatch', '1, since attention that is reset (dataset.appendEod) takes one sequence at a time')
      : undefined,
  ({ parallel }) => only('tp', parallel?.tp, 'fsdp_size must be the world'),
  ({ parallel }) => only('pp', parallel?.pp, 'there are no pipeline stages'),
  ({ parallel }) => only('cp', parallel?.cp, 'no example splits sequences'),
  ...ABSENT.map(
    (name): Rule =>
      ({ parallel }) =>
        parallel?.[name] === undefined
          ? undefined
          : bad(`parallel.${name}`, 'no such field with train.backend "fsdp2"'),
  ),
  (_, { parallel: { ep }, nodes, devices }) =>
    (nodes * devices) % ep === 0
      ? undefined
      : bad('parallel.ep', `a divisor of the world of ${nodes} nodes × ${devices} devices = ${nodes * devices}`),
  ({ model: { preset } }, fit) => preset && expertsRule(fit, presets[preset]),
  (_, fit) => batchRule(fit),
  ({ train: { iterations, iterationsPerRun = iterations } }) =>
    iterationsPerRun === iterations
      ? undefined
      : bad('train.iterationsPerRun', `train.iterations = ${iterations}: train_fsdp2.py ends at its last step only`),
  ({ train: { keepEvery } }) =>
    keepEvery === undefined
      ? undefined
      : bad('train.keepEvery', 'no such field: train_fsdp2.py keeps the newest train.keepCheckpoints'),
  (file) =>
    file.export?.to === undefined
      ? undefined
      : bad('export.to', 'no such field: train_fsdp2.py writes the model where its checkpoints are'),
];

const only = (name: string, size: number | undefined, why: string): Complaint =>
  size === undefined || size === 1 ? undefined : bad(`parallel.${name}`, `1 with train.backend "fsdp2": ${why}`);
