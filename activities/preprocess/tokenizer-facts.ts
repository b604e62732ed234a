/** What a tokenizer's files say beside how to encode. */
import { join } from 'node:path';
import { readJson } from '../atomic.js';

interface AddedToken {
  id?: number;
  content: string;
  special?: boolean;
}

/** Ids of the markers that no text should contain: an end of document in the middle of one, say. */
export async function specialIds(dir: string): Promise<ReadonlySet<number>> {
  type Config = { added_tokens_decoder?: Record<string, AddedToken> };
  const config = await readJson<Config>(join(dir, 'tokenizer_config.json'));
  const tokens = Object.entries(config?.added_tokens_decoder ?? {});
  return new Set(tokens.filter(([, { special }]) => special).map(([id]) => Number(id)));
}

/** How many tokens there are; MindSpeed-LLM pads with the id after the last. */
export async function vocabularySize(dir: string): Promise<number> {
  type Json = { model: { vocab: Record<string, number> | [string, number][] }; added_tokens?: AddedToken[] };
  const { model, added_tokens = [] } = (await readJson<Json>(join(dir, 'tokenizer.json')))!;
  const words = Array.isArray(model.vocab) ? model.vocab.map(([word]) => word) : Object.keys(model.vocab);
  return new Set([...words, ...added_tokens.map(({ content }) => content)]).size;
}
