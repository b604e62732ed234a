/** What a layout needs of one device's memory, roughly: enough to see an out-of-memory coming, not to plan by. */
import type { ModelSizes } from './presets.js';
import type { Parallel } from './topology.js';

/** Weights, their 32-bit copy and the optimizer, as disks are planned for. */
export const CHECKPOINT_BYTES_A_PARAMETER = 18;

/** Every machine that MindSpeed-LLM supports has devices of at least this. */
export const DEVICE_BYTES = 64 * 2 ** 30;

export interface MemoryInput {
  sizes: ModelSizes;
  parallel: Parallel;
  dp: number;
  microBatch: number;
  seqLength: number;
  /** Full recomputation keeps only each layer's input. */
  recompute: boolean;
  /** The optimizer's state lives in the host's memory. */
  swapOptimizer: boolean;
}

export interface MemoryEstimate {
  bytes: number;
  /** How it came about, for a person. */
  arithmetic: string;
}

interface Parameters {
  dense: number;
  experts: number;
}

/** All parameters of the model, and of one layer. */
export function parametersOf({ layers, hidden, ffn, heads, groups, headDim, vocab, tied, moe }: ModelSizes) {
  const attention = hidden * headDim * (2 * heads + 2 * groups);
  const layer: Parameters = moe
    ? {
        dense: attention + hidden * moe.experts + 3 * hidden * (moe.sharedFfn ?? 0),
        experts: moe.experts * 3 * hidden * moe.ffn,
      }
    : { dense: attention + 3 * hidden * ffn, experts: 0 };
  const embedding = vocab * hidden;
  const total = layers * (layer.dense + layer.experts) + embedding * (tied ? 1 : 2);
  return { layer, embedding, total };
}

/** The first stage: embedding, the most micro-batches in flight. */
export function estimateMemory(input: MemoryInput): MemoryEstimate {
  const { sizes, parallel, dp, microBatch, seqLength, recompute, swapOptimizer } = input;
  const { tp, pp, cp, ep, etp = tp, noopLayers = [] } = parallel;
  const { layer, embedding } = parametersOf(sizes);
  const layers = (sizes.layers + noopLayers.length) / pp;
  const dense = (layers * layer.dense + embedding * (pp === 1 && !sizes.tied ? 2 : 1)) / tp;
  const experts = (layers * layer.experts) / (ep * etp);
  const replicas = Math.max(1, (dp * cp * tp) / (ep * etp));
  // bf16 weights 2, fp32 gradients 4, and fp32 weights and two moments 12 over the replicas.
  const optimizer = swapOptimizer ? 0 : 12;
  const state = dense * (6 + optimizer / (dp * cp)) + experts * (6 + optimizer / replicas);
  const tokens = (microBatch * seqLength) / cp;
  const activations = (tokens * sizes.hidden * layers * pp * (recompute ? 2 : 34)) / tp;
  const logits = pp === 1 ? (tokens * sizes.vocab * 6) / tp : 0;
  const bytes = state + activations + logits;
  return {
    bytes,
    arithmetic: `weights, gradients and optimizer of ${billions(dense + experts)} parameters ${gigabytes(state)}, activations ${gigabytes(activations + logits)}`,
  };
}

const billions = (count: number) => `${(count / 1e9).toFixed(2)} billion`;
export const gigabytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
