/** Whether converted shards hold the model's weights: every tensor, in the shape that the layout gives it. */
import { join } from 'node:path';
import type { WeightsWanted } from '../workflows/contract.js';
import { parametersOf } from '../workflows/memory.js';
import { stageOf } from '../workflows/topology.js';
import { differingShapes, stageShapes, type Shapes } from '../workflows/weight-shapes.js';
import { iterationDir } from './checkpoint-files.js';
import { reasonOf } from './failures.js';
import { modelsIn, type Tensor } from './torch-file.js';

/** What is wrong with them, each with its shard; nothing where all is right. Reads what the files say, not the weights. */
export async function wrongInShards(root: string, shards: string[], wanted: WeightsWanted): Promise<string[]> {
  const wrong: string[] = [];
  let weights = 0;
  for (const shard of shards) {
    const path = join(root, iterationDir(1), shard, 'model_optim_rng.pt');
    try {
      const models = await modelsIn(path);
      weights += weightsIn(models);
      if (wanted.named) wrong.push(...wrongIn(models, shard, wanted).map((what) => `${shard}: ${what}`));
    } catch (error) {
      wrong.push(`${shard}: ${reasonOf(error)}`);
    }
  }
  const { total } = parametersOf(wanted.sizes);
  // Norms, padding and copies of tied weights come on top.
  if (wrong.length === 0 && weights < total) wrong.push(`there are ${weights} weights and the model has ${total}`);
  return wrong;
}

function wrongIn(models: Record<string, Record<string, Tensor>>, shard: string, wanted: WeightsWanted): string[] {
  const { sizes, parallel } = wanted;
  const stage = stageShapes(sizes, parallel, stageOf(parallel, shard));
  return differingShapes(flat(mapped(models, (tensors) => mapped(tensors, ({ shape }) => shape))), flat(stage));
}

/** Under one name each: the model's key comes first where there is more than one. */
const flat = (models: Record<string, Shapes>): Shapes =>
  Object.fromEntries(
    Object.entries(models).flatMap(([key, shapes]) =>
      Object.entries(shapes).map(([name, shape]) => [key === 'model' ? name : `${key} ${name}`, shape]),
    ),
  );

const mapped = <From, To>(record: Record<string, From>, to: (value: From) => To): Record<string, To> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, to(value)]));

const weightsIn = (models: Record<string, Record<string, Tensor>>): number =>
  Object.values(models)
    .flatMap((tensors) => Object.values(tensors))
    .reduce((sum, { shape }) => sum + shape.reduce((product, length) => product * length, 1), 0);
