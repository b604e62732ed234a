/** The decision after a failed generation, as a table. */
import { describe, expect, it } from 'vitest';
import { decide, type MemberFailure } from '../../workflows/recovery.js';

const failed = (node: string, firstError?: string, signal?: string): MemberFailure => ({
  ...{ node, kind: 'failed', message: `${node} failed` },
  evidence: { node, confirmed: true, logPath: '/log', ...(firstError && { firstError }), ...(signal && { signal }) },
});
const lost = (node: string): MemberFailure => ({ node, kind: 'lost', message: `${node} did not answer` });
const stopped = (node: string): MemberFailure => ({ node, kind: 'stopped', message: 'stopped with the gang' });
const generations = (...progress: [from: number, to: number][]) =>
  progress.map(([startedFrom, endedAt], index) => ({ generation: index + 1, startedFrom, endedAt }));

const RESET = 'RuntimeError: [gloo] Read error: Connection reset by peer';

describe('after a failed generation', () => {
  it.each<[string, MemberFailure[], [number, number][], object]>([
    [
      'a lost node is replaced',
      [lost('n2'), failed('n1', RESET)],
      [[0, 5]],
      { action: 'relaunch', replace: ['n2'], cause: 'node', culprit: 'n2' },
    ],
    [
      'two lost nodes are both replaced',
      [lost('n1'), lost('n2')],
      [[0, 5]],
      { action: 'relaunch', replace: ['n1', 'n2'] },
    ],
    [
      'a killed rank is begun again on its node',
      [failed('n1', RESET), failed('n2', undefined, '9')],
      [[0, 5]],
      { action: 'relaunch', replace: [], culprit: 'n2' },
    ],
    [
      'the echo of another end is not the culprit',
      [failed('n1', RESET), failed('n2', 'OSError: [Errno 28] No space left on device')],
      [[0, 5]],
      { action: 'relaunch', cause: 'environment', culprit: 'n2' },
    ],
    [
      'a memory fault replaces its node',
      [stopped('n1'), failed('n2', 'HBM MULTI BIT ECC ERROR')],
      [[0, 5]],
      { action: 'relaunch', replace: ['n2'], cause: 'hardware' },
    ],
    [
      'a wrong argument stops the run',
      [failed('n1', 'pretrain_gpt.py: error: unrecognized arguments: --x')],
      [[0, 0]],
      { action: 'stop', type: 'CommandFailed', cause: 'user' },
    ],
    [
      'too little memory stops the run',
      [failed('n1', 'torch.OutOfMemoryError: NPU out of memory')],
      [[0, 0]],
      { action: 'stop', cause: 'user' },
    ],
    [
      'NaN is tried once more',
      [failed('n2', 'RuntimeError: Unexpected result nan')],
      [[5, 5]],
      { action: 'relaunch', cause: 'numeric' },
    ],
    [
      'NaN again from the same checkpoint stops the run',
      [failed('n2', 'RuntimeError: Unexpected result nan')],
      [
        [5, 5],
        [5, 5],
      ],
      { action: 'stop', cause: 'numeric' },
    ],
    [
      'three without a newer checkpoint stop the run',
      [lost('n1')],
      [
        [5, 5],
        [5, 5],
        [5, 5],
      ],
      { action: 'stop', type: 'NoProgress' },
    ],
    [
      'progress in between sets that count back',
      [lost('n1')],
      [
        [5, 5],
        [5, 10],
        [10, 10],
      ],
      { action: 'relaunch' },
    ],
    [
      'a generation in which nobody says why is begun again',
      [stopped('n1')],
      [[0, 5]],
      { action: 'relaunch', replace: [], cause: 'unknown' },
    ],
  ])('%s', (_, members, progress, expected) => {
    expect(decide(members, generations(...progress), 20)).toMatchObject(expected);
  });

  it('more failures than allowed stop the run, though each gained something', () => {
    expect(decide([lost('n1')], generations([0, 5], [5, 10], [10, 15]), 2)).toMatchObject({
      action: 'stop',
      type: 'NoProgress',
    });
  });
});
