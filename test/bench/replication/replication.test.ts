import { describe, expect, it } from 'vitest';
import { middleOf, pairOf } from './figures.js';

describe('a pair of stretches', () => {
  // Saves at 10 and 20; steps of 100 ms, and of 150 while the first save is copied.
  const stepMs = new Map(
    Array.from({ length: 20 }, (_, index) => [11 + index, index < 3 ? 150 : 100] as [number, number]),
  );
  const [copied, plain] = [
    { iteration: 10, copiedForMs: 400 },
    { iteration: 20, copiedForMs: undefined },
  ];

  it('compares the steps that had begun while copying with as many after the other save, in either order', () => {
    const pair = { beside: 1.5, overall: 1.15, steps: 3 };
    expect(pairOf(stepMs, [copied, plain], 10)).toEqual(pair);
    expect(pairOf(stepMs, [plain, copied], 10)).toEqual(pair);
  });

  it('counts all of a stretch whose save was copied for longer', () => {
    expect(pairOf(stepMs, [{ ...copied, copiedForMs: 60_000 }, plain], 10)).toMatchObject({ beside: 1.15, steps: 10 });
  });

  it('is none where the log lacks a step', () => {
    expect(() => pairOf(stepMs, [copied, plain], 11)).toThrow('no iteration 31');
  });
});

it.each([
  // Tables of the sign test: with 8 values the 1st and the last at 99.2 %, with 10 the 2nd and the 9th at 97.9 %, with 20 the 6th and the 15th at 95.9 %.
  [5, 3, 1, 5, 0.9375],
  [8, 4.5, 1, 8, 0.9921875],
  [10, 5.5, 2, 9, 0.978515625],
  [20, 10.5, 6, 15, 0.95861],
])('the interval for the median of %d values is that of the sign test', (count, median, low, high, confidence) => {
  const values = Array.from({ length: count }, (_, index) => ((index * 7) % count) + 1);
  const found = middleOf(values);
  expect(found).toMatchObject({ median, low, high });
  expect(found.confidence).toBeCloseTo(confidence, 4);
});
