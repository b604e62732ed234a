/** A slice of `npm run fuzz`, the same one each time: a failure is a finding, not a matter of luck. */
import { expect, test } from 'vitest';
import { fuzz } from './target.js';
import { targets } from './targets/index.js';

test.each(targets.map((target) => [target.name, target] as const))(
  'whatever comes, %s answers as it should',
  async (_, target) => {
    const { failure } = await fuzz(target, 60, 1).finally(() => target.close?.());
    expect(failure).toBeUndefined();
  },
  120_000,
);
