/**
 * How MindSpeed-LLM trains a preset with FSDP2: what its example scripts say (examples/fsdp2/qwen3*), and nothing for
 * what they do not cover. test/workflows/fsdp2.test.ts holds them against those scripts.
 */
import type { Preset } from './presets.js';
import { isAtLeast, type Machine, type Release } from './releases.js';

/** Sections of `train_fsdp2.py`'s configuration, as its YAML has them. */
export type Section = 'model' | 'data' | 'parallel' | 'training' | 'optimization';
export type Setting = string | number | boolean | string[];
export type Settings = Partial<Record<Section, Record<string, Setting>>>;

export interface Fsdp2Recipe {
  /** The cluster that it was published for. */
  nodes: number;
  devicesPerNode: number;
  /** Experts are split so many ways. */
  ep: number;
  microBatch: number;
  settings: Settings;
  env: Record<string, string>;
}

/** The release that `train_fsdp2.py` came with. */
export const FSDP2_SINCE: Release = '26.0.0';

type RecipeOf = (machine: Machine, release: Release) => Fsdp2Recipe | undefined;

const FUSED = { use_fused_rmsnorm: true, use_fused_rotary_pos_emb: true, use_flash_attn: true };
const RECOMPUTE = { recompute: true, recompute_modules: ['model.layers.{*}'] };
const ZERO_COPY = { TORCH_HCCL_ZERO_COPY: '1' };

const one = (machine: Machine, settings: Settings, env: Record<string, string> = {}): Fsdp2Recipe => ({
  ...{ nodes: 1, devicesPerNode: machine === 'A2' ? 8 : 16, ep: 1, microBatch: 1, settings, env },
});

/** MindSpeed-LLM's own model instead of that of transformers, filled with weights only once it is split. */
const own = (model_id: string) => ({ model_id, init_model_with_meta_device: true });

const fused = (): Fsdp2Recipe =>
  one('A3', { model: own('qwen3'), parallel: RECOMPUTE, optimization: FUSED }, ZERO_COPY);

const qwen3_8b: RecipeOf = (machine, release) => {
  if (machine === 'A2') return one('A2', { parallel: RECOMPUTE });
  return isAtLeast(release, '26.1.0') ? one('A3', { optimization: FUSED }, ZERO_COPY) : undefined;
};

const qwen3_14b: RecipeOf = (machine, release) => {
  if (!isAtLeast(release, '26.1.0')) return undefined;
  return machine === 'A2' ? one('A2', { parallel: RECOMPUTE }) : fused();
};

/** In 26.0.0 only from weights whose experts are merged, which a script among that release's tests makes. */
const qwen3_30b: RecipeOf = (machine, release) =>
  machine === 'A3' && isAtLeast(release, '26.1.0')
    ? one('A3', {
        model: own('qwen3_moe'),
        parallel: { ...RECOMPUTE, reduce_dtype: 'bf16' },
        training: { disable_shuffling: true },
        optimization: { ...FUSED, moe_grouped_gemm: true },
      })
    : undefined;

const qwen3_235b: RecipeOf = (machine, release) =>
  machine === 'A3' && isAtLeast(release, '26.1.0')
    ? {
        ...{ nodes: 16, devicesPerNode: 16, ep: 2, microBatch: 4 },
        settings: {
          model: own('qwen3_moe'),
          parallel: { ...RECOMPUTE, reduce_dtype: 'bf16', ignored_modules: ['model.layers.{*}.mlp.router'] },
          training: { dataloader_num_workers: 1 },
          optimization: { ...FUSED, moe_grouped_gemm: true, chunk_loss_size: 1024, use_triton_gdn: true },
        },
        env: { CUDA_DEVICE_MAX_CONNECTIONS: '2', STREAMS_PER_DEVICE: '32' },
      }
    : undefined;

const recipes: Partial<Record<Preset, RecipeOf>> = {
  'qwen3-8b': qwen3_8b,
  'qwen3-14b': qwen3_14b,
  'qwen3-32b': (machine) => (machine === 'A3' ? fused() : undefined),
  'qwen3-30b-a3b': qwen3_30b,
  'qwen3-235b-a22b': qwen3_235b,
};

/** Presets of which there may be an example. */
export const FSDP2_PRESETS = Object.keys(recipes) as Preset[];

/** Of no release, on any machine: what the reference backend trains. */
const TINY = one('A2', {});

export function fsdp2RecipeOf(preset: Preset | undefined, machine: Machine, release: Release): Fsdp2Recipe | undefined {
  if (preset === undefined || !isAtLeast(release, FSDP2_SINCE)) return undefined;
  return preset === 'qwen3-tiny' ? TINY : recipes[preset]?.(machine, release);
}
