/** The matrix is worth what its checker finds: each invariant names a case that breaks it, and is silent on a sound one. */
import { describe, expect, it } from 'vitest';
import type { GenerationInput } from '../../workflows/generation-progress.js';
import type { GenerationHistory } from './histories.js';
import { brokenInvariants, iterationsLost, rowOf, type Evidence } from './invariants.js';

const TOTAL = 6;
const expected = new Map(Array.from({ length: TOTAL }, (_, index) => [index + 1, `loss ${index + 1}`]));
const node = (name: string) => ({ name, address: name, port: 1, devices: 1, profile: 'cpu' as const });

function generation(number: number, startedFrom: number, changes: Partial<GenerationHistory> = {}): GenerationHistory {
  const input: Partial<GenerationInput> = {
    ...{ token: number, startedFrom, nodes: [node('n1')], spares: [node('n2')], writes: [['mp_rank_00']] },
    copies: { n2: [{ shard: 'mp_rank_00', from: { name: 'n1', url: '' } }] },
  };
  const at = number * 1000;
  return {
    ...{ run: 'r', generation: number, input: input as GenerationInput, startedAt: at, closedAt: at + 900 },
    ...{ outcome: 'finished' as const, copied: [], parts: [], firstFailure: undefined },
    ...changes,
  };
}

const trained = (number: number, from: number, to: number): Evidence['trained'] =>
  Array.from({ length: to - from + 1 }, (_, index) => ({
    ...{ run: 'r', node: 'n1', generation: number, token: number, iteration: from + index },
    ...{ loss: `loss ${from + index}`, at: number * 1000 + 10 * index },
  }));

/** Killed at iteration 4; the save at 2 is copied, and generation 2 goes on from there. */
const sound: Evidence = {
  case: { name: 'killed', steps: [], lost: 'since the checkpoint' },
  played: {
    runs: ['r'],
    strikes: [{ fault: 'killRank', node: 'n1', at: 1500, generation: 1, iteration: 4 }],
    ended: { result: { iteration: TOTAL } },
  },
  generations: [
    generation(1, 0, {
      outcome: 'failed',
      firstFailure: { at: 1600, what: 'watch' },
      copied: [
        { task: 'n1', iteration: 2, at: 1100 },
        { task: 'n2', iteration: 2, at: 1200 },
      ],
    }),
    generation(2, 2),
  ],
  restores: [{ run: 'r', node: 'n1', iteration: 2, at: 1900 }],
  checkpoints: [
    { run: 'r', node: 'n1', generation: 1, what: 'saved', iteration: 2 },
    { run: 'r', node: 'n1', generation: 2, what: 'loaded', iteration: 2 },
  ],
  preparationsFailed: [],
  taskFailures: [],
  trained: [...trained(1, 1, 4), ...trained(2, 3, TOTAL)],
  ...{ expected, total: TOTAL, saveInterval: 2, remains: [] },
};

const broken: [title: string, changes: Partial<Evidence>, says: string][] = [
  ['a run that hangs', { played: { ...sound.played, ended: 'never' } }, 'the run did not end'],
  [
    'a run that fails',
    { played: { ...sound.played, ended: { failure: 'out of nodes', type: 'OutOfNodes' } } },
    'the run failed: out of nodes',
  ],
  [
    'a loss that differs after the resume',
    { trained: sound.trained.map((t) => (t.generation === 2 && t.iteration === 5 ? { ...t, loss: 'other' } : t)) },
    'trained iteration 5 to other',
  ],
  [
    'an old generation that goes on beside the new one',
    { trained: [...sound.trained.slice(0, -1), { ...trained(1, 5, 5)[0]!, at: 9000 }, sound.trained.at(-1)!] },
    'generation 1 on n1 trained iteration 5 after generation 2',
  ],
  ['an iteration that was left out', { trained: sound.trained.slice(0, -1) }, 'no rank printed iteration 6'],
  [
    'a start that is not where it was to be',
    { trained: [...trained(1, 1, 4), ...trained(2, 4, TOTAL)] },
    'was to go on from iteration 2 and began with 4',
  ],
  ['a resume without a save', { checkpoints: [] }, 'which no log calls saved'],
  ['a resume that nothing proved', { restores: [] }, 'began before n1 had proven iteration 2'],
  [
    'another checkpoint loaded than the one decided on',
    {
      checkpoints: [sound.checkpoints[0]!, { run: 'r', node: 'n1', generation: 2, what: 'loaded', iteration: 1 }],
    },
    'n1 loaded 1',
  ],
  [
    'a copied checkpoint that was passed over',
    { generations: [sound.generations[0]!, generation(2, 0)], trained: [...trained(1, 1, 4), ...trained(2, 1, TOTAL)] },
    'began at 0, though iteration 2 was copied everywhere',
  ],
  [
    'an orchestrator fault that cost iterations',
    { case: { ...sound.case, lost: 'nothing' } },
    'r took 2 generations, one was to do',
  ],
  ['a workflow task that failed', { taskFailures: ['r: workflow task 5 failed'] }, 'workflow task 5 failed'],
  [
    'a gang of another size than the case is about',
    { case: { ...sound.case, gangs: [1, 2] } },
    'the generations had 1, 1 nodes, and were to have 1, 2',
  ],
  [
    'a copy on the storage that has the original',
    { case: { ...sound.case, sharing: ['n1', 'n2'] } },
    'copies mp_rank_00 from n1 to n2, whose storage is one',
  ],
  ['something left behind', { remains: ['process 7 still runs on n1'] }, 'process 7 still runs'],
];

describe('the checker', () => {
  it('finds nothing wrong with a run that lost what it had to lose', () => {
    expect(brokenInvariants(sound)).toEqual([]);
    expect(iterationsLost(sound)).toBe(2);
    expect(rowOf(sound, 3)).toMatchObject({
      detectedIn: 0.1,
      resumedIn: 0.5,
      iterationsLost: 2,
      generations: 2,
      problems: [],
    });
  });

  it.each(broken)('finds %s', (_, changes, says) => {
    expect(brokenInvariants({ ...sound, ...changes }).join('\n')).toContain(says);
  });

  it('lets losses differ as far as a case says, and no further', () => {
    const { iteration } = sound.trained.at(-1)!;
    const undisturbed = new Map([...expected, [iteration, '5.813436E+00 0.614']]);
    const printing = (loss: string): Evidence => ({
      ...{ ...sound, expected: undisturbed, case: { ...sound.case, within: 1e-5 } },
      trained: sound.trained.map((one) => ({ ...one, ...(one.iteration === iteration && { loss }) })),
    });
    const about = (loss: string) => brokenInvariants(printing(loss)).filter((problem) => problem.includes('5.8134'));
    expect(about('5.813437E+00 0.615')).toEqual([]);
    expect(about('5.813456E+00 0.614')).toHaveLength(1);
    expect(about('5.813436E+00 0.618')).toHaveLength(1);
  });

  it('finds a save that was never copied, but for what was saved after its copier had gone for good', () => {
    const long = { ...sound, trained: [...trained(1, 1, 20), ...trained(2, 3, TOTAL)] };
    const strike = (fault: string, at: number) => ({ fault, node: 'n1', at, generation: 1, iteration: 4 });
    const about = (...strikes: Evidence['played']['strikes']) =>
      brokenInvariants({ ...long, played: { ...sound.played, strikes } }).filter((it) => it.includes('long saved'));
    const found = ['generation 2 began at 2, though 20 iterations were trained and 12 was long saved'];
    expect(about(strike('killRank', 1500))).toEqual(found);
    expect(about(strike('killAgent', 1500), strike('startAgent', 1600))).toEqual(found);
    expect(about(strike('killAgent', 1500))).toEqual([]);
  });

  it('does not ask for a checkpoint that one part left out, though both are past it', () => {
    const [before, after] = sound.generations;
    const left = [
      { task: 'n1', iteration: 4, at: 1300 },
      { task: 'n2', iteration: 6, at: 1400 },
    ];
    const generations = [{ ...before!, copied: [...before!.copied, ...left] }, after!];
    expect(brokenInvariants({ ...sound, generations })).toEqual([]);
  });

  it('takes a failure that a case asks for as its end', () => {
    const fails = { case: { ...sound.case, fails: 'NoCheckpoint' } };
    const ended = { failure: 'both copies are gone', type: 'NoCheckpoint' };
    expect(brokenInvariants({ ...sound, ...fails, played: { ...sound.played, ended } })).toEqual([]);
    expect(brokenInvariants({ ...sound, ...fails })).toEqual(['the run was to fail with NoCheckpoint']);
  });
});

describe('the bars', () => {
  const [first, second] = sound.generations;
  const nodes = [node('n1'), node('n2')];
  const timing = { heartbeat: '4s', agentAway: '5s', agentGrace: '2m', lease: '60s', stopGrace: '3s' };
  /** The host is lost at 1.5 s, which is decided upon at `closedAt`; training goes on at `next`. */
  const lostAt = (closedAt: number, next: number, strikes = ['n1']): Evidence => ({
    ...sound,
    case: { ...sound.case, core: true },
    played: {
      ...sound.played,
      strikes: strikes.map((name) => ({ fault: 'killHost', node: name, at: 1500, generation: 1, iteration: 4 })),
    },
    generations: [{ ...first!, closedAt, input: { ...first!.input, nodes, timing } }, second!],
    trained: [
      ...trained(1, 1, 4).map((t) => ({ ...t, at: t.at + 500 })),
      ...trained(2, 3, TOTAL).map((t) => ({ ...t, at: t.at - 2000 + next })),
    ],
  });
  const missed = (evidence: Evidence) => rowOf(evidence, 3).problems.filter((problem) => problem.includes('may take'));

  it('are held by a lost host that is decided upon in time, and trained on after a start', () => {
    const row = rowOf(lostAt(21_400, 41_800), 3);
    expect(row.pace).toEqual({
      ...{ decided: { took: 19.9, atMost: 20 }, startUp: 0.5 },
      resumed: { took: 20.4, atMost: 20.5 },
    });
    expect(missed(lostAt(21_400, 41_800))).toEqual([]);
  });

  it('fail a core case that misses one, and no other case', () => {
    expect(missed(lostAt(21_600, 42_400))).toEqual([
      'the decision after the fault took 20.1 s, and may take 20.0 s',
      'the next iteration after it took 20.8 s, and may take 20.5 s',
    ]);
    expect(missed({ ...lostAt(21_600, 42_400), case: sound.case })).toEqual([]);
    expect(rowOf(lostAt(21_600, 42_400), 3, 2).problems).toEqual([]);
    expect(rowOf(lostAt(41_600, 42_400), 3, 2).problems).toHaveLength(1);
  });

  it('leave the lease to a gang of which nobody is left', () => {
    expect(missed(lostAt(84_000, 90_000, ['n1', 'n2']))).toEqual([]);
    expect(missed(lostAt(85_000, 90_000, ['n1', 'n2']))).toHaveLength(1);
  });

  it('ask three seconds of a dead rank', () => {
    const { played, ...rest } = lostAt(4_600, 5_000);
    const strikes = [{ ...played.strikes[0]!, fault: 'killRank' }];
    expect(missed({ ...rest, played: { ...played, strikes } })).toHaveLength(1);
  });

  it('count a host that is lost in a preparation from then on', () => {
    const evidence = lostAt(2_000, 50_000);
    const strikes = [...evidence.played.strikes, { ...evidence.played.strikes[0]!, node: 'n3', at: 4_000 }];
    const twice = { ...evidence, played: { ...evidence.played, strikes }, preparationsFailed: [30_000] };
    expect(rowOf(twice, 3).pace).toMatchObject({ decided: { took: 26, atMost: 20 }, resumed: { took: 20 } });
  });
});
