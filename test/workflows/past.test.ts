/** A run of months: its state stays small, and its ledger says what it would with every failure spelled out. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { causesOf, effectiveTime, ledgerOf, noteHeld, noteTrained, oweToFewness } from '../../workflows/ledger.js';
import { failureCount, failuresByCause, foldPast } from '../../workflows/past.js';
import { enterPhase, newState, type RunState } from '../../workflows/status.js';

const MINUTE = 60_000;
const CAUSES = ['node', 'hang', 'unknown'] as const;

/** One generation and what comes before it. */
interface Round {
  cause: (typeof CAUSES)[number] | undefined;
  minutes: number;
  /** Iterations that it trains, and how many of them are copied. */
  trains: number;
  copied: number;
  phases: number;
  isFewer: boolean;
  folds: boolean;
}

const rounds = fc.array(
  fc.record<Round>({
    cause: fc.constantFrom(...CAUSES, undefined),
    minutes: fc.integer({ min: 1, max: 3_000 }),
    trains: fc.integer({ min: 0, max: 30 }),
    copied: fc.integer({ min: 0, max: 30 }),
    phases: fc.integer({ min: 0, max: 4 }),
    isFewer: fc.boolean(),
    folds: fc.boolean(),
  }),
  { minLength: 1, maxLength: 60 },
);

/** Plays a run; `fold` is called where it would continue as new. */
function played(all: Round[], fold: (state: RunState) => void): { state: RunState; now: number } {
  const state = newState('r', 's', 1_000_000);
  let now = 0;
  let copied = 0;
  enterPhase(state, 'nodes', now);
  for (const { cause, minutes, trains, copied: saved, phases, isFewer, folds } of all) {
    state.nodes = isFewer ? ['a', 'b'] : ['a', 'b', 'c'];
    noteHeld(state, (now += MINUTE));
    if (isFewer) state.fewerThan = 3;
    else delete state.fewerThan;
    for (let phase = 0; phase < phases; phase++) enterPhase(state, 'check', (now += MINUTE));
    state.generation++;
    enterPhase(state, 'train', (now += MINUTE), copied);
    const startedFrom = copied;
    if (trains > 0)
      noteTrained(state, now + (minutes * MINUTE) / 2, { iteration: copied + trains, secondsPerIteration: 5 });
    now += minutes * MINUTE;
    const iteration = startedFrom + trains;
    copied = startedFrom + Math.min(saved, trains);
    if (cause)
      state.failures.push({
        ...{ generation: state.generation, startedFrom, endedAt: copied, iteration, at: now, cause },
        why: `${cause}: ${'why '.repeat(80)}`,
      });
    enterPhase(state, 'nodes', now);
    if (!cause && isFewer) oweToFewness(state);
    if (folds) fold(state);
  }
  return { state, now: now + MINUTE };
}

const rounded = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value), (_, part: unknown) => (typeof part === 'number' ? Number(part.toFixed(6)) : part));

it('the ledger of a run whose past is summed up now and then is that of one that keeps everything', () => {
  fc.assert(
    fc.property(rounds, fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 6 }), (all, spans, failures) => {
      const whole = played(all, () => undefined);
      const { state, now } = played(all, (state) => foldPast(state, { spans, failures }));
      expect(rounded(ledgerOf(state, now))).toEqual(rounded(ledgerOf(whole.state, now)));
      expect(rounded(causesOf(state))).toEqual(rounded(causesOf(whole.state)));
      expect(rounded(effectiveTime(state, now) ?? 0)).toEqual(rounded(effectiveTime(whole.state, now) ?? 0));
      expect(failureCount(state)).toBe(whole.state.failures.length);
      expect(new Map(failuresByCause(state))).toEqual(new Map(failuresByCause(whole.state)));
    }),
    { numRuns: 300 },
  );
});

it('two thousand failures over two months are less than 100 kB, the newest of them with their words', () => {
  const all = Array.from({ length: 2_000 }, (_, index): Round => ({
    ...{ cause: 'node', minutes: 40, trains: 20, copied: 10, phases: 3, isFewer: false, folds: index % 20 === 0 },
  }));
  expect(JSON.stringify(played(all, () => undefined).state).length).toBeGreaterThan(1_000_000);
  const { state } = played(all, foldPast);
  foldPast(state);
  expect(JSON.stringify(state).length).toBeLessThan(100_000);
  expect(failureCount(state)).toBe(2_000);
  expect(state.failures.at(-1)!.why).toContain('why');
  expect(state.failures.length).toBeGreaterThanOrEqual(100);
});

it('no failure of the last day is dropped, however many there are: limits of a day count them', () => {
  const all = Array.from({ length: 400 }, (_, index): Round => ({
    ...{ cause: 'hang', minutes: index < 100 ? 60 : 1, trains: 2, copied: 1, phases: 0, isFewer: false, folds: true },
  }));
  const { state } = played(all, foldPast);
  const newest = state.failures.at(-1)!.at;
  const { state: whole } = played(all, () => undefined);
  const ofTheDay = ({ failures }: RunState) => failures.filter(({ at }) => newest - at < 24 * 60 * MINUTE).length;
  expect(ofTheDay(state)).toBe(ofTheDay(whole));
  expect(state.failures.length).toBeLessThan(400);
});
