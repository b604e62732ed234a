/** What a training log says of steps beside copying and without it, in pairs. Pure. */

/** From one save to the next that something is planned for. */
export interface Stretch {
  /** The save that it follows. */
  iteration: number;
  /** How long that save was hashed and copied on all nodes, from its end on; `undefined` where it was not. */
  copiedForMs: number | undefined;
}

export interface Pair {
  /** Time of a step while copying over that of as many steps after the save of the other stretch. */
  beside: number;
  /** The same over whole stretches. */
  overall: number;
  /** How many steps that is. */
  steps: number;
}

/** @param stepMs time of each iteration, by its number; without the time of saves, as Megatron prints it */
export function pairOf(stepMs: Map<number, number>, [one, other]: [Stretch, Stretch], length: number): Pair {
  const [copied, plain] = one.copiedForMs === undefined ? [other, one] : [one, other];
  const [ours, theirs] = [copied, plain].map(({ iteration }) =>
    Array.from({ length }, (_, index) => {
      const ms = stepMs.get(iteration + 1 + index);
      if (ms === undefined) throw new Error(`the training log has no iteration ${iteration + 1 + index}`);
      return ms;
    }),
  ) as [number[], number[]];
  const steps = stepsWithin(ours, copied.copiedForMs!);
  const ratio = (count: number) => sum(ours.slice(0, count)) / sum(theirs.slice(0, count));
  return { beside: ratio(steps), overall: ratio(length), steps };
}

/** Steps that had begun by then. */
function stepsWithin(steps: number[], ms: number): number {
  let count = 0;
  for (let passed = 0; count < steps.length && passed < ms; count++) passed += steps[count]!;
  return count;
}

export interface Middle {
  median: number;
  /** Interval for the median by the sign test: nothing is assumed of how the values are spread. */
  low: number;
  high: number;
  /** How surely the median is in it, at least 0.95 where there are six values or more. */
  confidence: number;
}

export function middleOf(values: number[]): Middle {
  const sorted = values.toSorted((a, b) => a - b);
  const count = sorted.length;
  // That fewer than `outside + 1` of them are on one side of the median, twice.
  let [outside, chance] = [0, 0.5 ** count];
  for (let next = chance; ;) {
    next += binomial(count, outside + 1) * 0.5 ** count;
    if (2 * next > 0.05 || 2 * (outside + 1) >= count - 1) break;
    [outside, chance] = [outside + 1, next];
  }
  const at = (place: number) => sorted[place]!;
  const median = (at(Math.floor((count - 1) / 2)) + at(Math.floor(count / 2))) / 2;
  return { median, low: at(outside), high: at(count - 1 - outside), confidence: 1 - 2 * chance };
}

const binomial = (n: number, k: number): number => (k === 0 ? 1 : (binomial(n, k - 1) * (n - k + 1)) / k);
const sum = (numbers: number[]): number => numbers.reduce((total, one) => total + one, 0);
