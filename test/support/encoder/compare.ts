/** The fast path beside npm `tokenizers`, on every id. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadFast } from '../../../activities/preprocess/encoder/load-fast.js';
import type { FastEncoder } from '../../../activities/preprocess/encoder/fast.js';
import { createSlowEncoder, type SlowEncoder } from '../../../activities/preprocess/encoder/slow.js';

export interface Both {
  fast: FastEncoder;
  slow: SlowEncoder;
  /** Contents of the added tokens. */
  added: string[];
}

export async function loadBoth(json: Buffer, tablesIn?: string): Promise<Both> {
  const loaded = await loadFast(json, tablesIn);
  if (!('fast' in loaded)) throw new Error(`not on the fast path: ${loaded.reason}`);
  const added = loaded.shape.added.map(({ content }) => content);
  return { fast: loaded.fast, slow: createSlowEncoder(json), added };
}

export const readTokenizer = (dir: string): Promise<Buffer> => readFile(join(dir, 'tokenizer.json'));

export function idsOf(encode: (take: (ids: Int32Array) => void) => void): number[] {
  const portions: number[][] = [];
  encode((ids) => portions.push([...ids]));
  return portions.flat();
}

export interface Compared {
  texts: number;
  bytes: number;
  differing: { text: string; fast: number[]; slow: number[] }[];
}

/** Every text both ways; keeps the first few that differ. */
export async function compare({ fast, slow }: Both, texts: Iterable<string>): Promise<Compared> {
  const result: Compared = { texts: 0, bytes: 0, differing: [] };
  for (const batch of batchesOf(texts, 1000)) {
    const expected = await slow.encode(batch);
    for (const [index, text] of batch.entries()) {
      const ids = idsOf((take) => fast.encodeText(text, take));
      result.texts += 1;
      result.bytes += Buffer.byteLength(text);
      const other = expected[index]!;
      const isSame = ids.length === other.length && ids.every((id, at) => id === other[at]);
      if (!isSame && result.differing.length < 20) result.differing.push({ text, fast: ids, slow: other });
    }
  }
  return result;
}

function* batchesOf<T>(values: Iterable<T>, size: number): Generator<T[]> {
  let batch: T[] = [];
  for (const value of values) {
    batch.push(value);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
