/** What a model of these sizes is in Hugging Face format: its configuration and how many tensors it has. Pure. */
import type { ModelSizes } from './presets.js';

/** Fields of `config.json` that follow from the sizes, by the names that `transformers` reads. */
export function configOf({ moe, ...sizes }: ModelSizes): Record<string, unknown> {
  return {
    architectures: [moe ? 'Qwen3MoeForCausalLM' : 'Qwen3ForCausalLM'],
    model_type: moe ? 'qwen3_moe' : 'qwen3',
    ...{ hidden_size: sizes.hidden, intermediate_size: sizes.ffn, num_hidden_layers: sizes.layers },
    ...{ num_attention_heads: sizes.heads, num_key_value_heads: sizes.groups, head_dim: sizes.headDim },
    ...{ vocab_size: sizes.vocab, max_position_embeddings: sizes.maxPositions },
    ...{ tie_word_embeddings: sizes.tied, rope_theta: sizes.ropeBase },
    ...{ hidden_act: 'silu', rms_norm_eps: 1e-6, attention_bias: false, attention_dropout: 0, use_cache: true },
    ...(moe && {
      ...{ num_experts: moe.experts, num_experts_per_tok: moe.topk, moe_intermediate_size: moe.ffn },
      ...{ decoder_sparse_step: 1, mlp_only_layers: [], norm_topk_prob: true },
    }),
  };
}

/** Of a configuration that came with the tokenizer, which may be another model's: these must be the same. */
const TELLING = [
  ...['model_type', 'hidden_size', 'num_hidden_layers', 'num_attention_heads', 'num_key_value_heads', 'head_dim'],
  ...['vocab_size', 'tie_word_embeddings', 'num_experts', 'moe_intermediate_size'],
];

export function isOfModel(found: Record<string, unknown>, wanted: Record<string, unknown>): boolean {
  return TELLING.every((field) => wanted[field] === undefined || found[field] === wanted[field]);
}

/** Attention has four projections and two norms for heads; a layer two more norms, and its MLP three matrices an expert. */
export function tensorsOf({ layers, tied, moe }: ModelSizes): number {
  const mlp = moe ? 1 + 3 * moe.experts : 3;
  return layers * (4 + 2 + 2 + mlp) + 2 + (tied ? 0 : 1);
}
