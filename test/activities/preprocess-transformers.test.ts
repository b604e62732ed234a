/** Ids of tokenizer directories as transformers itself has recorded them: see test/support/encoder/record-transformers.ts. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadEncoder } from '../../activities/preprocess/encode.js';
import { readTokenizer } from '../../activities/preprocess/encoder/read-tokenizer.js';
import { createSlowEncoder } from '../../activities/preprocess/encoder/slow.js';
import { vocabularySize } from '../../activities/preprocess/tokenizer-facts.js';
import { readCases, textsOf, writeCase } from '../support/encoder/transformers-cases.js';
import { tempDir } from '../support/temp-dir.js';

const cases = await readCases();

test.each(cases)('$what ($base): ids, end and size are those of transformers, or it is said', async (each) => {
  const dir = join(await tempDir(), 'tokenizer');
  await writeCase(dir, each);
  const encoder = await loadEncoder(dir);
  expect(encoder.warnings).toEqual(each.warns ? [expect.stringContaining('ids may differ')] : []);
  if (each.refused !== undefined) return expect(each.warns).toBe(true);
  const texts = textsOf(each.tokens);
  const slow = await createSlowEncoder((await readTokenizer(dir))!.json).encode(texts);
  const found = [await encoder.encode(texts), slow].map((all) => all.map((ids) => Array.from(ids).join(' ')));
  if (!each.warns) expect(found).toEqual([each.ids, each.ids]);
  expect(encoder.eod ?? null).toBe(each.eos);
  expect(await vocabularySize(dir)).toBe(each.size);
});
