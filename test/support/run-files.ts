/** Run files for tests of what follows from them. */
import { presets, type Preset } from '../../workflows/presets.js';
import { recipeOf } from '../../workflows/recipes.js';
import { RELEASES, type Machine, type Release } from '../../workflows/releases.js';
import { parseRunSpec, type RunSpec } from '../../workflows/spec.js';

export function specOf(file: unknown, id = 'run'): RunSpec {
  const parsed = parseRunSpec(file, id);
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
  return parsed.spec;
}

/** A preset as MindSpeed-LLM recommends to train it, from converted weights; `more` changes sections of the file. */
export function recommended(
  preset: Preset,
  machine: Machine,
  release: Release,
  more: Record<string, object> = {},
): RunSpec {
  const recipe = recipeOf(preset, machine, release);
  if (!recipe) throw new Error(`no recipe for ${preset} on ${machine} in ${release}`);
  const { nodes, devicesPerNode, globalBatch } = recipe;
  return specOf({
    model: { preset, init: 'pretrained', weights: 'hf://Qwen/weights@main', ...more['model'] },
    dataset: { source: 'hf://lsb/enwiki20230101@main/data/*.parquet', ...more['dataset'] },
    cluster: { nodes, devicesPerNode, machine, ...more['cluster'] },
    ...(more['parallel'] && { parallel: more['parallel'] }),
    train: {
      ...{ iterations: 2000, globalBatch, seqLength: 4096, saveInterval: 2000 },
      ...{ replicas: nodes === 1 ? 0 : 1, ...more['train'] },
    },
    mindspeed: { release },
  });
}

/** Every preset, machine and release for which there is a recipe. */
export const RECOMMENDED = (Object.keys(presets) as Preset[]).flatMap((preset) =>
  (['A2', 'A3'] as const).flatMap((machine) =>
    RELEASES.flatMap((release) => (recipeOf(preset, machine, release) ? [{ preset, machine, release }] : [])),
  ),
);

/** What a run under way was started with: two nodes and a spare. */
export const TWO_NODES = {
  series: 's',
  model: { preset: 'qwen3-tiny' },
  tokenizer: { source: 'hf://a/tokenizer' },
  dataset: { source: 'hf://a/data/*.parquet' },
  cluster: { nodes: 2, spares: 1, devicesPerNode: 1 },
  parallel: { pp: 2 },
  train: { iterations: 200, globalBatch: 4, seqLength: 128, saveInterval: 20, replicas: 1 },
};
