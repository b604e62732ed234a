/** What a model of these sizes is in Hugging Face format: its configuration and how many tensors it has. Pure. */
import type { ModelSizes } from './presets.js';
import type { RunSpec } from './spec.js';

type Trained = Pick<RunSpec, 'sizes'> & { train: Pick<RunSpec['train'], 'extraArgs'> };

/** The base of the rotary embedding that training is started with; Megatron's own where the flag is taken away. */
export const ropeBaseOf = ({ sizes, train }: Trained): number => {
  const { '--rotary-base': base = sizes.ropeBase } = train.extraArgs;
  return base === false ? 10_000 : Number(base);
};

/** In an object with the rest of it since transformers 5. */
const ropeThetaIn = (config: Record<string, unknown>): unknown =>
  config['rope_theta'] ?? (config['rope_parameters'] as Record<string, unknown> | undefined)?.['rope_theta'];

/**
 * What `config.json` says of a model and no tensor's shape does, as training is started: the same weights with another
 * of these are another model, and nothing fails.
 */
export function saidOf(spec: Trained): Record<string, string | number | boolean> {
  const { sizes, train } = spec;
  const { '--norm-epsilon': epsilon = 1e-6, '--norm-topk-prob': normalized = true } = train.extraArgs;
  const scales = Object.keys(train.extraArgs).some((flag) => /^--(use-)?rope-scaling|^--longrope|^--yarn/.test(flag));
  return {
    rope_theta: ropeBaseOf(spec),
    ...(!scales && { rope_type: 'default' }),
    rms_norm_eps: Number(epsilon),
    ...(sizes.moe && { num_experts_per_tok: sizes.moe.topk, norm_topk_prob: normalized === true }),
  };
}

/** Where a configuration says otherwise: `name: what it says, and what training would have`. */
export function saidOtherwise(config: Record<string, unknown>, wanted: Record<string, unknown>): string[] {
  const scaling = (config['rope_scaling'] ?? config['rope_parameters']) as Record<string, unknown> | null | undefined;
  const found: Record<string, unknown> = {
    ...{ ...config, rope_theta: ropeThetaIn(config) },
    rope_type: scaling?.['rope_type'] ?? scaling?.['type'] ?? 'default',
  };
  return Object.entries(wanted).flatMap(([name, value]) =>
    found[name] === undefined || found[name] === value
      ? []
      : [`${name} is ${JSON.stringify(found[name])} there, and training would have ${JSON.stringify(value)}`],
  );
}

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
  const hasBase = wanted['rope_theta'] === undefined || ropeThetaIn(found) === wanted['rope_theta'];
  return hasBase && TELLING.every((field) => wanted[field] === undefined || found[field] === wanted[field]);
}

/** Attention has four projections and two norms for heads; a layer two more norms, and its MLP three matrices an expert. */
export function tensorsOf({ layers, tied, moe }: ModelSizes): number {
  const mlp = moe ? 1 + 3 * moe.experts : 3;
  return layers * (4 + 2 + 2 + mlp) + 2 + (tied ? 0 : 1);
}
