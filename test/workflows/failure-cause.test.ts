/** Why a generation failed and who is to blame, from what its members saw. */
import { describe, expect, it } from 'vitest';
import type { MemberEvidence } from '../../workflows/contract.js';
import { blame, type Cause, type MemberFailure } from '../../workflows/failure-cause.js';
import { stuckMember } from '../../workflows/hang-culprit.js';
import { membersOf, recordedGangs } from '../support/recorded-gangs.js';

const PLAN = { startedFrom: 0, target: 20 };
const GANG = ['n1', 'n2', 'n3'].map((name, index) => ({ name, address: `10.0.0.${index + 1}` }));

const evidence = (node: string, more: Partial<MemberEvidence>): MemberEvidence => ({
  ...{ node, confirmed: true, logPath: `/log-of-${node}`, verdict: { outcome: 'unclear' as const }, ...more },
});
const failed = (node: string, firstError?: string, more: Partial<MemberEvidence> = {}): MemberFailure => ({
  ...{ node, kind: 'failed', message: `${node} failed` },
  evidence: evidence(node, { ...(firstError && { firstError }), ...more }),
});
const stopped = (node: string, more: Partial<MemberEvidence> = {}): MemberFailure => ({
  ...{ node, kind: 'stopped', message: 'stopped with the gang', evidence: evidence(node, more) },
});
const lost = (node: string): MemberFailure => ({ node, kind: 'lost', message: `${node} did not answer` });
const hung = (node: string, more: Partial<MemberEvidence> = {}): MemberFailure => ({
  ...{ node, kind: 'hung', message: 'no new iteration for 60 s', evidence: evidence(node, more) },
});
const ago = (seconds: number) => ({ firstErrorAt: 1_000_000 - seconds * 1000, lookedAt: 1_000_000 });

const RESET = 'RuntimeError: [gloo] Read error: Connection reset by peer';
const HCCL = 'EI0002: [PID: 1] The wait execution of the Notify register times out.';

const CASES: [title: string, members: MemberFailure[], cause: Cause, nodes: string[]][] = [
  ['a lost node outweighs what others say of it', [failed('n1', RESET), lost('n2')], 'node', ['n2']],
  ['two lost nodes are both named', [lost('n1'), lost('n2')], 'node', ['n1', 'n2']],
  ['a rank that a signal ended is the cause of the lost connections', [failed('n1', RESET), failed('n2', undefined, { signal: 'SIGKILL' })], 'unknown', ['n2']],
  ['the echo of another end is not the cause', [failed('n1', RESET), failed('n2', 'OSError: [Errno 28] No space left on device')], 'environment', ['n2']],
  ['a full disk that only the watcher met is known by its message', [{ node: 'n1', kind: 'failed', message: 'n1: watch generation 1: the disk is full. Free space there' }], 'environment', ['n1']],
  ['an error counts though its member was not the first to fail', [failed('n1', RESET), stopped('n2', { firstError: 'HBM MULTI BIT ECC ERROR' })], 'hardware', ['n2']],
  ['time-outs of HCCL on many ranks are symptoms of one device', [failed('n1', HCCL, ago(1)), failed('n3', HCCL, ago(9)), stopped('n2', { firstError: 'Device lost heartbeat', ...ago(1) })], 'hardware', ['n2']],
  ['of two real errors the older one is the cause', [failed('n1', 'RuntimeError: Unexpected result nan', ago(3)), failed('n2', 'HCCS LINK ERROR', ago(30))], 'hardware', ['n2']],
  ['of two that came together one that is understood is', [failed('n1', 'RuntimeError: something else', ago(4)), failed('n2', 'HCCS LINK ERROR', ago(3.5))], 'hardware', ['n2']],
  ['wall clocks that differ by hours change nothing', [failed('n1', 'RuntimeError: Unexpected result nan', { firstErrorAt: 10_000, lookedAt: 13_000 }), failed('n2', 'HCCS LINK ERROR', { firstErrorAt: 9_000_000, lookedAt: 9_030_000 })], 'hardware', ['n2']],
  ['where only time-outs are seen, HCCL may name the node', [failed('n1', 'EI0002 Cluster Exception Location[IP/ID]:[10.0.0.3/3], ExceptionType:[Heartbeat Lost Occurred]'), failed('n2', HCCL), stopped('n3')], 'network', ['n3']],
  ['else it is the one without a time-out', [failed('n1', HCCL), failed('n2', HCCL), stopped('n3')], 'network', ['n3']],
  ['and where all have one, nobody is named', [failed('n1', HCCL), failed('n2', HCCL), failed('n3', HCCL)], 'network', []],
  ['an argument that the trainer does not know is the user\'s', [failed('n1', 'pretrain_gpt.py: error: unrecognized arguments: --x')], 'user', ['n1']],
  ['a port that is taken is a leftover', [failed('n1', 'OSError: [Errno 98] Address already in use')], 'leftover', ['n1']],
  ['a generation in which nobody says why is unknown', [stopped('n1')], 'unknown', []],
  ['a hang without a rank that stands out names nobody', [hung('n1'), stopped('n2')], 'hang', []],
  ['a rank that is stopped is what the others wait for', [hung('n1', { ranks: [{ rank: 0, state: 'S' }] }), stopped('n2', { ranks: [{ rank: 1, state: 'T' }] })], 'hang', ['n2']],
  ['an error of a hung gang is its cause', [hung('n1'), stopped('n2', { firstError: 'Device lost heartbeat' })], 'hardware', ['n2']],
  ['an echo in a hung gang is none', [hung('n1', { firstError: HCCL }), stopped('n2', { firstError: HCCL, ranks: [{ rank: 1, state: 'D' }] })], 'hang', ['n2']],
]; // prettier-ignore

describe('of a failed generation', () => {
  it.each(CASES)('%s', (_, members, cause, nodes) => {
    expect(blame(members, PLAN, GANG)).toMatchObject({ cause, nodes });
  });

  it.each([
    ['an error that is understood', 'n1: watch generation 1: the disk is full. Free space there'],
    ['one that is not', 'n1: training of generation 1 ended with SIGKILL: the log names no error'],
    ['a mere consequence', `n1: training of generation 1 ended with exit code 1: ${RESET}`],
  ])('the answer names the node once where its watcher did: %s', (_, message) => {
    const members = [{ node: 'n1', kind: 'failed' as const, message }];
    expect(blame(members, PLAN, GANG).why.match(/n1: /g)).toHaveLength(1);
    expect(
      blame([{ ...members[0]!, evidence: evidence('n1', { firstError: message }) }], PLAN, GANG).why,
    ).not.toContain('n1: n1:');
  });

  it('the answer says what was seen, what it means and what to do', () => {
    expect(blame([failed('n2', 'HBM MULTI BIT ECC ERROR')], PLAN, GANG)).toEqual({
      ...{ cause: 'hardware', nodes: ['n2'], logPath: '/log-of-n2' },
      why: "n2: HBM MULTI BIT ECC ERROR (a memory error of that node's device)",
      advice: 'check the device, replace the node',
    });
  });
});

/** What was recorded, what was planned, the cause and the node to blame. */
const RECORDED: [name: string, startedFrom: number, cause: Cause, node: string | undefined][] = [
  ['no-tracker-both-starts-over', 10, 'environment', 'node0'],
  ['kill-rank3', 0, 'unknown', 'node1'],
  ['kill-node1', 0, 'unknown', 'node1'],
  ['missing-idx-node1', 10, 'environment', 'node1'],
  ['missing-bin-node1', 10, 'environment', 'node1'],
  ['missing-idx-1process', 0, 'environment', 'node0'],
  ['truncated-model-node1', 10, 'environment', 'node1'],
  ['truncated-optim-node1', 10, 'environment', 'node1'],
  ['missing-model-node1', 10, 'environment', 'node1'],
  ['missing-model-node0', 10, 'environment', 'node0'],
  ['missing-optim-node1', 10, 'environment', 'node1'],
  ['no-tracker-node1-hang', 10, 'hang', undefined],
  ['no-tracker-node1-timeout-1min', 10, 'network', undefined],
  ['tracker-garbage-node0', 10, 'environment', 'node0'],
  ['no-cache-node1-without-no-shared-storage', 10, 'environment', 'node1'],
  ['port-mismatch', 0, 'hang', undefined],
  ['fp32-distrib-optim-resume-fails', 10, 'unknown', 'node0'],
  ['train-iters-changed', 10, 'user', 'node0'],
  ['nan', 0, 'numeric', 'node0'],
  ['bad-argument', 0, 'user', 'node0'],
];
const WELL = [
  'normal-1process',
  'normal-2nodes',
  'resume-2nodes',
  'sigterm-ranks-exit-handler',
  'sigterm-torchrun-node1',
];

describe('a recorded failure', () => {
  it.each(RECORDED)('%s', async (name, startedFrom, cause, node) => {
    const ends = await membersOf(name);
    const isHung = ends.every(({ exitCode }) => exitCode === undefined);
    const members = ends.map(({ node, exitCode, verdict, firstError }, index): MemberFailure => {
      const kind = isHung && index === ends.length - 1 ? 'hung' : isHung || exitCode === 0 ? 'stopped' : 'failed';
      const ended = exitCode !== undefined ? { exitCode } : kind === 'failed' && { signal: 'SIGKILL' };
      const seen = { verdict, ...ended, ...(firstError && { firstError }) };
      return { node, kind, message: 'as its watcher says', evidence: evidence(node, seen) };
    });
    const gang = ends.map(({ node }) => ({ name: node, address: '127.0.0.1' }));
    expect(blame(members, { startedFrom, target: 20 }, gang)).toMatchObject({ cause, nodes: node ? [node] : [] });
  });

  it('is in this table for every gang that did not end well', () => {
    expect([...RECORDED.map(([name]) => name), ...WELL].sort()).toEqual(recordedGangs);
  });
});

describe('in a hung gang', () => {
  const waits = { state: 'S', at: 'all_reduce (torch/distributed/distributed_c10d.py:2500)' };
  const loads = { state: 'S', at: 'read (reference/indexed.py:40)' };

  it.each([
    ['a rank that is stopped stands out before one in the kernel', [{ rank: 0, state: 'D' }, { rank: 1, state: 'T' }], 'rank 1 of n1 is stopped'],
    ['a rank that is not where the others wait does', [{ rank: 0, ...waits }, { rank: 1, ...loads }], 'rank 1 of n1 is in read (reference/indexed.py:40), and the others wait'],
    ['none does where all wait', [{ rank: 0, ...waits }, { rank: 1, ...waits }], undefined],
    ['none does where no stack is known', [{ rank: 0, state: 'S' }, { rank: 1, state: 'R' }], undefined],
  ])('%s', (_, ranks, what) => {
    expect(stuckMember([{ node: 'n1', evidence: { ranks } }, { node: 'n2' }])?.what).toBe(what);
  }); // prettier-ignore
});
