/** What a run lives through where its run file does not say: by how many devices it has. */
import { expect, it } from 'vitest';
import { describeLimits, failureLimits } from '../../workflows/failure-limits.js';

it.each([
  [16, 20, 3, 12, 12],
  [1_024, 276, 3, 12, 12],
  [4_096, 1_106, 5, 48, 48],
  // Llama 3 had 419 interruptions in 54 days, 220 of them of hardware; at DLRover's rate it were 2,389.
  [16_384, 4_424, 7, 192, 192],
  [32_000, 8_640, 7, 375, 375],
])('%i devices: %i in all, %i in a row, %i of hardware a day', (devices, maxFailures, inVain, hardware, unknown) => {
  const limits = failureLimits({}, devices);
  expect(limits).toMatchObject({ maxFailures, withoutProgress: inVain });
  expect([limits.causes.hardware.aDay, limits.causes.unknown.aDay]).toEqual([hardware, unknown]);
  // What comes of settings comes no more often with more devices.
  expect([limits.causes.user.aDay, limits.causes.numeric.aDay]).toEqual([2, 4]);
});

it('what the run file says holds, and of the rest of a cause the default', () => {
  const { maxFailures, causes } = failureLimits({ maxFailures: 7, limits: { hang: { aDay: 0, aRun: 3 } } }, 16_384);
  expect([maxFailures, causes.hang, causes.network]).toEqual([
    7,
    { aDay: 0, aRun: 3, aNode: 2 },
    { aDay: 192, aRun: Infinity, aNode: 2 },
  ]);
});

it('a person is told before the run', () => {
  expect(describeLimits(failureLimits({ limits: { hang: { aRun: 3 } } }, 16))).toMatch(
    /gives up after 20 failures in all, at 3 in a row without a newer checkpoint, or after more within a day than: node 20, hardware 12, hang 8 \(3 in all\), /,
  );
});
