/** What a tokenizer's files say beside how to encode. */
import { readTokenizer } from './encoder/read-tokenizer.js';

/** Ids of the markers that no text should contain: an end of document in the middle of one, say. */
export async function specialIds(dir: string): Promise<ReadonlySet<number>> {
  const { added = [] } = (await readTokenizer(dir)) ?? {};
  return new Set(added.filter(({ special }) => special).map(({ id }) => id));
}

/** How many tokens there are; MindSpeed-LLM pads with the id after the last. */
export async function vocabularySize(dir: string): Promise<number> {
  type Json = { model: { vocab: Record<string, number> | [string, number][] } };
  const { json, added } = (await readTokenizer(dir))!;
  const { vocab } = (JSON.parse(json.toString('utf8')) as Json).model;
  const words = Array.isArray(vocab) ? vocab.map(([word]) => word) : Object.keys(vocab);
  return new Set([...words, ...added.map(({ content }) => content)]).size;
}
