/** The same numbers for the same seed on every machine (mulberry32), so that a failure can be run again. */
export interface Random {
  /** A whole number from 0 up to but not including n. */
  below(n: number): number;
  chance(probability: number): boolean;
  of<T>(values: readonly T[]): T;
}

export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n: number) => Math.floor(next() * n);
  return { below, chance: (probability) => next() < probability, of: (values) => values[below(values.length)]! };
}
