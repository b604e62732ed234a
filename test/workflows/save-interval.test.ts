/** The interval between saves that loses least, against the exact expectation that it approximates. */
import { describe, expect, it } from 'vitest';
import { dalyInterval, DEVICE_DAYS, mtbfSeconds, youngInterval } from '../../workflows/save-interval.js';

/** Expected wall time a second of training where failures are Poisson and a restart is free. */
const wall = (interval: number, save: number, mtbf: number) => (mtbf * Math.expm1((interval + save) / mtbf)) / interval;

function best(save: number, mtbf: number): number {
  const tried = Array.from({ length: 20_000 }, (_, step) => (step + 1) * (mtbf / 10_000));
  return Math.min(...tried.map((interval) => wall(interval, save, mtbf)));
}

describe('the interval between saves', () => {
  it.each([
    [5, 10_800],
    [60, 10_800],
    [600, 10_800],
    [60, 864_000],
  ])('of Daly costs within 0.1 %% of the best there is, for saves of %d s and a failure in %d s', (save, mtbf) => {
    expect(wall(dalyInterval(save, mtbf), save, mtbf)).toBeLessThan(best(save, mtbf) * 1.001);
  });

  it('of Daly is never worse than that of Young, and clearly better where saves are long', () => {
    const worth = (save: number) =>
      wall(youngInterval(save, 10_800), save, 10_800) / wall(dalyInterval(save, 10_800), save, 10_800);
    expect(worth(5)).toBeGreaterThanOrEqual(1);
    expect(worth(3600)).toBeGreaterThan(1.01);
  });

  it('is the time between failures where a save takes longer than two of these', () => {
    expect(dalyInterval(300, 100)).toBe(100);
  });

  it('at the rate of Llama 3 expects a failure about every three hours of 16,384 devices', () => {
    expect(mtbfSeconds(16_384, DEVICE_DAYS.usual) / 3600).toBeCloseTo(3.09, 2);
  });
});
