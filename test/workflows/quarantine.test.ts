/** Nodes whose hardware failed: kept from runs, by rules that need no server. */
import { describe, expect, it } from 'vitest';
import { applyToPool, poolAnswer } from '../../workflows/cordon.js';
import { describePool, placeOf } from '../../workflows/pool-page.js';
import { endRests, noteFault } from '../../workflows/quarantine.js';
import { candidates, enqueue, nextRequest, type PoolState } from '../../workflows/roster.js';

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
    const uncordon = { name: 'uncordon' as const, node: 'a', who: 'ann', why: 'new HBM' };
    expect(poolAnswer(state, uncordon)).toEqual({
      say: 'the quarantine of a is lifted, and what its hardware did is forgotten (HBM ECC). a is given to runs again',
    });
    applyToPool(state, uncordon, T0 + 1000 * HOUR);
    expect(free(state)).toEqual(['a']);
    expect(poolAnswer(state, uncordon)).toEqual({ refuse: 'node: a is neither cordoned nor in quarantine' });
    expect(describePool(state, T0)).toContain('a uncordoned by ann: new HBM');
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
    const state = pool('a', 'b');
    enqueue(state, asks(2), T0);
    enqueue(state, { ...asks(1), requestId: 'small' }, T0);
    fails(state, 'a', T0);
    expect(nextRequest(state, T0)?.requestId).toBe('r');
    fails(state, 'a', T0 + 1);
    expect(nextRequest(state, T0)?.requestId).toBe('small');
    expect(placeOf(state, state.waiting[0]!, T0)).toBe('first in line; 1 in quarantine, 1 free');
  });

  it('is shown with the reason and the time', () => {
    const state = pool('a');
    fails(state, 'a', T0);
    const page = () => describePool(state, T0);
    expect(page()).toContain('| in quarantine since 2026-03-01 10:00 UTC, until 2026-03-01 11:00 UTC: HBM ECC |');
    fails(state, 'a', T0 + HOUR);
    applyToPool(state, { name: 'cordon', node: 'a', who: 'ann', why: 'fans' }, T0);
    expect(page()).toContain(
      '| cordoned since 2026-03-01 10:00 UTC by ann: fans, in quarantine since 2026-03-01 11:00 UTC, until somebody lifts it (uncordon): HBM ECC |',
    );
  });
});
