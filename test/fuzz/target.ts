/** One door that hostile input may come through, with what must hold whatever comes. */
import fc from 'fast-check';

export interface Target<T = unknown> {
  name: string;
  inputs: fc.Arbitrary<T>;
  /** How many of them `npm test` has time for, where an answer is waited for. */
  slice?: number;
  /** @throws Error where what must hold does not */
  check(input: T): Promise<void> | void;
  close?(): Promise<void>;
}

/** What an input may cost in CPU time, which a busy machine does not stretch; and after which one that only waits hangs. */
export const LIMIT_MS = 5_000;
const HANGS_MS = 120_000;
/** What the whole process may have come to after a part, of whatever inputs. */
const MEMORY_MB = 2_000;

export interface Outcome {
  inputs: number;
  /** Of CPU time: of all inputs, and of the one that took most. */
  seconds: number;
  slowestMs: number;
  /** Of the whole process, afterwards. */
  rssMb: number;
  /** What did not hold, with the smallest input found and the seed that finds it again. */
  failure?: string;
}

/** Holds a target against random inputs; the same seed gives the same ones. */
export async function fuzz(target: Target, inputs: number, seed: number): Promise<Outcome> {
  const began = cpuMs();
  let slowestMs = 0;
  const property = fc.asyncProperty(target.inputs, async (input) => {
    const from = cpuMs();
    await withinLimit(target.check(input));
    const took = cpuMs() - from;
    slowestMs = Math.max(slowestMs, took);
    if (took > LIMIT_MS) throw new Error(`took ${Math.round(took)} ms, more of CPU time than ${LIMIT_MS}`);
  });
  const details = await fc.check(property, { numRuns: inputs, seed, endOnFailure: false });
  const rssMb = process.memoryUsage.rss() / 2 ** 20;
  return {
    inputs: details.numRuns,
    seconds: (cpuMs() - began) / 1000,
    slowestMs,
    rssMb,
    ...(rssMb > MEMORY_MB && {
      failure: `took ${Math.round(rssMb)} MB of memory, more than ${MEMORY_MB}; seed ${seed}`,
    }),
    ...(details.failed && {
      failure: `${String(details.errorInstance)}; input ${fc.stringify(details.counterexample).slice(0, 600)}; seed ${seed}`,
    }),
  };
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function withinLimit(checking: Promise<void> | void): Promise<void> {
  if (!checking) return;
  let timer: NodeJS.Timeout | undefined;
  const hangs = new Promise<never>((_, fail) => {
    timer = setTimeout(() => fail(new Error(`hangs for more than ${HANGS_MS / 1000} s`)), HANGS_MS);
  });
  await Promise.race([checking, hangs]).finally(() => clearTimeout(timer));
}
