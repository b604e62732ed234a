/** Nodes whose hardware failed: kept from runs, by rules that need no server. */
import { describe, expect, it } from 'vitest';
import {
  candidates,
  describePool,
  endRests,
  giveBack,
  liftQuarantine,
  nextRequest,
  noteFault,
  type PoolState,
} from '../../workflows/roster.js';

const HOUR = 3_600_000;
const T0 = Date.parse('2026-03-01T10:00:00Z');

const pool = (...names: string[]): PoolState => ({
  ...{ waiting: [], token: 0 },
  nodes: names.map((name) => ({ name, address: name, port: 1, devices: 8, profile: 'npu' as const })),
});
const asks = (nodes: number) => ({
  ...{ requestId: 'r', holder: { workflowId: 'w', firstRunId: 'f' }, series: 's', devices: 8, nodes },
});
const free = (state: PoolState, nodes = 1) => candidates(state, asks(nodes))?.map(({ name }) => name);
const fails = (state: PoolState, node: string, at: number) => noteFault(state, { node, reason: 'HBM ECC', at });

describe('a node whose hardware failed', () => {
  it('is not given to the next who asks, and is an hour later', () => {
    const state = pool('a', 'b');
    fails(state, 'a', T0);
    expect([free(state), free(state, 2)]).toEqual([['b'], undefined]);
    endRests(state, T0 + HOUR - 1);
    expect(free(state, 2)).toBeUndefined();
    endRests(state, T0 + HOUR);
    expect(free(state, 2)).toEqual(['a', 'b']);
  });

  it('twice is left to a person, who lifts it once and for all', () => {
    const state = pool('a');
    fails(state, 'a', T0);
    endRests(state, T0 + HOUR);
    fails(state, 'a', T0 + 2 * HOUR);
    endRests(state, T0 + 1000 * HOUR);
    expect(free(state)).toBeUndefined();
    expect(liftQuarantine(state, 'a')).toBe(true);
    expect(free(state)).toEqual(['a']);
    expect(liftQuarantine(state, 'a')).toBe(false);
    fails(state, 'a', T0 + 1001 * HOUR);
    endRests(state, T0 + 1002 * HOUR);
    expect(free(state)).toEqual(['a']);
  });

  it('once more after a month only rests again', () => {
    const state = pool('a');
    fails(state, 'a', T0);
    fails(state, 'a', T0 + 31 * 24 * HOUR);
    endRests(state, T0 + 31 * 24 * HOUR + HOUR);
    expect(free(state)).toEqual(['a']);
  });

  it('is not blamed twice when a run says so twice, and a node that is not known is passed over', () => {
    const state = pool('a');
    fails(state, 'a', T0);
    fails(state, 'a', T0);
    fails(state, 'z', T0);
    endRests(state, T0 + HOUR);
    expect(free(state)).toEqual(['a']);
  });

  it('keeps its state when the pool goes on in a new execution', () => {
    const state = pool('a');
    fails(state, 'a', T0);
    fails(state, 'a', T0 + 1);
    const later = JSON.parse(JSON.stringify(state)) as PoolState;
    endRests(later, T0 + 1000 * HOUR);
    expect(free(later)).toBeUndefined();
  });

  it('does not hold up others behind a request that only it could serve, unless it comes back by itself', () => {
    const state = { ...pool('a', 'b'), waiting: [asks(2), { ...asks(1), requestId: 'small' }] };
    fails(state, 'a', T0);
    expect(nextRequest(state)?.requestId).toBe('r');
    fails(state, 'a', T0 + 1);
    expect(nextRequest(state)?.requestId).toBe('small');
  });

  it('is shown with the reason and the time', () => {
    const state = pool('a');
    fails(state, 'a', T0);
    expect(describePool(state)).toContain('in quarantine since 2026-03-01T10:00Z, until 2026-03-01T11:00Z: HBM ECC |');
    fails(state, 'a', T0 + HOUR);
    expect(describePool(state)).toContain('since 2026-03-01T11:00Z, until somebody lifts it: HBM ECC |');
  });
});

describe('a spare', () => {
  const waits = (workflowId: string, more: object = {}) => ({
    ...{ ...asks(1), holder: { workflowId, firstRunId: workflowId } },
    ...more,
  });

  it('is given when nobody is in need of nodes, though its run holds some and asked first', () => {
    const state = pool('a', 'b');
    state.nodes[0]!.holder = { workflowId: 'big', firstRunId: 'big' };
    state.waiting = [waits('big', { spare: true }), waits('other', { series: 't' })];
    expect(nextRequest(state)?.holder.workflowId).toBe('other');
    state.waiting.pop();
    expect(nextRequest(state)).toMatchObject({ spare: true });
    expect(describePool(state)).toContain('1. big waits for a spare');
  });

  it('is waited for on, though its run gives back a node meanwhile', () => {
    const state = pool('a', 'b');
    const holder = { workflowId: 'big', firstRunId: 'big' };
    state.nodes[0]!.holder = holder;
    state.waiting = [waits('big', { spare: true })];
    giveBack(state, holder, ['a']);
    expect([state.nodes[0]!.holder, state.waiting.length]).toEqual([undefined, 1]);
    giveBack(state, holder);
    expect(state.waiting).toEqual([]);
  });
});
