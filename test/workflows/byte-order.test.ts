/** One order of names in workflows, activities and the command: that of their bytes. */
import { it } from 'vitest';
import fc from 'fast-check';
import { bytewise } from '../../workflows/byte-order.js';

it('is that of the UTF-8 bytes of names, also above U+FFFF', () => {
  const name = fc.string({
    unit: fc.oneof(
      fc.constantFrom('a', '\u{d7ff}', '\u{e000}', '\u{ffff}', '\u{1f600}', '中'),
      fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
    ),
    maxLength: 5,
  });
  const byBytes = (a: string, b: string) => Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b)));
  fc.assert(fc.property(name, name, (a, b) => Math.sign(bytewise(a, b)) === byBytes(a, b)));
});
