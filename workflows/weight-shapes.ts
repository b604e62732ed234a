/**
 * Which tensors a model of these sizes has, with their shapes, in both formats. Pure. Megatron's are those that
 * MindSpeed-LLM's second converter writes: golden/convert for dense models, mindspeed_llm/tasks/checkpoint/convert_hf2mg.py
 * (set_model_layer_mlp, grouped) for those with experts.
 */
import type { ModelSizes } from './presets.js';
import type { Parallel } from './topology.js';

/** Rows before columns. */
export type Shapes = Record<string, number[]>;

export function huggingFaceShapes(sizes: ModelSizes): Shapes {
  const { layers, hidden, vocab, tied } = sizes;
  return {
    'model.embed_tokens.weight': [vocab, hidden],
    ...prefixed(range(layers).map((layer) => [`model.layers.${layer}.`, huggingFaceLayer(sizes)])),
    'model.norm.weight': [hidden],
    ...(!tied && { 'lm_head.weight': [vocab, hidden] }),
  };
}

function huggingFaceLayer({ hidden, ffn, heads, groups, headDim, moe }: ModelSizes): Shapes {
  const mlp = (width: number): Shapes => ({
    ...{ 'gate_proj.weight': [width, hidden], 'up_proj.weight': [width, hidden] },
    'down_proj.weight': [hidden, width],
  });
  return {
    'self_attn.q_proj.weight': [heads * headDim, hidden],
    'self_attn.k_proj.weight': [groups * headDim, hidden],
    'self_attn.v_proj.weight': [groups * headDim, hidden],
    'self_attn.o_proj.weight': [hidden, heads * headDim],
    ...{ 'self_attn.q_norm.weight': [headDim], 'self_attn.k_norm.weight': [headDim] },
    ...{ 'input_layernorm.weight': [hidden], 'post_attention_layernorm.weight': [hidden] },
    ...(moe
      ? {
          'mlp.gate.weight': [moe.experts, hidden],
          ...prefixed(range(moe.experts).map((expert) => [`mlp.experts.${expert}.`, mlp(moe.ffn)])),
        }
      : prefixed([['mlp.', mlp(ffn)]])),
  };
}

/** The models in every shard of a pipeline stage, by their key in its file: `model`, or `model0` … with virtual stages. */
export function stageShapes(sizes: ModelSizes, parallel: Parallel, stage: number): Record<string, Shapes> {
  const { pp, layersPerVirtualStage, noopLayers = [] } = parallel;
  const all = sizes.layers + noopLayers.length;
  const chunk = layersPerVirtualStage ?? all / pp;
  const chunks = all / pp / chunk;
  return Object.fromEntries(
    range(chunks).map((index) => {
      // Stages take turns: the first chunk of each, then the second of each.
      const first = (index * pp + stage) * chunk;
      const layers = range(chunk).filter((layer) => !noopLayers.includes(first + layer));
      return [
        layersPerVirtualStage === undefined ? 'model' : `model${index}`,
        {
          ...(first === 0 && embedding(sizes, parallel)),
          ...prefixed(layers.map((layer) => [`decoder.layers.${layer}.`, megatronLayer(sizes, parallel)])),
          ...(first + chunk === all && output(sizes, parallel)),
        },
      ];
    }),
  );
}

const embedding = ({ vocab, hidden }: ModelSizes, { tp }: Parallel): Shapes => ({
  'embedding.word_embeddings.weight': [vocab / tp, hidden],
});

/** The last stage has its own copy of a tied embedding. */
const output = ({ vocab, hidden, tied }: ModelSizes, { tp, pp }: Parallel): Shapes => ({
  'decoder.final_layernorm.weight': [hidden],
  ...((!tied || pp > 1) && { 'output_layer.weight': [vocab / tp, hidden] }),
});

function megatronLayer(
  { hidden, ffn, heads, groups, headDim, moe }: ModelSizes,
  { tp, ep, etp = tp }: Parallel,
): Shapes {
  const experts = moe && { count: moe.experts / ep, width: moe.ffn / etp };
  return {
    ...{ 'input_layernorm.weight': [hidden], 'pre_mlp_layernorm.weight': [hidden] },
    'self_attention.linear_qkv.weight': [((heads + 2 * groups) * headDim) / tp, hidden],
    'self_attention.linear_proj.weight': [hidden, (heads * headDim) / tp],
    ...{ 'self_attention.q_layernorm.weight': [headDim], 'self_attention.k_layernorm.weight': [headDim] },
    ...(experts
      ? {
          'mlp.router.weight': [moe.experts, hidden],
          'mlp.experts.weight1': [hidden, experts.count * 2 * experts.width],
          'mlp.experts.weight2': [experts.count * experts.width, hidden],
        }
      : { 'mlp.linear_fc1.weight': [(2 * ffn) / tp, hidden], 'mlp.linear_fc2.weight': [hidden, ffn / tp] }),
  };
}

/** What is wrong with the tensors that were found, the first few of it; nothing where they are those wanted. */
export function differingShapes(found: Shapes, wanted: Shapes): string[] {
  const names = (shapes: Shapes, others: Shapes) => Object.keys(shapes).filter((name) => !Object.hasOwn(others, name));
  const [missing, unknown] = [names(wanted, found), names(found, wanted)];
  const other = Object.keys(wanted).filter(
    (name) => Object.hasOwn(found, name) && found[name]!.join() !== wanted[name]!.join(),
  );
  return [
    ...listed(missing, (many) => `${many} missing`, String),
    ...listed(unknown, (many) => `${many} that the model does not have`, String),
    ...listed(
      other,
      (many) => `${many} of another shape`,
      (name) => `${name} [${found[name]!.join()}] instead of [${wanted[name]!.join()}]`,
    ),
  ];
}

const LISTED = 3;
const listed = (names: string[], what: (many: number) => string, show: (name: string) => string): string[] =>
  names.length === 0
    ? []
    : [
        `${what(names.length)}: ${names.slice(0, LISTED).map(show).join(', ')}${names.length > LISTED ? ' and others' : ''}`,
      ];

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

const prefixed = (parts: [prefix: string, shapes: Shapes][]): Shapes =>
  Object.fromEntries(
    parts.flatMap(([prefix, shapes]) => Object.entries(shapes).map(([name, shape]) => [`${prefix}${name}`, shape])),
  );
