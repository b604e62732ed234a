/**
 * Qwen3's own tokenizer with a vocabulary of 4,096: the 256 bytes, its first merges, its added tokens. All 151,936
 * rows of the original would make embedding and output layer 99 % of a small model, and two CPU cores slow.
 */
export const VOCABULARY = 4096;

interface AddedToken {
  id: number;
  content: string;
}

interface TokenizerFile {
  added_tokens: AddedToken[];
  model: { vocab: Record<string, number>; merges: [string, string][] };
}

interface TokenizerConfig {
  added_tokens_decoder: Record<string, unknown>;
}

/** Ids of the base vocabulary are in merge order, so that the first ids are a tokenizer by themselves. */
export function cutTokenizer(full: TokenizerFile, config: TokenizerConfig) {
  const kept = VOCABULARY - full.added_tokens.length;
  const first = (full.added_tokens[0]?.id ?? 0) - kept;
  const vocab = Object.fromEntries(
    Object.entries(full.model.vocab)
      .filter(([, id]) => id < kept)
      .sort(([, a], [, b]) => a - b),
  );
  const merges = full.model.merges.slice(0, kept - 256);
  const added = full.added_tokens.map((token) => ({ ...token, id: token.id - first }));
  const decoder = Object.fromEntries(
    Object.entries(config.added_tokens_decoder).map(([id, token]) => [String(Number(id) - first), token]),
  );
  return {
    'tokenizer.json': { ...full, added_tokens: added, model: { ...full.model, vocab, merges } },
    'tokenizer_config.json': { ...config, added_tokens_decoder: decoder },
  };
}
