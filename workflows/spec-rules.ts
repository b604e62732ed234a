import type { z } from 'zod';
import { presets, type ModelSizes } from './presets.js';
import type { RunFile } from './spec-fields.js';

/** Rules over more than one field; they run only when each field by itself is right. */
export function checkTogether(file: RunFile, context: z.RefinementCtx): void {
  const { model, tokenizer, dataset, cluster, parallel, train } = file;
  const bad = (path: string, message: string) => context.addIssue({ code: 'custom', path: path.split('.'), message });

  if (!model.preset === !model.sizes) bad('model', 'either "preset" or "sizes"');
  if (model.init === 'pretrained' && !model.weights) bad('model.weights', 'a source, since model.init is "pretrained"');
  if (!tokenizer.source && !model.weights)
    bad('tokenizer.source', 'a source, since there are no model.weights to take it from');
  if (dataset.trainKey && !dataset.keys.includes(dataset.trainKey))
    bad('dataset.trainKey', `one of dataset.keys (${dataset.keys.join(', ')})`);

  const { tp, pp, cp, ep } = parallel;
  const world = cluster.nodes * cluster.devicesPerNode;
  // A count below 1 is named by its own field; nothing more can be computed from it.
  if (Math.min(world, tp, pp, cp, ep, train.microBatch) < 1) return;
  if (world % (tp * pp * cp) !== 0)
    return bad(
      'parallel',
      `tp·pp·cp = ${tp}·${pp}·${cp} = ${tp * pp * cp} that divides the world of ${cluster.nodes} nodes × ${cluster.devicesPerNode} devices = ${world}`,
    );
  const dp = world / (tp * pp * cp);
  if ((dp * cp * tp) % ep !== 0) bad('parallel.ep', `a divisor of dp·cp·tp = ${dp * cp * tp}`);
  if (train.globalBatch % (train.microBatch * dp) !== 0)
    bad('train.globalBatch', `a multiple of microBatch·dp = ${train.microBatch}·${dp} = ${train.microBatch * dp}`);
  if (train.iterationsPerRun !== undefined && train.iterationsPerRun > train.iterations)
    bad('train.iterationsPerRun', `at most train.iterations = ${train.iterations}`);
  if (train.saveInterval > train.iterations)
    bad('train.saveInterval', `at most train.iterations = ${train.iterations}, or a failure loses everything`);
  if (train.replicas >= cluster.nodes + cluster.spares && cluster.nodes + cluster.spares > 1)
    bad(
      'train.replicas',
      `less than nodes + spares = ${cluster.nodes + cluster.spares}: each copy goes to another node`,
    );

  const sizes = sizesOf(model);
  if (!sizes) return;
  if (sizes.layers % pp !== 0) bad('parallel.pp', `a divisor of the model's ${sizes.layers} layers`);
  if (sizes.heads % tp !== 0) bad('parallel.tp', `a divisor of the model's ${sizes.heads} heads`);
  if (sizes.heads % sizes.groups !== 0) bad('model.sizes.groups', `a divisor of heads = ${sizes.heads}`);
  if (train.seqLength > sizes.maxPositions)
    bad('train.seqLength', `at most the model's ${sizes.maxPositions} positions`);
}

/** The sizes that a run file names by preset or spells out. */
export const sizesOf = (model: RunFile['model']): ModelSizes | undefined =>
  model.sizes ?? (model.preset ? presets[model.preset] : undefined);
