/** When silence is a hang: by table, and for every pace that training may have. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createHangDetector, type HangDetector } from '../../activities/hang-detector.js';
import { createStepTrend } from '../../activities/step-trend.js';
import type { LogEvent } from '../../activities/training-log.js';
import type { HangLimits } from '../../workflows/contract.js';

const SECOND = 1_000;
const LIMITS: HangLimits = { floorMs: 60 * SECOND, startMs: 600 * SECOND, startedFrom: 0, saveEvery: 10 };

/** A detector with a clock that is looked at every second, as a watcher does. */
function watched(limits: Partial<HangLimits> = {}) {
  const detector = createHangDetector({ ...LIMITS, ...limits }, 0);
  let now = 0;
  const pass = (ms: number) => {
    for (const end = now + ms; now < end;) {
      now = Math.min(end, now + SECOND);
      const silence = detector.look(now);
      if (silence) return silence;
    }
    return undefined;
  };
  return { detector, pass, tell: (event: LogEvent) => detector.take(event, now), jump: (ms: number) => (now += ms) };
}
type Watched = ReturnType<typeof watched>;

const iteration = (n: number, stepMs = SECOND): LogEvent => ({
  kind: 'iteration',
  iteration: n,
  of: 1000,
  msPerIteration: stepMs,
});

/** Steps with nothing wrong; the first begins after the start. */
function train({ pass, tell }: Watched, from: number, to: number, stepMs = SECOND): void {
  for (let n = from; n <= to; n++) {
    expect(pass(stepMs)).toBeUndefined();
    tell(iteration(n, stepMs));
  }
}

describe('training hangs', () => {
  it('when a step takes longer than a minute and than five steps', () => {
    const run = watched();
    train(run, 1, 5);
    expect(run.pass(59 * SECOND)).toBeUndefined();
    expect(run.pass(3 * SECOND)).toMatchObject({ phase: 'step', iteration: 5, allowedMs: 60 * SECOND });
  });

  it('and not when its steps take that long', () => {
    const run = watched();
    train(run, 1, 5, 100 * SECOND);
    expect(run.pass(499 * SECOND)).toBeUndefined();
    expect(run.pass(3 * SECOND)).toMatchObject({ allowedMs: 500 * SECOND });
  });

  it('nor when only every tenth is printed', () => {
    const run = watched({ saveEvery: 1000 });
    for (let n = 10; n <= 50; n += 10) {
      expect(run.pass(200 * SECOND)).toBeUndefined();
      run.tell(iteration(n, 20 * SECOND));
    }
    expect(run.pass(990 * SECOND)).toBeUndefined();
    expect(run.pass(20 * SECOND)).toMatchObject({ iteration: 50 });
  });

  it('when its start takes longer than it may, and the phase is named', () => {
    const run = watched();
    expect(run.pass(300 * SECOND)).toBeUndefined();
    run.tell({ kind: 'indexing' });
    expect(run.pass(599 * SECOND)).toBeUndefined();
    run.tell({ kind: 'indexed' });
    run.tell({ kind: 'stepping' });
    expect(run.pass(700 * SECOND)).toMatchObject({ phase: 'firstStep', allowedMs: 600 * SECOND, iteration: 0 });
  });

  it('and not when an earlier generation needed that long', () => {
    const run = watched({ pace: { start: 400 * SECOND } });
    expect(run.pass(1_199 * SECOND)).toBeUndefined();
    expect(run.pass(2 * SECOND)).toMatchObject({ phase: 'start' });
  });

  it('after the iteration that is saved only when a save takes long as well', () => {
    const run = watched();
    train(run, 1, 10);
    expect(run.pass(500 * SECOND)).toBeUndefined();
    run.tell({ kind: 'saveTimer' });
    expect(run.detector.pace().save).toBe(500 * SECOND);
    train(run, 11, 20);
    expect(run.pass(2_500 * SECOND)).toBeUndefined();
    expect(run.pass(70 * SECOND)).toMatchObject({ phase: 'save', allowedMs: 2_560 * SECOND });
  });

  it('after an evaluation as well, and the save that follows it', () => {
    const run = watched({ evaluateEvery: 5, pace: { save: 100 * SECOND, evaluation: 20 * SECOND } });
    train(run, 1, 5);
    expect(run.pass(20 * SECOND)).toBeUndefined();
    run.tell({ kind: 'evaluated' });
    train(run, 6, 10);
    expect(run.pass(659 * SECOND)).toBeUndefined();
    expect(run.pass(3 * SECOND)).toMatchObject({ phase: 'evaluation', allowedMs: 660 * SECOND });
  });

  it('and not because nobody looked for an hour: it may be the machine that stood still', () => {
    const run = watched();
    train(run, 1, 5);
    run.jump(3_600 * SECOND);
    expect(run.pass(58 * SECOND)).toBeUndefined();
    expect(run.pass(5 * SECOND)).toMatchObject({ phase: 'step' });
  });
});

/** Steps of a run, each between half and twice the usual, saves in between. */
const runs = fc.record({
  usual: fc.integer({ min: 10, max: 300_000 }),
  factors: fc.array(fc.double({ min: 0.5, max: 2, noNaN: true }), { minLength: 1, maxLength: 60 }),
  saveEvery: fc.integer({ min: 1, max: 20 }),
});

function play(
  detector: HangDetector,
  { usual, factors, saveEvery }: { usual: number; factors: number[]; saveEvery: number },
): number {
  let now = 0;
  const wait = (ms: number) => {
    for (let left = ms; left > 0; left -= 500) {
      now += Math.min(left, 500);
      expect(detector.look(now)).toBeUndefined();
    }
  };
  factors.forEach((factor, index) => {
    wait(usual * factor);
    detector.take(iteration(index + 1, usual * factor), now);
    if ((index + 1) % saveEvery !== 0) return;
    wait(30 * SECOND);
    detector.take({ kind: 'saveTimer' }, now);
  });
  return now;
}

it('no run whose steps vary by four is ever taken for hung, and every one that stops is', () => {
  fc.assert(
    fc.property(runs, (run) => {
      const detector = createHangDetector({ ...LIMITS, saveEvery: run.saveEvery }, 0);
      const end = play(detector, run);
      const patience = 60 * SECOND + 10 * Math.max(2 * run.usual, 60 * SECOND);
      let found;
      for (let now = end; now < end + patience + 1_000 && !found; now += 1_000) found = detector.look(now);
      expect(found?.iteration).toBe(run.factors.length);
    }),
    { numRuns: 50 },
  );
});

describe('steps', () => {
  const add = (trend: ReturnType<typeof createStepTrend>, from: number, count: number, ms: number) => {
    for (let n = from; n < from + count; n++) trend.add(n, ms);
  };

  it('that take a third longer than at first are slow, until they no longer do', () => {
    const trend = createStepTrend();
    add(trend, 1, 5, 60_000);
    add(trend, 6, 100, 3_000);
    expect(trend.slow()).toBeUndefined();
    add(trend, 106, 40, 4_000);
    expect(trend.slow()).toEqual({ since: 125, was: 3, is: 4 });
    add(trend, 146, 100, 4_500);
    expect(trend.slow()).toEqual({ since: 125, was: 3, is: 4.5 });
    add(trend, 246, 40, 3_100);
    expect(trend.slow()).toBeUndefined();
  });

  it('of which a few take long are not', () => {
    const trend = createStepTrend();
    for (let n = 1; n < 500; n++) trend.add(n, n % 10 === 0 ? 30_000 : 3_000);
    expect(trend.slow()).toBeUndefined();
  });
});
