/** Layouts with experts, up to 256 ranks: those that Megatron takes. */
import fc from 'fast-check';

export const expertGrids = fc
  .record({
    tp: fc.constantFrom(1, 2, 4, 8),
    cp: fc.constantFrom(1, 2, 4),
    dp: fc.integer({ min: 1, max: 8 }),
    pp: fc.constantFrom(1, 2, 3),
    ep: fc.constantFrom(1, 2, 4, 8),
    isWhole: fc.boolean(),
    devices: fc.constantFrom(1, 2, 4, 8),
  })
  .map(({ isWhole, ...grid }) => ({ ...grid, etp: isWhole ? 1 : grid.tp }))
  .filter(({ tp, cp, dp, pp, ep, etp, devices }) => {
    const stage = tp * cp * dp;
    return stage % (ep * etp) === 0 && (stage * pp) % devices === 0 && stage * pp <= 256;
  });
