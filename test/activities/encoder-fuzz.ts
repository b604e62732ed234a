/**
 * The fast path beside npm `tokenizers` on all adversarial texts and on random odd ones, in numbers that `npm test` has no time for:
 *
 *   npx tsx test/activities/encoder-fuzz.ts [--count 1000000] [--seed 1] [--tokenizer <directory with tokenizer.json>]
 *
 * Prints what it did, and exits with 1 when an id differs, with the texts.
 */
import { parseArgs } from 'node:util';
import { adversarial, oddText, specialsOf } from '../support/encoder/adversarial.js';
import { compare, loadBoth, readTokenizer } from '../support/encoder/compare.js';
import { createRandom } from '../support/encoder/random.js';
import { QWEN3 } from '../support/encoder/tokenizers.js';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '1' },
    tokenizer: { type: 'string', default: QWEN3 },
  },
});
const both = await loadBoth(await readTokenizer(values.tokenizer));
const specials = specialsOf(both.added);
const random = createRandom(Number(values.seed));
const total = { texts: 0, bytes: 0, differing: 0 };
const PORTION = 50_000;

function* portion(): Generator<string> {
  for (let i = Math.min(PORTION, Number(values.count) - total.texts); i > 0; i--) yield oddText(random, specials);
}

const first = await compare(both, adversarial(both.added));
for (const difference of first.differing) console.log(JSON.stringify(difference));
console.error(`${first.texts} adversarial texts, ${first.differing.length} differing`);

while (total.texts < Number(values.count)) {
  const { texts, bytes, differing } = await compare(both, portion());
  total.texts += texts;
  total.bytes += bytes;
  total.differing += differing.length;
  for (const difference of differing) console.log(JSON.stringify(difference));
  console.error(`${total.texts} texts, ${(total.bytes / 1e6).toFixed(0)} MB, ${total.differing} differing`);
}
console.log(JSON.stringify({ tokenizer: values.tokenizer, seed: Number(values.seed), ...total }));
process.exitCode = total.differing + first.differing.length > 0 ? 1 : 0;
