/** One door that hostile input may come through, with what must hold whatever comes. */
import fc from 'fast-check';

export interface Target<T = unknown> {
  name: string;
  inputs: fc.Arbitrary<T>;
  /** @throws Error where what must hold does not */
  check(input: T): Promise<void> | void;
  close?(): Promise<void>;
}

/** How often an input costs a file or a connection is the target's matter, so an input may take this long at most. */
export const LIMIT_MS = 5_000;

export interface Outcome {
  inputs: number;
  seconds: number;
  slowestMs: number;
  /** Of the whole process, afterwards. */
  rssMb: number;
  /** What did not hold, with the smallest input found and the seed that finds it again. */
  failure?: string;
}

/** Holds a target against random inputs; the same seed gives the same ones. */
export async function fuzz(target: Target, inputs: number, seed: number): Promise<Outcome> {
  const began = performance.now();
  let slowestMs = 0;
  const property = fc.asyncProperty(target.inputs, async (input) => {
    const from = performance.now();
    await target.check(input);
    const took = performance.now() - from;
    slowestMs = Math.max(slowestMs, took);
    if (took > LIMIT_MS) throw new Error(`took ${Math.round(took)} ms, more than ${LIMIT_MS}`);
  });
  const details = await fc.check(property, { numRuns: inputs, seed, endOnFailure: false });
  return {
    inputs: details.numRuns,
    seconds: (performance.now() - began) / 1000,
    slowestMs,
    rssMb: process.memoryUsage.rss() / 2 ** 20,
    ...(details.failed && {
      failure: `${String(details.errorInstance)}; input ${fc.stringify(details.counterexample).slice(0, 600)}; seed ${seed}`,
    }),
  };
}
