/**
 * How each preset is trained on a machine: layout, batch, and the flags and environment of the example script that
 * MindSpeed-LLM ships for it (examples/mcore/qwen3*). test/workflows/examples.test.ts holds them against those scripts.
 */
import type { Preset } from './presets.js';
import { isAtLeast, type Machine, type Release } from './releases.js';
import type { Parallel } from './topology.js';

export type Flag = string | number | boolean | (string | number)[];
export type Flags = Record<string, Flag>;

export interface Recipe {
  /** The smallest cluster that it was published for. */
  nodes: number;
  devicesPerNode: number;
  parallel: Parallel;
  microBatch: number;
  globalBatch: number;
  /** Over the flags that all models share; `false` takes one of those away. */
  flags: Flags;
  env: Record<string, string>;
  /** False where no example script is shipped: the layout of the same number of devices on the other machine. */
  published: boolean;
}

type RecipeOf = (machine: Machine, release: Release) => Recipe | undefined;

const layout = (parallel: Partial<Parallel>): Parallel => ({ tp: 1, pp: 1, cp: 1, ep: 1, ...parallel });

const OVERLAP: Flags = { '--overlap-grad-reduce': true, '--overlap-param-gather': true };
const COC: Flags = { '--use-ascend-coc': true };
const COC_FUSED: Flags = { ...COC, '--coc-fused-kernel': true };
const SEQUENCE_PARALLEL: Flags = { '--sequence-parallel': true };
const THROUGHPUT: Flags = { '--log-throughput': true };
/** These examples leave out what the others say: Megatron's own linear decay and wider initial weights. */
const MEGATRON_DEFAULTS: Flags = { '--lr-decay-style': false, '--init-method-std': false };
const recompute = (method: 'uniform' | 'block', layers: number): Flags => ({
  '--recompute-granularity': 'full',
  '--recompute-method': method,
  '--recompute-num-layers': layers,
});

const NO_ASD = { NPU_ASD_ENABLE: '0' };
const EXPANDABLE = { PYTORCH_NPU_ALLOC_CONF: 'expandable_segments:True' };
const QUEUE = { TASK_QUEUE_ENABLE: '2' };

/** One device a replica: the same on both machines, of which A2 has an example. */
const small =
  (globalBatch: number, flags: Flags, env: (release: Release) => Record<string, string>): RecipeOf =>
  (machine, release) => ({
    nodes: 1,
    devicesPerNode: machine === 'A2' ? 8 : 16,
    parallel: layout({}),
    ...{ microBatch: 1, globalBatch, flags, env: env(release), published: machine === 'A2' },
  });

const qwen3_06b = small(32, { ...MEGATRON_DEFAULTS, ...THROUGHPUT, '--lr-warmup-fraction': false }, (release) => ({
  ...EXPANDABLE,
  ...(isAtLeast(release, '26.0.0') && { CPU_AFFINITY_CONF: '2', ...QUEUE }),
}));

const qwen3_8b: RecipeOf = (machine, release) => {
  const newer = isAtLeast(release, '2.2.0');
  if (machine === 'A3' && !newer) return undefined;
  const flags: Flags = newer ? { '--reuse-fp32-param': true, ...OVERLAP, ...COC } : {};
  return {
    nodes: 1,
    published: true,
    microBatch: 1,
    env: newer ? { ...NO_ASD, ...EXPANDABLE, ...QUEUE } : NO_ASD,
    ...(machine === 'A2'
      ? { devicesPerNode: 8, parallel: layout({ pp: newer ? 2 : 4 }), globalBatch: 64, flags }
      : {
          ...{ devicesPerNode: 16, parallel: layout({ tp: 2 }), globalBatch: 128 },
          flags: { ...flags, '--no-gradient-accumulation-fusion': false },
        }),
  };
};

const qwen3_14b: RecipeOf = (machine, release) => {
  const newer = isAtLeast(release, '2.2.0');
  if (machine === 'A3' && !newer) return undefined;
  return {
    nodes: 1,
    devicesPerNode: machine === 'A2' ? 8 : 16,
    parallel: newer ? layout({ tp: 8 }) : layout({ tp: 4, pp: 2 }),
    ...{ microBatch: newer ? 4 : 1, globalBatch: 128, published: true, env: EXPANDABLE },
    flags: {
      ...{ ...MEGATRON_DEFAULTS, ...SEQUENCE_PARALLEL, ...THROUGHPUT, '--initial-loss-scale': false },
      ...(newer && { ...OVERLAP, ...COC_FUSED, '--no-masked-softmax-fusion': false }),
      ...(machine === 'A3' && { '--no-gradient-accumulation-fusion': false }),
    },
  };
};

const qwen3_32b: RecipeOf = (machine, release) => {
  const newer = isAtLeast(release, '2.2.0');
  if (machine === 'A3' && !newer) return undefined;
  const a2 = machine === 'A2';
  return {
    nodes: a2 ? 2 : 1,
    devicesPerNode: a2 ? 8 : 16,
    parallel: layout({ tp: 8, pp: 2, layersPerVirtualStage: a2 && newer ? 8 : 4 }),
    ...{ microBatch: newer ? 2 : 1, globalBatch: newer ? 256 : 128, published: true },
    env: newer ? {} : NO_ASD,
    flags: { ...OVERLAP, ...(newer && { ...SEQUENCE_PARALLEL, ...THROUGHPUT }), ...(!a2 && COC_FUSED) },
  };
};

/** What the three models with experts share. Until 2.2.0 the sequential all-to-all did not know this model. */
const moe = (release: Release): Flags => ({
  '--no-gradient-accumulation-fusion': false,
  '--gemm-gradient-accumulation-fusion': true,
  '--moe-token-dispatcher-type': isAtLeast(release, '2.2.0') ? 'alltoall_seq' : 'alltoall',
  '--moe-permutation-async-comm': true,
  ...(!isAtLeast(release, '2.2.0') && { '--use-fused-moe-token-permute-and-unpermute': true }),
});

const qwen3_30b: RecipeOf = (machine, release) => ({
  nodes: machine === 'A2' ? 2 : 1,
  devicesPerNode: machine === 'A2' ? 8 : 16,
  parallel: layout({ pp: 2, ep: 8 }),
  ...{ microBatch: 1, globalBatch: 256, published: machine === 'A2', env: { ...NO_ASD, ...EXPANDABLE } },
  flags: {
    ...moe(release),
    // The one example with experts that leaves the other fusion off as well.
    '--no-gradient-accumulation-fusion': true,
    ...recompute('uniform', 1),
    ...(isAtLeast(release, '26.1.0') && { '--manual-gc': true, '--manual-gc-interval': 15 }),
  },
});

const qwen3_235b: RecipeOf = (machine, release) =>
  machine === 'A2'
    ? undefined
    : {
        nodes: 16,
        devicesPerNode: 16,
        parallel: layout({ pp: 4, ep: 32, layersPerVirtualStage: 8, noopLayers: [94, 95] }),
        ...{ microBatch: 1, globalBatch: 1024, published: true },
        env: { ...EXPANDABLE, ...QUEUE, CPU_AFFINITY_CONF: '1', HCCL_IF_BASE_PORT: '25809' },
        flags: {
          ...{ ...moe(release), ...OVERLAP, ...recompute('block', 8) },
          '--moe-alltoall-overlap-comm': true,
          '--reuse-fp32-param': true,
          ...(isAtLeast(release, '26.0.0') && { '--disable-gloo-group': true }),
        },
      };

const qwen3_480b: RecipeOf = (machine, release) =>
  machine === 'A2' || !isAtLeast(release, '26.0.0')
    ? undefined
    : {
        nodes: 16,
        devicesPerNode: 16,
        parallel: layout({ tp: 4, pp: 4, ep: 32, etp: 1, layersPerVirtualStage: 2, noopLayers: [0, 63] }),
        ...{ microBatch: 1, globalBatch: 64, published: true },
        env: {
          ...{ ...EXPANDABLE, ...QUEUE, CPU_AFFINITY_CONF: '1', HCCL_IF_BASE_PORT: '25919' },
          ...{ HCCL_CONNECT_TIMEOUT: '7200', HCCL_EXEC_TIMEOUT: '7200', HCCL_EVENT_TIMEOUT: '7300' },
        },
        flags: {
          ...{ ...moe(release), ...OVERLAP, ...SEQUENCE_PARALLEL, ...recompute('uniform', 1) },
          '--moe-token-dispatcher-type': 'alltoall',
          '--moe-alltoall-overlap-comm': true,
          '--moe-permute-fusion': true,
          '--swap-attention': true,
          '--swap-optimizer': true,
          '--manual-gc': true,
          '--manual-gc-interval': 10,
        },
      };

const recipes: Record<Exclude<Preset, 'qwen3-tiny'>, RecipeOf> = {
  'qwen3-0.6b': qwen3_06b,
  'qwen3-1.7b': small(32, {}, () => NO_ASD),
  'qwen3-4b': small(64, {}, () => NO_ASD),
  'qwen3-8b': qwen3_8b,
  'qwen3-14b': qwen3_14b,
  'qwen3-32b': qwen3_32b,
  'qwen3-30b-a3b': qwen3_30b,
  'qwen3-235b-a22b': qwen3_235b,
  'qwen3-coder-480b-a35b': qwen3_480b,
};

/** The recommended way to train a preset; nothing where MindSpeed-LLM has none for this machine and release. */
export const recipeOf = (preset: Preset | undefined, machine: Machine, release: Release): Recipe | undefined =>
  preset === undefined || preset === 'qwen3-tiny' ? undefined : recipes[preset](machine, release);
