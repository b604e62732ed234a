/** A slice of `npm run fuzz`, the same one each time: a failure is a finding, not a matter of luck. */
import { expect, test } from 'vitest';
import { fuzz } from './target.js';
import { targets } from './targets/index.js';
import { files, stateFiles } from './targets/state-files.js';

test.each(targets.map((target) => [target.name, target] as const))(
  'whatever comes, %s answers as it should',
  async (_, target) => {
    const { failure } = await fuzz(target, target.slice ?? 60, 1).finally(() => target.close?.());
    expect(failure).toBeUndefined();
  },
  120_000,
);

test('a state file that is cut at any byte is read, or known as damaged', async () => {
  for (const [name, { good }] of Object.entries(files)) {
    const bytes = Buffer.from(JSON.stringify(good));
    for (let length = 0; length <= bytes.length; length++) await stateFiles.check([name, bytes.subarray(0, length)]);
  }
  await stateFiles.close?.();
});
