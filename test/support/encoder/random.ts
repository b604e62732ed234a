/** Choices that a seed gives again, so that a failure can be run again. */
import { uniform } from '../../../infra/demo/random.js';

export interface Random {
  /** A whole number from 0 up to but not including n. */
  below(n: number): number;
  chance(probability: number): boolean;
  of<T>(values: readonly T[]): T;
}

export function createRandom(seed: number): Random {
  const next = uniform(seed);
  const below = (n: number) => Math.floor(next() * n);
  return { below, chance: (probability) => next() < probability, of: (values) => values[below(values.length)]! };
}
