import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runElsewhere } from '../../activities/preprocess/run-elsewhere.js';
import { root } from '../../workers/config.js';
import { tempDir } from '../support/temp-dir.js';

it('a file whose bytes ask for work without end is given up and named, and leaves nothing that looks finished', async () => {
  const out = await tempDir();
  // Found by `npm run fuzz`: a run of definition levels some hundred million long in a page of a few rows.
  const job = {
    ...{ root: join(root, 'test/fixtures/hostile'), files: ['endless-levels.parquet'], slice: { index: 0, of: 1 } },
    ...{ keys: ['text'], prefixes: { text: join(out, 'prefix_text_document') }, appendEod: false, compat: false },
    tokenizer: join(root, 'test/fixtures/golden/train/tiny-tokenizer'),
  };
  await expect(runElsewhere(job, { stuckAfterSeconds: 4 })).rejects.toMatchObject({
    type: 'DataCorrupt',
    nonRetryable: true,
    message: expect.stringMatching(/^endless-levels\.parquet.*: nothing came of 4 s of work/) as string,
  });
  expect((await readdir(out)).filter((name) => /\.(bin|idx)$/.test(name) && !name.startsWith('.'))).toEqual([]);
});
