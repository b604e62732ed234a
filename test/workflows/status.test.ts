/** What is kept of a run's progress, and the page that a person reads. */
import { describe, expect, it } from 'vitest';
import { progressOf } from '../../workflows/shard-progress.js';
import {
  addEvent,
  addPoints,
  describeRun,
  enterPhase,
  isNewsDue,
  newState,
  noteReplicated,
  noteWriter,
  thinned,
} from '../../workflows/status.js';
import { isProgressDue, isShardNewsDue, RAREST } from '../../workflows/dataset-figures.js';
import { duration } from '../../workflows/duration.js';
import { noteTrained } from '../../workflows/ledger.js';

const at = (clock: string): number => Date.parse(`2026-01-01T${clock}Z`);

describe('the status page', () => {
  it('of a run that waits says for what', () => {
    const state = newState('nightly', 'wiki', 200);
    state.waitsFor = '3 of the pool "default"';
    expect(describeRun(state)).toMatchInlineSnapshot(`
      "**nightly** · series wiki · nodes · waits for 3 of the pool "default"

      iteration 0 of 200
      checkpoint: none yet
      generation 0 · nodes none · spares none
      "
    `);
  });

  it('of a run that preprocesses says how far it is, how fast and for how long, until the next phase', () => {
    const state = newState('nightly', 'wiki', 200);
    enterPhase(state, 'data', at('02:00:05'));
    const plans = [1, 2, 3].map((part) => ({
      files: [{ path: `${part}.jsonl`, size: part * 1e9 }],
      slice: { index: 0, of: 2 },
    }));
    const done = { documents: 1000, tokens: 450_000 };
    state.preprocessed = progressOf(plans, [done, undefined, done], 50);
    expect(describeRun(state)).toContain(
      '\npreprocessing: 66.7 % of 3.0 GB · 2,000 documents, 900,000 tokens · 40.0 MB/s · about 25 s left\n',
    );
    state.preprocessed = progressOf(plans, [done, done, done], 75);
    expect(describeRun(state)).toContain('preprocessing: 100.0 % of 3.0 GB');
    expect(describeRun(state)).toContain(' · merging\n');
    enterPhase(state, 'restore', at('02:10:00'));
    expect(describeRun(state)).not.toContain('preprocessing');
  });

  it('is told of a dataset at its first shard, then rarer with age: some sixty times in ten hours', () => {
    expect(isProgressDue(1000, Infinity)).toBe(true);
    let [told, last] = [0, 0];
    for (let now = 0; now < 10 * 3_600_000; now += 1000)
      if (isProgressDue(now, now - last)) [told, last] = [told + 1, now];
    expect(told).toBeGreaterThan(40);
    expect(told).toBeLessThan(70);
  });

  it.each<[what: string, underWay: [number, [documents: number, bytes: number]][], expected: object]>([
    ['nothing of those that said nothing', [], { documents: 1000, bytes: 1e9 }],
    ['what those under way said last', [[0, [400, 4e8]]], { documents: 1400, bytes: 1.4e9 }],
    [
      'all of a few',
      [
        [0, [400, 4e8]],
        [2, [5, 1e8]],
      ],
      { documents: 1405, bytes: 1.5e9 },
    ],
    ['one that was begun again from the beginning', [[0, [0, 0]]], { documents: 1000, bytes: 1e9 }],
    ['one that is done once', [[1, [900, 9e8]]], { documents: 1000, bytes: 1e9 }],
    [
      'one that has read all as not done',
      [
        [0, [1000, 1e9]],
        [2, [1000, 1e9 + 7]],
      ],
      { documents: 3000, bytes: 3e9 - 2 },
    ],
  ])('counts, of three shards of which the second is done, %s', (_, underWay, expected) => {
    const plans = [0, 1, 2].map((index) => ({ files: [{ path: 'a', size: 3e9 }], slice: { index, of: 3 } }));
    const said = underWay.map(
      ([place, [documents, bytes]]) => [place, { documents, tokens: documents, bytes }] as const,
    );
    const shards = [undefined, { documents: 1000, tokens: 1000 }, undefined];
    const progress = progressOf(plans, shards, 10, new Map(said));
    expect(progress).toMatchObject({ ...expected, of: 3e9, seconds: 10 });
    expect(progress.tokens).toBe(progress.documents);
  });

  it('says of one large file how fast it is and how long it takes while it is under way', () => {
    const state = newState('nightly', 'wiki', 200);
    enterPhase(state, 'data', at('02:00:05'));
    const plans = [{ files: [{ path: 'all.jsonl.gz', size: 4e9 }], slice: { index: 0, of: 1 } }];
    const said = { documents: 7, tokens: 70, bytes: 1e9 };
    state.preprocessed = progressOf(plans, [undefined], 100, new Map([[0, said]]));
    expect(describeRun(state)).toContain(
      '\npreprocessing: 25.0 % of 4.0 GB · 7 documents, 70 tokens · 10.0 MB/s · about 5 min left\n',
    );
  });

  it('gives no time left of what has read nothing yet', () => {
    const nothing = { documents: 0, tokens: 0, bytes: 0, of: 4e9, seconds: 10 };
    expect(describeRun({ ...newState('nightly', 'wiki', 200), preprocessed: nothing })).toContain(
      'preprocessing: 0.00 % of 4.0 GB · 0 documents, 0 tokens · 0.0 MB/s\n',
    );
  });

  it.each([
    [1, 150, 160],
    [8, 1200, 1280],
    [1000, 0, 1280],
  ])('hears of %i shards at a time that take a day, each by itself, from %i to %i times', (atATime, least, most) => {
    let [said, last] = [0, 0];
    for (let now = 0; now < 24 * 3_600_000; now += 1000)
      if (isShardNewsDue(now, now - last, atATime)) [said, last] = [said + 1, now];
    expect(said * atATime).toBeGreaterThanOrEqual(least);
    expect(said * atATime).toBeLessThanOrEqual(most);
  });

  it('hears of a shard after ten seconds, and of a day-old dataset at least every fifteen minutes', () => {
    expect([8_999, 9_999].map((age) => isShardNewsDue(age, age, 1))).toEqual([false, true]);
    const day = 24 * 3_600_000;
    expect([isShardNewsDue(day, RAREST - 60_000, 1), isProgressDue(day, RAREST, RAREST)]).toEqual([true, true]);
    expect(isProgressDue(day, RAREST)).toBe(false);
  });

  it('of a run on fewer nodes than it asks for says on how many, and what it waits for', () => {
    const state = { ...newState('nightly', 'wiki', 200), nodes: ['n1', 'n2', 'n3'], fewerThan: 4 };
    expect(describeRun(state)).toContain('\non 3 of 4 nodes, waits for one more\n');
    expect(describeRun({ ...state, fewerThan: 5 })).toContain('\non 3 of 5 nodes, waits for 2 more\n');
    expect(describeRun({ ...state, spares: ['n4'] })).toContain('\non 3 of 4 nodes, the others join at a checkpoint\n');
  });

  it('of a run that trains says how far it is, how sure, where and for how long', () => {
    const state = newState('nightly', 'wiki', 200);
    enterPhase(state, 'data', at('02:00:05'));
    enterPhase(state, 'train', at('02:30:00'));
    Object.assign(state, {
      ...{ nodes: ['n1', 'n3'], spares: [], generation: 2, child: 'nightly/gen-2', target: 100 },
      ...{ iteration: 40, replicated: 25, loss: 3.14159, secondsPerIteration: 30, asOf: at('03:00:00') },
      failures: [{ generation: 1, startedFrom: 0, endedAt: 25, culprit: 'n2', cause: 'node' }],
      ...{ tokensPerIteration: 64 * 4096, devices: 8, copies: { n1: ['n3'], n3: ['n1'] } },
      requests: [
        {
          ...{ id: 1, at: at('02:50:00'), update: 'pauseTraining', who: 'ann', why: 'fans' },
          ...{ answer: 'the run pauses when iteration 50 is saved and copied' },
        },
        {
          ...{ id: 2, at: at('02:51:00'), update: 'drainNode', about: 'n2', who: 'bob', why: 'dust', answer: 'soon' },
          ended: { at: at('02:52:00'), how: 'the gang is n1, n3' },
        },
      ],
    });
    addEvent(state, at('02:45:00'), 'generation 1 failed at iteration 31: n2 did not answer');
    expect(describeRun(state)).toMatchInlineSnapshot(`
      "**nightly** · series wiki · train

      iteration 40 of 200 (this run ends at 100) · loss 3.1416 · 8,738 tokens/s · about 30 min left · as of 03:00:00 UTC
      node time: data 50 %, generation 0 50 %
      checkpoint: iteration 25, complete and copied
      copies: n1 keeps those of n3; n3 keeps those of n1
      generation 2 (nightly/gen-2) · nodes n1, n3 · spares none
      roles: n1 ranks 0–7, rendezvous; n3 ranks 8–15, prints iterations
      failures: 1, the last one of generation 1: node on n2
      asked 02:50:00 by ann: pauseTraining (fans): the run pauses when iteration 50 is saved and copied

      - 02:45:00 generation 1 failed at iteration 31: n2 did not answer"
    `);
  });
});

it('the status page says where the time of its nodes went, also where nothing was heard since a phase began', () => {
  const state = { ...newState('r', 's', 100), nodes: ['n1'] };
  enterPhase(state, 'check', at('02:00:00'));
  enterPhase(state, 'train', at('02:15:00'), 0);
  state.asOf = at('02:50:00');
  noteTrained(state, state.asOf, { iteration: 50, secondsPerIteration: 36 });
  enterPhase(state, 'paused', at('03:00:00'));
  const page = describeRun(state);
  expect(page).toContain(' · 50 % of the time trained\n');
  expect(page).toContain('\nnode time: train 50 %, check 25 %, save 17 %, start-up 8 %\n');
});

it('the status page says that a node is slow, and since when', () => {
  const state = newState('r', 's', 10);
  state.slow = { since: 126, was: 3, is: 4.25 };
  expect(describeRun(state)).toContain('slow: a step takes 4.25 s since iteration 126, and took 3.00 s at first.');
});

describe('the curve', () => {
  it('forgets what came after the point at which a run goes on again', () => {
    const state = newState('r', 's', 10);
    addPoints(state, [[1, 9], [2, 8], [3, 7]]); // prettier-ignore
    addPoints(state, [[2, 8.5], [3, 7.5]]); // prettier-ignore
    addPoints(state, []);
    expect(state.curve).toEqual([[1, 9], [2, 8.5], [3, 7.5]]); // prettier-ignore
  });

  it('keeps first and last of the points that it thins', () => {
    const points = Array.from({ length: 1000 }, (_, index): [number, number] => [index + 1, 1]);
    const kept = thinned(points, 60);
    expect(kept.length).toBeLessThanOrEqual(60);
    expect([kept[0], kept.at(-1)]).toEqual([points[0], points.at(-1)]);
    expect(kept).toEqual([...kept].sort((a, b) => a[0] - b[0]));
  });
});

it('of a run that has ended the page says what to type to see its curves, and whose part is missing', () => {
  const state = newState('r', 's', 100);
  const path = '/data/series/s/tensorboard';
  state.curves = { node: 'n2', path, files: 2, bytes: 9 };
  expect(describeRun(state)).toContain(`curves: tensorboard --logdir ${path} on n2, 2 files\n`);
  state.curves = { ...state.curves, files: 1, missing: ['n1'] };
  expect(describeRun(state)).toContain('on n2, 1 file; without what n1 wrote\n');
});

it('whoever has the last rank writes, and each is known once, the newest last', () => {
  const state = newState('r', 's', 100);
  for (const node of ['n1', 'n2', 'n1']) noteWriter(state, node);
  expect(state.writers).toEqual(['n2', 'n1']);
  for (let node = 3; node < 50; node++) noteWriter(state, `n${node}`);
  expect(state.writers).toHaveLength(20);
});

it('of a checkpoint that was found, and not heard of when it was complete, no age is told', () => {
  const state = newState('r', 's', 100);
  const known = (iteration: number, at?: number) => {
    noteReplicated(state, iteration, at);
    return [state.replicated, state.replicatedAt];
  };
  expect([known(10, 1000), known(10), known(20, 2000), known(10)]).toEqual([
    [10, 1000],
    [10, 1000],
    [20, 2000],
    [10, undefined],
  ]);
});

it('only the newest events are kept', () => {
  const state = newState('r', 's', 10);
  for (let index = 0; index < 60; index++) addEvent(state, index, `event ${index}`);
  expect(state.events).toHaveLength(50);
  expect(state.events.at(-1)!.text).toBe('event 59');
});

it('a phase ends when the next begins, and each generation is one', () => {
  const state = newState('r', 's', 10);
  state.generation = 3;
  enterPhase(state, 'check', 1);
  enterPhase(state, 'train', 5);
  enterPhase(state, 'failed', 9);
  expect(state.phases).toEqual([
    { name: 'check', from: 1, to: 5 },
    { name: 'generation 3', from: 5, to: 9 },
  ]);
});

it('a run hears every word at first, and a quarter of an hour late at most in a training of months', () => {
  const MINUTE = 60_000;
  let told = 0;
  let lastAt = -Infinity;
  const toldAt: number[] = [];
  for (let age = 0; age < 90 * 24 * 60 * MINUTE; age += MINUTE) {
    if (!isNewsDue(age, age - lastAt)) continue;
    toldAt.push(age);
    lastAt = age;
    told++;
  }
  expect(toldAt.slice(0, 40)).toEqual(Array.from({ length: 40 }, (_, index) => index * MINUTE));
  expect(told).toBeLessThan(9000);
  // Of one that a fault ends after six hours.
  expect(toldAt.filter((age) => age < 6 * 60 * MINUTE).length).toBeLessThan(150);
});

it.each([
  [12.4, '12 s'],
  [89, '89 s'],
  [100, '2 min'],
  [5399, '90 min'],
  [7200, '2.0 h'],
])('%d seconds are %s', (seconds, text) => expect(duration(seconds)).toBe(text));
