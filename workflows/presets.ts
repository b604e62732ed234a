/** Model sizes by name. A function of nothing but the name: recipes are data. */
export interface ModelSizes {
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
}

export const presets: Record<string, ModelSizes> = {
  /** Qwen3's architecture at a size that two CPU cores train in seconds; the vocabulary is that of the demo's cut tokenizer. */
  'qwen3-tiny': {
    layers: 4,
    hidden: 64,
    ffn: 192,
    heads: 4,
    groups: 2,
    headDim: 16,
    vocab: 4096,
    maxPositions: 512,
    tied: false,
    ropeBase: 1_000_000,
  },
};
