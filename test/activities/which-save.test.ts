import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createWhichSave, nextSave, strideOf } from '../../activities/which-save.js';

const INTERVAL = 10;

/** Copiers that begin anew as soon as they are done; time goes by iterations. @returns what each has done by `until` */
function copied(costs: number[], until: number, interval?: number): number[][] {
  return costs.map((cost) => {
    const which = createWhichSave({ interval, every: undefined });
    const done: number[] = [];
    let seen = 0;
    for (let now = 0; now < until; now++) {
      const next = which.next(seen, Math.floor(now / INTERVAL) * INTERVAL, false);
      if (next === undefined) continue;
      now += cost;
      if (now >= until) break;
      which.isDone();
      done.push((seen = next));
    }
    return done;
  });
}

const whole = ([first = [], ...others]: number[][]) => first.filter((it) => others.every((done) => done.includes(it)));

test('nodes that need several saves’ time for one copy the same ones, whatever each needs', () => {
  const cost = fc.integer({ min: 1, max: 300 });
  fc.assert(
    fc.property(fc.array(cost, { minLength: 2, maxLength: 6 }), (costs) => {
      const longest = Math.max(...costs);
      const until = 20 * (longest + INTERVAL);
      const newest = Math.max(0, ...whole(copied(costs, until, INTERVAL)));
      expect(until - newest).toBeLessThanOrEqual(6 * (longest + INTERVAL));
    }),
    { seed: 7 },
  );
});

test('without that they copy different ones: of four that are behind hardly a save is whole', () => {
  const costs = [23, 31, 37, 43];
  expect(whole(copied(costs, 4000)).length).toBeLessThan(4);
  expect(whole(copied(costs, 4000, INTERVAL)).length).toBeGreaterThan(40);
});

test('a node that keeps up copies every save, and one that is quick again does so again', () => {
  expect(copied([3], 100, INTERVAL)).toEqual([[10, 20, 30, 40, 50, 60, 70, 80, 90]]);
  const which = createWhichSave({ interval: INTERVAL, every: undefined });
  expect(which.next(0, 10, false)).toBe(10);
  which.isDone();
  // Two came meanwhile, which may be chance; and two again: every fourth from now on.
  expect(which.next(10, 30, false)).toBe(30);
  which.isDone();
  expect(which.next(30, 50, false)).toBe(40);
  which.isDone();
  // None came meanwhile.
  expect(which.next(40, 50, false)).toBe(50);
});

test('the last save is taken whatever its number, and what is kept for ever is never left out', () => {
  const which = createWhichSave({ interval: INTERVAL, every: 50 });
  expect(which.next(0, 10, false)).toBe(10);
  which.isDone();
  expect(which.next(10, 70, false)).toBe(50);
  expect(which.next(50, 70, true)).toBe(70);
  expect([nextSave(0, 40, 50, 40), nextSave(0, 60, 50, 80), nextSave(50, 60, 50, 80)]).toEqual([40, 50, undefined]);
});

test('who waits for a writer that takes fewer comes to what that takes; trouble is not counted', () => {
  const which = createWhichSave({ interval: INTERVAL, every: undefined });
  expect(which.next(0, 120, false)).toBe(120);
  which.isWaiting();
  expect(which.next(0, 130, false)).toBe(120);
  which.isWaiting();
  expect(which.next(0, 170, false)).toBe(160);
  which.hasFailed();
  expect(which.next(0, 250, false)).toBe(250);
  expect([0, 0.5, 1, 2, 3, 4, 7, 8].map(strideOf)).toEqual([1, 1, 2, 4, 4, 8, 8, 16]);
});
