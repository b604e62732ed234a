/** The decision after a failed generation, as a table. */
import { describe, expect, it } from 'vitest';
import type { Blame, Cause } from '../../workflows/failure-cause.js';
import { failureLimits } from '../../workflows/failure-limits.js';
import type { RunFile } from '../../workflows/spec-fields.js';
import { decide, type Decision, type Dropped, type FailedGeneration } from '../../workflows/recovery.js';

const MINUTE = 60_000;

/** Of an earlier generation: its cause, its culprit, where it started, how far checkpoints got, how far it trained. */
type Earlier = [cause: Cause, culprit: string | undefined, from: number, to: number, iteration?: number];

const history = (earlier: Earlier[]): FailedGeneration[] =>
  earlier.map(([cause, culprit, startedFrom, endedAt, iteration = endedAt], index) => ({
    ...{ generation: index + 1, startedFrom, endedAt, iteration, at: index * MINUTE, cause, why: `why ${index + 1}` },
    ...(culprit && { culprit }),
  }));

const saying = (text: string): unknown => expect.stringContaining(text);

interface Around {
  spares: number;
  devices: number;
  recovery: Partial<RunFile['recovery']>;
}

/** Decides about the last of these generations. */
function after(
  earlier: Earlier[],
  { spares = 1, devices = 16, recovery = {}, ...more }: Partial<Blame & Around> = {},
): Decision {
  const all = history(earlier);
  const { cause, culprit, why, ...ended } = all.pop()!;
  const blamed = { cause, nodes: culprit ? [culprit] : [], why, ...more };
  return decide(blamed, ended, all, { limits: failureLimits(recovery, devices), globalBatch: 64, spares });
}

it('counts failures that are no longer listed one by one', () => {
  const [failed] = history([['hang', 'n1', 0, 5]]);
  const { cause, culprit: _, why, ...ended } = failed!;
  const decision = (dropped: Dropped, recovery: Partial<RunFile['recovery']>) =>
    decide({ cause, nodes: [], why }, ended, [], {
      limits: failureLimits(recovery, 16),
      globalBatch: 64,
      spares: 0,
      dropped,
    });
  const dropped = { failures: 30, causes: { hang: 7 } };
  expect(decision(dropped, { maxFailures: 31 })).toMatchObject({ action: 'retry' });
  expect(decision(dropped, { maxFailures: 30 })).toMatchObject({
    ...{ action: 'fail', why: saying('31 failures, more than recovery.maxFailures = 30') },
  });
  expect(decision(dropped, { maxFailures: 99, limits: { hang: { aRun: 7 } } })).toMatchObject({
    ...{ action: 'fail', why: saying('8 failures of cause hang') },
  });
});

describe('after a failed generation', () => {
  it.each<[string, Earlier[], object, object?]>([
    ['a lost node is replaced', [['node', 'n2', 0, 5]], { action: 'replace', replace: ['n2'], hardware: false }],
    ['so it is without a spare: the pool is asked', [['node', 'n2', 0, 5]], { action: 'replace' }, { spares: 0 }],
    [
      'two lost nodes are both replaced',
      [['node', 'n1', 0, 5]],
      { replace: ['n1', 'n2'] },
      { nodes: ['n1', 'n2'], spares: 0 },
    ],
    [
      'a node whose hardware failed is replaced, and the pool hears why',
      [['hardware', 'n2', 0, 5]],
      { action: 'replace', replace: ['n2'], hardware: true },
    ],
    ['a rank that was killed is begun again on its node', [['unknown', 'n2', 0, 5]], { action: 'retry' }],
    [
      'the third time its node is replaced',
      [
        ['unknown', 'n2', 0, 5],
        ['unknown', 'n2', 5, 10],
        ['unknown', 'n2', 10, 15],
      ],
      { action: 'replace', replace: ['n2'] },
    ],
    [
      'unless there is no spare: a suspicion is no reason to wait for one',
      [
        ['unknown', 'n2', 0, 5],
        ['unknown', 'n2', 5, 10],
        ['unknown', 'n2', 10, 15],
      ],
      { action: 'retry' },
      { spares: 0 },
    ],
    [
      'or three nodes are to blame, once each',
      [
        ['unknown', 'n1', 0, 5],
        ['unknown', 'n2', 5, 10],
        ['unknown', 'n3', 10, 15],
      ],
      { action: 'retry' },
    ],
    ['a hang is begun again', [['hang', 'n2', 0, 5]], { action: 'retry' }],
    [
      'a second hang on the same node replaces it',
      [
        ['hang', 'n2', 0, 5],
        ['hang', 'n2', 5, 10],
      ],
      { action: 'replace', replace: ['n2'] },
    ],
    [
      'a second hang on another node does not',
      [
        ['hang', 'n1', 0, 5],
        ['hang', 'n2', 5, 10],
      ],
      { action: 'retry' },
    ],
    [
      'a second hang that points at nobody does not',
      [
        ['hang', undefined, 0, 5],
        ['hang', undefined, 5, 10],
      ],
      { action: 'retry' },
    ],
    ['a wrong argument is for a person', [['user', 'n1', 0, 0]], { action: 'ask' }],
    [
      'too little memory after training went on well is tried once more',
      [['user', 'n1', 10, 10, 14]],
      { action: 'retry' },
    ],
    [
      'and then is for a person',
      [
        ['user', 'n1', 10, 10, 14],
        ['user', 'n1', 10, 10, 13],
      ],
      { action: 'ask' },
    ],
    ['NaN goes once more from the checkpoint', [['numeric', 'n1', 5, 5, 8]], { action: 'retry' }],
    [
      'NaN again from the same checkpoint is for a person',
      [
        ['numeric', 'n1', 5, 5, 8],
        ['numeric', 'n1', 5, 5, 9],
      ],
      { action: 'ask' },
    ],
    [
      'NaN after a newer checkpoint goes once more as well, on another node',
      [
        ['numeric', 'n1', 5, 5, 8],
        ['numeric', 'n1', 5, 10, 13],
      ],
      { action: 'replace', replace: ['n1'], hardware: false },
    ],
    [
      'three without a newer checkpoint end the run',
      [
        ['node', 'n1', 5, 5],
        ['node', 'n2', 5, 5],
        ['node', 'n3', 5, 5],
      ],
      { action: 'fail' },
    ],
    [
      'progress in between sets that count back',
      [
        ['node', 'n1', 5, 5],
        ['node', 'n2', 5, 10],
        ['node', 'n3', 10, 10],
      ],
      { action: 'replace' },
    ],
    [
      'more failures than allowed end it, though each gained something',
      [
        ['node', 'n1', 0, 5],
        ['node', 'n2', 5, 10],
        ['node', 'n3', 10, 15],
      ],
      { action: 'fail' },
      { recovery: { maxFailures: 2 } },
    ],
    [
      'so do more of one cause within a day',
      Array.from({ length: 9 }, (_, i): Earlier => ['leftover', `n${i}`, i, i + 1]),
      { action: 'fail' },
    ],
    [
      'and not as many of several',
      Array.from({ length: 9 }, (_, i): Earlier => [i % 2 ? 'hang' : 'leftover', `n${i}`, i, i + 1]),
      { action: 'retry' },
    ],
    [
      'a run file may allow a cause fewer in all',
      [
        ['hardware', 'n1', 0, 5],
        ['hardware', 'n2', 5, 10],
      ],
      { action: 'fail', why: saying('more than recovery.limits.hardware.aRun = 1') },
      { recovery: { limits: { hardware: { aRun: 1 } } } },
    ],
    [
      'or fewer a day',
      [
        ['network', 'n1', 0, 5],
        ['network', 'n2', 5, 10],
      ],
      { action: 'fail', why: saying('more than recovery.limits.network.aDay = 1') },
      { recovery: { limits: { network: { aDay: 1 } } } },
    ],
    [
      'or more, or another node sooner',
      Array.from({ length: 9 }, (_, i): Earlier => ['leftover', 'n1', i, i + 1]),
      { action: 'replace', replace: ['n1'] },
      { recovery: { limits: { leftover: { aDay: 50, aNode: 9 } } } },
    ],
    [
      'or more in a row that gain nothing',
      [
        ['unknown', 'n1', 5, 5],
        ['unknown', 'n2', 5, 5],
        ['unknown', 'n3', 5, 5],
      ],
      { action: 'retry' },
      { recovery: { limits: { withoutProgress: 4 } } },
    ],
    [
      'three in a row that gain nothing are bad luck where there are many devices',
      [
        ['node', 'n1', 5, 5],
        ['node', 'n2', 5, 5],
        ['node', 'n3', 5, 5],
      ],
      { action: 'replace' },
      { devices: 16_384 },
    ],
    [
      'and a wrong setting is not',
      [
        ['user', 'n1', 10, 10, 14],
        ['user', 'n1', 10, 10, 13],
      ],
      { action: 'ask' },
      { devices: 16_384 },
    ],
  ])('%s', (_, earlier, expected, more) => {
    expect(after(earlier, more)).toMatchObject(expected);
  });

  it('the next attempt waits longer each time nothing is gained, and longer for a port than for a node', () => {
    const pauses = [
      after([['leftover', 'n1', 0, 5]]),
      after([['leftover', 'n1', 5, 5]]),
      after([['leftover', 'n1', 5, 5], ['leftover', 'n1', 5, 5]]),
      after([['node', 'n1', 5, 5]]),
      after([['node', 'n1', 0, 5]]),
    ].map((decision) => ('pauseMs' in decision ? decision.pauseMs : undefined)); // prettier-ignore
    expect(pauses).toEqual([5_000, 10_000, 20_000, 1_000, 0]);
  });

  it('what was a day ago counts no more against a node', () => {
    const [first, second] = history([['hang', 'n2', 0, 5], ['hang', 'n2', 5, 10]]); // prettier-ignore
    const { cause, culprit, why, ...ended } = { ...second!, at: 25 * 60 * MINUTE };
    const limits = { limits: failureLimits({}, 16), globalBatch: 1, spares: 1 };
    expect(decide({ cause, nodes: [culprit!], why }, ended, [first!], limits)).toMatchObject({ action: 'retry' });
  });
});

describe('a run that ends says', () => {
  it('what a person can change', () => {
    const { why } = after([['user', 'n1', 0, 0]], { why: 'n1: unrecognized arguments: --x', advice: 'correct train.extraArgs', logPath: '/n1.log' });
    expect(why).toBe('n1: unrecognized arguments: --x. A retry would end the same way: correct train.extraArgs (log: /n1.log)');
  });

  it('which data a NaN came with, when it came at the same iteration again', () => {
    const { why } = after([['numeric', 'n1', 100, 100, 120], ['numeric', 'n1', 100, 100, 120]], { why: 'n1: nan' });
    expect(why).toBe('n1: nan. It came again after a restart from iteration 100, at the same iteration, 121: data (samples 7680 to 7743 in the order of training) or settings, not a node');
  });

  it('that a device may compute wrongly, when it came elsewhere', () => {
    const { why } = after([['numeric', 'n1', 100, 100, 120], ['numeric', 'n1', 100, 100, 105]], { why: 'n1: nan' });
    expect(why).toContain('now at iteration 106 (samples 6720 to 6783 in the order of training): settings, or a device that computes wrongly');
  });

  it('what came before', () => {
    const { why } = after([['node', 'n1', 5, 5, 9], ['hang', undefined, 5, 5, 7], ['network', 'n2', 5, 5, 8]], { why: 'n2: reset' });
    expect(why).toBe('3 generations in a row ended without a newer checkpoint; last: n2: reset. So far: generation 1 went from 5 to 9 (node, n1); generation 2 went from 5 to 7 (hang); generation 3 went from 5 to 8 (network, n2)');
  });
}); // prettier-ignore
