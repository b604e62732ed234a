/** Weights of a small Qwen3 as a hub would hold them: the same bytes on every machine, since nothing but additions makes them. */
import { uniform } from './random.js';
import { VOCABULARY } from './tiny-tokenizer.js';

export const tinyConfig = {
  architectures: ['Qwen3ForCausalLM'],
  model_type: 'qwen3',
  attention_bias: false,
  attention_dropout: 0,
  head_dim: 16,
  hidden_act: 'silu',
  hidden_size: 64,
  initializer_range: 0.02,
  intermediate_size: 192,
  max_position_embeddings: 512,
  num_attention_heads: 4,
  num_hidden_layers: 4,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-6,
  rope_scaling: null,
  rope_theta: 1_000_000,
  sliding_window: null,
  tie_word_embeddings: false,
  torch_dtype: 'bfloat16',
  use_cache: true,
  use_sliding_window: false,
  vocab_size: VOCABULARY,
};

export function tinyWeights(seed: number): Buffer {
  const random = uniform(seed);
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  const parts: Buffer[] = [];
  let offset = 0;
  for (const [name, shape] of tensors()) {
    const count = shape.reduce((product, size) => product * size, 1);
    const data = bfloat16(count, () => (name.includes('norm') ? 1 : 0.02 * normal(random)));
    header[name] = { dtype: 'BF16', shape, data_offsets: [offset, offset + data.length] };
    offset += data.length;
    parts.push(data);
  }
  const json = JSON.stringify(header);
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, ...parts]);
}

function tensors(): [name: string, shape: number[]][] {
  const { hidden_size: hidden, head_dim: head, intermediate_size: ffn, vocab_size: vocab } = tinyConfig;
  const [query, key] = [tinyConfig.num_attention_heads * head, tinyConfig.num_key_value_heads * head];
  const layer = (index: number): [string, number[]][] =>
    (
      [
        ['input_layernorm', [hidden]],
        ['self_attn.q_proj', [query, hidden]],
        ['self_attn.k_proj', [key, hidden]],
        ['self_attn.v_proj', [key, hidden]],
        ['self_attn.o_proj', [hidden, query]],
        ['self_attn.q_norm', [head]],
        ['self_attn.k_norm', [head]],
        ['post_attention_layernorm', [hidden]],
        ['mlp.gate_proj', [ffn, hidden]],
        ['mlp.up_proj', [ffn, hidden]],
        ['mlp.down_proj', [hidden, ffn]],
      ] as [string, number[]][]
    ).map(([name, shape]) => [`model.layers.${index}.${name}.weight`, shape]);
  return [
    ['model.embed_tokens.weight', [vocab, hidden]],
    ...Array.from({ length: tinyConfig.num_hidden_layers }, (_, index) => layer(index)).flat(),
    ['model.norm.weight', [hidden]],
    ['lm_head.weight', [vocab, hidden]],
  ];
}

/** The upper half of a float32, rounded to nearest even. */
function bfloat16(count: number, value: () => number): Buffer {
  const bits = new Uint32Array(Float32Array.from({ length: count }, value).buffer);
  const data = Buffer.alloc(2 * count);
  bits.forEach((word, index) => data.writeUInt16LE((word + 0x7fff + ((word >>> 16) & 1)) >>> 16, 2 * index));
  return data;
}

/** Sum of twelve uniform numbers: near enough to normal, and exact where a logarithm differs between machines. */
function normal(random: () => number): number {
  let sum = -6;
  for (let i = 0; i < 12; i++) sum += random();
  return sum;
}
