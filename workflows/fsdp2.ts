/**
 * What `train_fsdp2.py` is told: one function from the run file to its configuration, section by section as its YAML
 * has them, and that configuration as arguments. Its parser takes all of them on the command line, where they outrank
 * a YAML file, so that none need be written on any node. Pure.
 */
import { fsdp2RecipeOf, type Fsdp2Recipe, type Section, type Setting } from './fsdp2-recipes.js';
import { HCCL } from './launch-environment.js';
import type { RunSpec } from './spec.js';

export type Fsdp2Config = Record<Section, Record<string, Setting>>;

/** Where things are on a node; absolute, since the script runs in its checkout. */
export interface Fsdp2Paths {
  /** The model in Hugging Face format, tokenizer included. */
  model: string;
  /** A file or a directory of text. */
  text: string;
  /** Checkpoints go to `<output>/checkpoints/global_step_<n>`. */
  output: string;
}

/** @throws Error for a preset without a recipe, which a valid run file does not name */
export function recipeOfSpec({ model, cluster, mindspeed }: RunSpec): Fsdp2Recipe {
  const recipe = fsdp2RecipeOf(model.preset, cluster.machine, mindspeed.release);
  if (!recipe) throw new Error(`no FSDP2 recipe for ${model.preset} on ${cluster.machine} in ${mindspeed.release}`);
  return recipe;
}

export function fsdp2Config(spec: RunSpec, paths: Fsdp2Paths): Fsdp2Config {
  const { cluster, dataset, train, parallel } = spec;
  const { settings } = recipeOfSpec(spec);
  const world = cluster.nodes * cluster.devicesPerNode;
  return {
    model: {
      model_name_or_path: paths.model,
      train_from_scratch: spec.model.init === 'random',
      ...settings.model,
    },
    data: {
      dataset: JSON.stringify({ file_name: paths.text }),
      // Megatron's dataset, index and sampler; the other one is for instructions.
      data_manager_type: 'mg',
      template: 'qwen3',
      cutoff_len: train.seqLength,
      // With end-of-document tokens in the data, attention stops at them: never one without the other.
      ...(dataset.appendEod && { append_eod: true, reset_attention_mask: true }),
      no_shared_storage: cluster.sharedStorage !== true,
      // Whether one rank, or one of each node, removes old checkpoints.
      data_shared_file_system: cluster.sharedStorage === true,
    },
    parallel: {
      // Nothing else is possible: it ends at once where this is not the world.
      fsdp_size: world,
      fsdp_modules: ['model.layers.{*}', 'model.embed_tokens', 'lm_head'],
      ...(spec.sizes.moe && expertSettings(parallel.ep, world)),
      ...settings.parallel,
    },
    training: {
      stage: 'pt',
      output_dir: paths.output,
      max_steps: train.iterations,
      per_device_train_batch_size: train.microBatch,
      gradient_accumulation_steps: train.globalBatch / (train.microBatch * world),
      ...RECIPE,
      save_steps: train.saveInterval,
      save_total_limit: train.keepCheckpoints,
      save_hf_weights: spec.export !== undefined,
      logging_steps: 1,
      ...settings.training,
    },
    optimization: { ...settings.optimization },
  };
}

const EXPERTS = ['model.layers.{*}.mlp.experts'];

const expertSettings = (ep: number, world: number): Record<string, Setting> => ({
  ep_size: ep,
  ep_fsdp_size: ep > 1 ? world / ep : 1,
  ep_modules: EXPERTS,
  ep_fsdp_modules: EXPERTS,
  ep_dispatcher: 'eager',
});

/** What all of the examples say. */
const RECIPE: Record<string, Setting> = {
  optimizer: 'adamw',
  lr: '1e-05',
  min_lr: '1e-06',
  lr_scheduler_type: 'cosine',
  warmup_ratio: '0.0',
  weight_decay: '0.01',
  adam_beta1: '0.9',
  adam_beta2: '0.95',
  adam_epsilon: '1e-08',
  max_grad_norm: '1.0',
  seed: 42,
  dataloader_num_workers: 4,
  dataloader_drop_last: true,
};

/** `train_fsdp2.py` and its arguments, the same on every node. */
export function fsdp2Script(spec: RunSpec, paths: Fsdp2Paths): string[] {
  const given = Object.entries(fsdp2Config(spec, paths)).flatMap(([section, settings]) =>
    Object.entries(settings).map(([name, value]): [string, Setting] => [`--${section}.${name}`, value]),
  );
  const flags = { ...Object.fromEntries(given), ...spec.train.extraArgs };
  return ['train_fsdp2.py', ...Object.entries(flags).flatMap(([flag, value]) => [flag, ...textsOf(value)])];
}

/** Its switches take a value, as Python writes it. */
const textsOf = (value: Setting | (string | number)[]): string[] =>
  typeof value === 'boolean' ? [value ? 'True' : 'False'] : [value].flat().map(String);

/** Of examples/fsdp2/env_config.sh, with longer time-outs: ranks wait for each other while the text is tokenised. */
export const fsdp2Environment = (spec: RunSpec): Record<string, string> => ({
  // Without it the package patches Megatron, which this does not use.
  TRAINING_BACKEND: 'mindspeed_fsdp',
  ...HCCL,
  TASK_QUEUE_ENABLE: '2',
  CPU_AFFINITY_CONF: '1',
  MULTI_STREAM_MEMORY_REUSE: '2',
  PYTORCH_NPU_ALLOC_CONF: 'expandable_segments:True',
  TORCH_COMPILE_DEBUG: '0',
  CUBLAS_WORKSPACE_CONFIG: ':4096:8',
  ...recipeOfSpec(spec).env,
});
