import { isUtf8 } from 'node:buffer';
import { expect, test } from 'vitest';
import { areUtf8 } from '../../activities/preprocess/are-utf8.js';
import { createRandom } from '../support/encoder/random.js';

const WHOLE = Buffer.from('a\u00e9\u4e2d\u{1f600}z\u{10ffff}');

async function* cutInto(bytes: Buffer, sizes: () => number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length;) {
    const size = sizes();
    yield await Promise.resolve(bytes.subarray(at, at + size));
    at += size;
  }
}

test('bytes in portions are UTF-8 when they are as a whole, wherever they are cut and whatever is wrong with them', async () => {
  const { below } = createRandom(7);
  const seen = { right: 0, wrong: 0 };
  for (let n = 0; n < 4000; n++) {
    const bytes = Buffer.from(WHOLE.subarray(below(3), WHOLE.length - below(5)));
    if (below(2)) bytes[below(bytes.length)] = below(256);
    const expected = isUtf8(bytes);
    seen[expected ? 'right' : 'wrong'] += 1;
    const sizes = n % 2 ? () => 1 : () => 1 + below(6);
    expect(await areUtf8(cutInto(bytes, sizes)), bytes.toString('hex')).toBe(expected);
  }
  expect(Math.min(seen.right, seen.wrong)).toBeGreaterThan(500);
});

test('nothing at all is UTF-8', async () => {
  expect(await areUtf8(cutInto(Buffer.alloc(0), () => 1))).toBe(true);
});
