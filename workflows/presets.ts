/** Model sizes by name, after the models' own config.json. A function of nothing but the name: presets are data. */
export interface ModelSizes {
  /** Layers of the model itself, without the empty ones that a layout may add. */
  layers: number;
  hidden: number;
  ffn: number;
  heads: number;
  groups: number;
  headDim: number;
  /** Rows of the embedding, padding included. */
  vocab: number;
  maxPositions: number;
  tied: boolean;
  ropeBase: number;
  moe?: MoeSizes | undefined;
}

export interface MoeSizes {
  experts: number;
  /** Experts that each token goes through. */
  topk: number;
  /** Width of one expert. */
  ffn: number;
  /** Width of the experts that every token goes through, together; Qwen3 has none. */
  sharedFfn?: number | undefined;
}

const QWEN3 = {
  groups: 8,
  headDim: 128,
  vocab: 151_936,
  maxPositions: 40_960,
  tied: false,
  ropeBase: 1_000_000,
} as const;

export const presets = {
  /** Qwen3's architecture at a size that two CPU cores train in seconds; the vocabulary is that of the demo's cut tokenizer. */
  'qwen3-tiny': {
    ...QWEN3,
    ...{ layers: 4, hidden: 64, ffn: 192, heads: 4, groups: 2, headDim: 16, vocab: 4096, maxPositions: 512 },
  },
  'qwen3-0.6b': { ...QWEN3, layers: 28, hidden: 1024, ffn: 3072, heads: 16, tied: true },
  'qwen3-1.7b': { ...QWEN3, layers: 28, hidden: 2048, ffn: 6144, heads: 16, tied: true },
  'qwen3-4b': { ...QWEN3, layers: 36, hidden: 2560, ffn: 9728, heads: 32, tied: true },
  'qwen3-8b': { ...QWEN3, layers: 36, hidden: 4096, ffn: 12_288, heads: 32 },
  'qwen3-14b': { ...QWEN3, layers: 40, hidden: 5120, ffn: 17_408, heads: 40 },
  'qwen3-32b': { ...QWEN3, layers: 64, hidden: 5120, ffn: 25_600, heads: 64 },
  'qwen3-30b-a3b': {
    ...QWEN3,
    ...{ layers: 48, hidden: 2048, ffn: 6144, heads: 32, groups: 4 },
    moe: { experts: 128, topk: 8, ffn: 768 },
  },
  'qwen3-235b-a22b': {
    ...QWEN3,
    ...{ layers: 94, hidden: 4096, ffn: 12_288, heads: 64, groups: 4 },
    moe: { experts: 128, topk: 8, ffn: 1536 },
  },
  'qwen3-coder-480b-a35b': {
    ...QWEN3,
    ...{ layers: 62, hidden: 6144, ffn: 8192, heads: 96, maxPositions: 262_144, ropeBase: 10_000_000 },
    moe: { experts: 160, topk: 8, ffn: 2560 },
  },
} satisfies Record<string, ModelSizes>;

export type Preset = keyof typeof presets;
export const PRESETS = Object.keys(presets) as [Preset, ...Preset[]];
