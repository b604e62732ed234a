/** The flags of `pretrain_gpt.py` that follow from the run file alone: model, layout, recipe, release. */
import { LEARNING_RATE } from './learning-rate.js';
import type { MoeSizes } from './presets.js';
import type { Flags } from './recipes.js';
import { isAtLeast, releases, type Release } from './releases.js';
import { recipeFor } from './spec-rules.js';
import type { RunSpec } from './spec.js';

/** Flags in the order given; `true` is a switch, `false` takes a default away. */
export const render = (flags: Flags): string[] =>
  Object.entries(flags).flatMap(([flag, value]) => {
    if (typeof value === 'boolean') return value ? [flag] : [];
    return [flag, ...[value].flat().map(String)];
  });

export const trainingFlags = (spec: RunSpec): Flags => ({
  ...modelFlags(spec),
  ...layoutFlags(spec),
  ...recipeFlags(spec),
  ...releaseFlags(spec.mindspeed.release),
  ...presetFlags(spec),
  // With end-of-document tokens in the data, attention and loss stop at them: never one without the other.
  ...(spec.dataset.appendEod && { '--reset-attention-mask': true }),
});

const modelFlags = ({ sizes, parallel, train, mindspeed }: RunSpec): Flags => ({
  '--use-mcore-models': true,
  '--spec': ['mindspeed_llm.tasks.models.spec.qwen3_spec', 'layer_spec'],
  '--qk-layernorm': true,
  // Training counts the empty layers of a layout, the converter's --num-layers does not.
  '--num-layers': sizes.layers + (parallel.noopLayers?.length ?? 0),
  ...(parallel.noopLayers && { '--noop-layers': parallel.noopLayers.join(',') }),
  '--hidden-size': sizes.hidden,
  '--ffn-hidden-size': sizes.ffn,
  '--num-attention-heads': sizes.heads,
  '--group-query-attention': true,
  '--num-query-groups': sizes.groups,
  '--kv-channels': sizes.headDim,
  // Rotary positions need no table: all that this does is to bound the sequence.
  '--max-position-embeddings': train.seqLength,
  '--make-vocab-size-divisible-by': 1,
  '--padded-vocab-size': sizes.vocab,
  '--rotary-base': sizes.ropeBase,
  ...(!sizes.tied && { '--untie-embeddings-and-output-weights': true }),
  '--disable-bias-linear': true,
  '--position-embedding-type': 'rope',
  '--normalization': 'RMSNorm',
  '--norm-epsilon': '1e-6',
  '--swiglu': true,
  ...(sizes.moe && moeFlags(sizes.moe, mindspeed.release)),
  '--attention-softmax-in-fp32': true,
  '--no-gradient-accumulation-fusion': true,
  '--no-masked-softmax-fusion': true,
  '--use-flash-attn': true,
  '--use-fused-rotary-pos-emb': true,
  '--use-rotary-position-embeddings': true,
  '--use-fused-swiglu': true,
  '--use-fused-rmsnorm': true,
});

const moeFlags = (moe: MoeSizes, release: Release): Flags => ({
  '--num-experts': moe.experts,
  '--moe-router-topk': moe.topk,
  [releases[release].expertWidthFlag]: moe.ffn,
  ...(moe.sharedFfn !== undefined && { '--moe-shared-expert-intermediate-size': moe.sharedFfn }),
  '--moe-router-load-balancing-type': 'aux_loss',
  '--moe-aux-loss-coeff': '0.001',
  '--norm-topk-prob': true,
  '--moe-grouped-gemm': true,
  '--moe-token-dispatcher-type': 'alltoall',
  // Experts in every layer.
  ...(isAtLeast(release, '2.2.0') && { '--moe-layer-freq': -1, '--first-k-dense-replace': -1 }),
});

const layoutFlags = ({ parallel, sizes, mindspeed }: RunSpec): Flags => ({
  '--tensor-model-parallel-size': parallel.tp,
  '--pipeline-model-parallel-size': parallel.pp,
  '--context-parallel-size': parallel.cp,
  ...contextAlgorithm(parallel.cp, mindspeed.release),
  ...(parallel.ep > 1 && { '--expert-model-parallel-size': parallel.ep }),
  ...(parallel.etp !== undefined && parallel.etp !== parallel.tp && { '--expert-tensor-parallel-size': parallel.etp }),
  ...(parallel.layersPerVirtualStage !== undefined && {
    '--num-layers-per-virtual-pipeline-stage': parallel.layersPerVirtualStage,
  }),
  // Megatron refuses tensor parallel experts without it.
  ...(sizes.moe && parallel.tp > 1 && { '--sequence-parallel': true }),
});

/**
 * The ring. The guide names the other one of 2.1.0 where nothing is split, and so do we; where something is, that one
 * would cut heads and groups as well, and does not know where documents end.
 */
function contextAlgorithm(cp: number, release: Release): Flags {
  if (cp > 1) return { '--context-parallel-algo': 'megatron_cp_algo' };
  return isAtLeast(release, '2.2.0') ? {} : { '--context-parallel-algo': 'ulysses_cp_algo' };
}

const recipeFlags = ({ train }: RunSpec): Flags => ({
  '--distributed-backend': 'nccl',
  '--use-distributed-optimizer': true,
  '--micro-batch-size': train.microBatch,
  '--global-batch-size': train.globalBatch,
  '--seq-length': train.seqLength,
  '--bf16': true,
  ...LEARNING_RATE,
  '--weight-decay': '1e-1',
  '--adam-beta1': '0.9',
  '--adam-beta2': '0.95',
  '--clip-grad': '1.0',
  '--initial-loss-scale': 4096,
  '--init-method-std': '0.01',
  '--attention-dropout': '0.0',
  '--hidden-dropout': '0.0',
  '--seed': 42,
  '--split': '100,0,0',
  '--eval-interval': train.iterations,
  '--eval-iters': 0,
  '--log-interval': 1,
});

/** The torch format is what the pipeline lists, copies and proves; newer Megatron would default to another. */
const releaseFlags = (release: Release): Flags => ({
  ...(isAtLeast(release, '26.0.0') && { '--transformer-impl': 'local' }),
  ...(releases[release].ckptFormat && { '--ckpt-format': 'torch' }),
});

function presetFlags(spec: RunSpec): Flags {
  const { '--sequence-parallel': sequenceParallel, ...flags } = recipeFor(spec)?.flags ?? {};
  // Without tensor parallelism there is nothing that it could split.
  return { ...flags, ...(sequenceParallel && spec.parallel.tp > 1 && { '--sequence-parallel': true }) };
}
