/** How recorded generations ended, all members' logs and exit codes together. */
import { describe, expect, it } from 'vitest';
import { judgeEnd, type EndPlan, type MemberEnd } from '../../workflows/training-end.js';
import { membersOf, recordedGangs } from '../support/recorded-gangs.js';

const RESUME = { startedFrom: 10, target: 20 };
const FRESH = { startedFrom: 0, target: 20 };

/** Case, what was planned, how it ended: an iteration, or the name of the failure and the node that is to blame. */
const ENDS: [name: string, plan: EndPlan, end: string, iteration?: number | string, node?: string][] = [
  ['normal-1process', FRESH, 'finished', 20],
  ['normal-2nodes', FRESH, 'finished', 20],
  ['resume-2nodes', RESUME, 'finished', 20],
  ['sigterm-ranks-exit-handler', FRESH, 'stopped', 13],
  ['sigterm-torchrun-node1', FRESH, 'stopped', 13],
  ['no-tracker-both-starts-over', RESUME, 'failed', 'missing-tracker'],
  ['kill-rank3', FRESH, 'failed', 'unknown', 'node1'],
  ['kill-node1', FRESH, 'failed', 'connection-lost'],
  ['missing-idx-node1', RESUME, 'failed', 'no-data', 'node1'],
  ['missing-bin-node1', RESUME, 'failed', 'no-data', 'node1'],
  ['missing-idx-1process', FRESH, 'failed', 'no-data', 'node0'],
  ['truncated-model-node1', RESUME, 'failed', 'unreadable-checkpoint', 'node1'],
  ['truncated-optim-node1', RESUME, 'failed', 'unreadable-checkpoint', 'node1'],
  ['missing-model-node1', RESUME, 'failed', 'unreadable-checkpoint', 'node1'],
  ['missing-model-node0', RESUME, 'failed', 'unreadable-checkpoint', 'node0'],
  ['missing-optim-node1', RESUME, 'failed', 'unreadable-checkpoint', 'node1'],
  ['no-tracker-node1-hang', RESUME, 'failed', 'killed', 'node0'],
  ['no-tracker-node1-timeout-1min', RESUME, 'failed', 'connection-lost', 'node0'],
  ['tracker-garbage-node0', RESUME, 'failed', 'missing-tracker', 'node0'],
  ['no-cache-node1-without-no-shared-storage', RESUME, 'failed', 'index-cache', 'node1'],
  ['port-mismatch', FRESH, 'failed', 'killed', 'node0'],
  ['fp32-distrib-optim-resume-fails', RESUME, 'failed', 'unknown', 'node0'],
  ['train-iters-changed', RESUME, 'failed', 'schedule-changed', 'node0'],
  ['nan', FRESH, 'failed', 'not-a-number', 'node0'],
  ['bad-argument', FRESH, 'failed', 'arguments', 'node0'],
];

describe('a recorded generation', () => {
  it.each(ENDS)('%s', async (name, plan, end, what, node) => {
    const judged = judgeEnd(await membersOf(name), plan);
    if (end !== 'failed') expect(judged).toEqual({ end, iteration: what });
    else expect(judged).toMatchObject({ end, name: what, ...(node && { node }) });
  });

  it('is there for every recorded log', () => {
    expect(ENDS.map(([name]) => name).sort()).toEqual(recordedGangs);
  });
});

describe('exit code 0 is no success', () => {
  const member = (verdict: MemberEnd['verdict'], more: Partial<MemberEnd> = {}): MemberEnd => ({
    ...{ node: 'n', exitCode: 0, verdict, ...more },
  });
  const finished = { outcome: 'finished', lastIteration: 20, lastSaved: 20 } as const;

  it.each<[string, MemberEnd[], Partial<EndPlan>, string]>([
    ['without a reason', [member({ outcome: 'unclear', lastIteration: 20, lastSaved: 20 })], {}, 'ended-early'],
    ['before the target', [member({ outcome: 'exited', lastIteration: 15, lastSaved: 15 })], {}, 'ended-early'],
    ['without the last checkpoint', [member({ ...finished, lastSaved: 10 })], {}, 'no-final-checkpoint'],
    [
      'after another checkpoint than planned',
      [member({ ...finished, loadedAt: 5 })],
      { startedFrom: 10 },
      'loaded-other-iteration',
    ],
    [
      'after a start from nothing',
      [member({ ...finished, startedOver: true })],
      { startedFrom: 10 },
      'missing-tracker',
    ],
    [
      'of a rank that could not load',
      [
        member({ outcome: 'unclear' }, { firstError: 'could not load the checkpoint: cut off' }),
        member({ outcome: 'unclear' }),
      ],
      { startedFrom: 10 },
      'unreadable-checkpoint',
    ],
  ])('%s', (_, members, plan, name) => {
    expect(judgeEnd(members, { startedFrom: 0, target: 20, ...plan })).toMatchObject({ end: 'failed', name });
  });

  it('unless the last iteration was saved, though it was not printed', () => {
    const verdict = { outcome: 'finished', lastIteration: 10, lastSaved: 15 } as const;
    expect(judgeEnd([member(verdict)], { startedFrom: 0, target: 15 })).toEqual({ end: 'finished', iteration: 15 });
  });

  it('unless the exit is the planned one, with its checkpoint', () => {
    const verdict = { outcome: 'exited', lastIteration: 15, lastSaved: 15, loadedAt: 10 } as const;
    expect(judgeEnd([member(verdict)], { startedFrom: 10, target: 15 })).toEqual({ end: 'reached', iteration: 15 });
  });
});
