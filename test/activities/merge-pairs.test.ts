import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { mergePairs } from '../../activities/preprocess/merge-pairs.js';
import { openPair } from '../../activities/preprocess/pair-writer.js';
import { tempDir } from '../support/temp-dir.js';

test('a merge has few of its parts open at a time, of which a large dataset has thousands', async () => {
  const dir = await tempDir();
  const writer = await openPair(join(dir, 'part'));
  await writer.add(Int32Array.of(1, 2, 3), [1, 2]);
  await writer.finish();

  const open = () => readdirSync('/proc/self/fd').length;
  const before = open();
  let most = 0;
  let isMerging = true;
  const look = () => {
    most = Math.max(most, open());
    if (isMerging) setTimeout(look, 1);
  };
  look();
  const parts = Array.from({ length: 100 }, () => join(dir, 'part'));
  const pair = await mergePairs(parts, join(dir, 'all')).finally(() => (isMerging = false));

  expect(pair).toMatchObject({ documents: 200, sequences: 200, tokens: 300 });
  expect(most - before).toBeLessThan(20);
});
