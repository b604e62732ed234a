/** The pool's book under random schedules: whatever runs, nodes and people do, nobody shares a node or waits for ever. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AcquireNodes } from '../../workflows/messages.js';
import { describePool, placeOf } from '../../workflows/pool-page.js';
import {
  candidates,
  enqueue,
  giveBack,
  grant,
  inOrder,
  nextRequest,
  noteAway,
  noteBack,
  type PoolState,
} from '../../workflows/roster.js';

const HOUR = 3_600_000;
const holderOf = (run: number) => ({ workflowId: `run-${run}`, firstRunId: `first-${run}` });
const requestOf = (run: number, nodes: number, more: Partial<AcquireNodes> = {}): AcquireNodes => ({
  ...{ requestId: `first-${run}/nodes`, holder: holderOf(run), series: `s${run}`, nodes, devices: 1 },
  ...more,
});
const poolOf = (nodes: number): PoolState => ({
  nodes: Array.from({ length: nodes }, (_, i) => ({
    name: `n${i}`,
    address: 'a',
    port: 1,
    devices: 1,
    profile: 'cpu',
  })),
  waiting: [],
  token: 0,
});

/** Serves whoever can be served, as the pool does; what each grant says. */
function serve(state: PoolState, now: number) {
  const grants: { run: string; wanted: number; names: string[] }[] = [];
  for (let request; (request = nextRequest(state, now));) {
    const chosen = candidates(state, request);
    if (!chosen) break;
    const { nodes } = grant(state, request, chosen);
    grants.push({ run: request.holder.workflowId, wanted: request.nodes, names: nodes.map(({ name }) => name) });
  }
  return grants;
}

type Step =
  | { do: 'acquire'; run: number; nodes: number; priority: number; series: number }
  | { do: 'spare' | 'release' | 'lose one'; run: number }
  | { do: 'away' | 'back' | 'cordon' | 'uncordon'; node: number };

const RUNS = 5;
const NODES = 6;
const run = fc.nat(RUNS - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant('acquire' as const),
    run,
    nodes: fc.integer({ min: 1, max: NODES + 1 }),
    priority: fc.nat(3),
    series: fc.nat(3),
  }),
  fc.record({ do: fc.constantFrom('spare' as const, 'release' as const, 'lose one' as const), run }),
  fc.record({
    do: fc.constantFrom('away' as const, 'back' as const, 'cordon' as const, 'uncordon' as const),
    node: fc.nat(NODES - 1),
  }),
);

describe('over random schedules of acquires, releases, deaths and cordons', () => {
  it('two runs never hold one node, and what is granted is all or none, of nodes that are there', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const state = poolOf(NODES);
        // What the runs believe that they hold, from what they are told alone.
        const held = new Map<string, Set<string>>();
        const unavailable = new Set<string>();
        for (const [index, action] of steps.entries()) {
          const now = index * 60_000;
          apply(state, action, held, unavailable, index, now);
          for (const { run, wanted, names } of serve(state, now)) {
            expect(new Set(names).size).toBe(wanted);
            expect(names.filter((name) => unavailable.has(name))).toEqual([]);
            for (const [other, theirs] of held)
              expect([other, names.filter((name) => theirs.has(name))]).toEqual([other, []]);
            held.set(run, new Set([...(held.get(run) ?? []), ...names]));
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it('everybody who asks for what there is gets it when those before have ended', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const state = poolOf(NODES);
        const held = new Map<string, Set<string>>();
        let now = 0;
        for (const [index, action] of steps.entries()) {
          now = index * 60_000;
          apply(state, action, held, new Set(), index, now);
          serve(state, now);
        }
        for (const node of state.nodes) {
          delete node.away;
          delete node.cordoned;
        }
        const served = new Set<string>(serve(state, now).map(({ run }) => run));
        const waited = state.waiting.filter(({ nodes }) => nodes <= NODES).map(({ requestId }) => requestId);
        for (let round = 0; round < 4 * RUNS + 4; round++) {
          const holder = state.nodes.find((node) => node.holder)?.holder;
          if (holder) giveBack(state, holder);
          for (const { run } of serve(state, (now += HOUR))) served.add(run);
        }
        const still = state.waiting.map(({ requestId }) => requestId);
        expect(waited.filter((requestId) => still.includes(requestId))).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });
});

function apply(
  state: PoolState,
  action: Step,
  held: Map<string, Set<string>>,
  unavailable: Set<string>,
  index: number,
  now: number,
): void {
  if ('node' in action) {
    const node = state.nodes[action.node]!;
    if (action.do === 'away') node.away = 'gone';
    if (action.do === 'back') delete node.away;
    if (action.do === 'cordon') node.cordoned = { since: now, who: 'ann', why: 'fans' };
    if (action.do === 'uncordon') delete node.cordoned;
    if (node.away || node.cordoned) unavailable.add(node.name);
    else unavailable.delete(node.name);
    return;
  }
  const holder = holderOf(action.run);
  const has = held.get(holder.workflowId) ?? new Set<string>();
  const isIdle = has.size === 0 && !state.waiting.some((request) => request.holder.workflowId === holder.workflowId);
  if (action.do === 'acquire' && isIdle)
    enqueue(
      state,
      requestOf(action.run, action.nodes, {
        requestId: `${index}`,
        priority: action.priority,
        series: `s${action.series}`,
      }),
      now,
    );
  if (action.do === 'spare' && has.size > 0)
    enqueue(
      state,
      requestOf(action.run, 1, { requestId: `${index}`, spare: true, series: series(state, holder.workflowId) }),
      now,
    );
  if (action.do === 'release') {
    giveBack(state, holder);
    held.delete(holder.workflowId);
  }
  const [one] = has;
  if (action.do === 'lose one' && one !== undefined) {
    const node = state.nodes.find(({ name }) => name === one)!;
    node.away = 'gone';
    unavailable.add(one);
    giveBack(state, holder, [one]);
    has.delete(one);
    enqueue(state, requestOf(action.run, 1, { requestId: `${index}`, series: node.served!.at(-1)! }), now);
  }
}

const series = (state: PoolState, workflowId: string): string =>
  state.nodes.find(({ holder }) => holder?.workflowId === workflowId)!.served!.at(-1)!;

describe('in line', () => {
  it('priority comes first, and waiting makes up for it', () => {
    const state = poolOf(1);
    enqueue(state, requestOf(1, 1, { priority: 0 }), 0);
    enqueue(state, requestOf(2, 1, { priority: 3 }), HOUR / 2);
    const order = (now: number) => inOrder(state, now).map(({ holder }) => holder.workflowId);
    expect(order(HOUR / 2)).toEqual(['run-2', 'run-1']);
    enqueue(state, requestOf(3, 1, { priority: 3 }), 3.5 * HOUR);
    expect(order(3.5 * HOUR)).toEqual(['run-2', 'run-1', 'run-3']);
  });

  it('a run that only wants a spare waits its turn, though it holds nodes, until it cannot train without', () => {
    const state = poolOf(2);
    enqueue(state, requestOf(1, 1), 0);
    serve(state, 0);
    enqueue(state, requestOf(2, 2), 1);
    const spare = requestOf(1, 1, { requestId: 'spare', spare: true });
    enqueue(state, spare, 2);
    expect(serve(state, 2)).toEqual([]);
    expect(placeOf(state, inOrder(state, 2)[1]!, 2)).toBe('behind run-2; 1 held by run-1, 1 free');
    enqueue(state, { ...spare, spare: false }, 3);
    expect(serve(state, 3)).toEqual([{ run: 'run-1', wanted: 1, names: ['n1'] }]);
    expect(state.waiting).toHaveLength(1);
  });

  it('a large one is not kept waiting by small ones of a higher priority that never cease', () => {
    const state = poolOf(2);
    enqueue(state, requestOf(0, 2), 0);
    state.nodes[1]!.holder = holderOf(99);
    const served: string[] = [];
    for (let hour = 0, last = 99; hour < 10 && !served.includes('run-0'); hour++) {
      // Each ends when the next one has come.
      enqueue(state, requestOf(hour + 1, 1, { priority: 3 }), hour * HOUR);
      giveBack(state, holderOf(last));
      for (const { run } of serve(state, hour * HOUR)) {
        served.push(run);
        last = Number(run.slice(4));
      }
    }
    expect(served).toEqual(['run-1', 'run-2', 'run-3', 'run-0']);
  });

  it('a run that gives back one of its nodes keeps its place', () => {
    const state = poolOf(2);
    enqueue(state, requestOf(1, 2), 0);
    serve(state, 0);
    enqueue(state, requestOf(1, 1, { requestId: 'spare', spare: true }), 1);
    giveBack(state, holderOf(1), ['n0']);
    expect(state.waiting.map(({ requestId }) => requestId)).toEqual(['spare']);
    giveBack(state, holderOf(1));
    expect(state.waiting).toEqual([]);
  });

  it('one that waits for a node that may not come back keeps nobody waiting, and is still the first when it does', () => {
    const state = poolOf(3);
    noteAway(state.nodes[2]!, 'did not answer', 0);
    enqueue(state, requestOf(1, 3), 0);
    enqueue(state, requestOf(2, 1), 1);
    expect(serve(state, HOUR / 4 - 1)).toEqual([]);
    noteAway(state.nodes[2]!, 'did not answer, again', HOUR / 4 - 1);
    expect(serve(state, HOUR / 4)).toEqual([{ run: 'run-2', wanted: 1, names: ['n0'] }]);
    noteBack(state.nodes[2]!);
    enqueue(state, requestOf(3, 1), HOUR);
    giveBack(state, holderOf(2));
    expect(serve(state, HOUR)).toMatchObject([{ run: 'run-1', wanted: 3 }]);
  });

  it('a run that was told to do without a node does not get it again', () => {
    const state = poolOf(1);
    enqueue(state, requestOf(1, 1, { except: ['n0'] }), 0);
    expect(serve(state, 0)).toEqual([]);
    enqueue(state, requestOf(2, 1), 1);
    expect(serve(state, 1)).toMatchObject([{ run: 'run-2' }]);
  });

  it('a run that wants a spare lets others pass to nodes that it cannot have', () => {
    const state = poolOf(2);
    enqueue(state, requestOf(1, 1), 0);
    serve(state, 0);
    enqueue(state, requestOf(1, 1, { requestId: 'spare', spare: true, except: ['n1'] }), 1);
    enqueue(state, requestOf(2, 1), 2);
    enqueue(state, requestOf(3, 1), 3);
    expect(serve(state, 3)).toEqual([{ run: 'run-2', wanted: 1, names: ['n1'] }]);
    expect(state.waiting).toHaveLength(2);
  });

  it('a run that cannot train keeps no node from others that it cannot have', () => {
    const state = poolOf(2);
    enqueue(state, requestOf(1, 1), 0);
    serve(state, 0);
    enqueue(state, requestOf(1, 1, { requestId: 'in its place', except: ['n1'] }), 1);
    enqueue(state, requestOf(2, 1), 2);
    expect(serve(state, 2)).toEqual([{ run: 'run-2', wanted: 1, names: ['n1'] }]);
    state.nodes.push({ ...state.nodes[1]!, name: 'n2' });
    delete state.nodes[2]!.holder;
    enqueue(state, requestOf(3, 1), 3);
    expect(serve(state, 3)).toEqual([{ run: 'run-1', wanted: 1, names: ['n2'] }]);
  });

  it('the page says how old it is that a free node is there: nobody asks one that nobody wants', () => {
    const state = poolOf(2);
    for (const node of state.nodes) node.heard = Date.parse('2026-03-01T10:00:00Z');
    enqueue(state, requestOf(1, 1), 0);
    serve(state, 0);
    const page = describePool(state, Date.parse('2026-03-09T00:00:00Z'));
    expect(page).toContain(
      '| n0 | a | 1 × cpu |  | held by run-1 |\n| n1 | a | 1 × cpu | 2026-03-01 10:00 UTC | free |',
    );
  });

  it('says of which run it waits for the series', () => {
    const state = poolOf(2);
    enqueue(state, requestOf(1, 1, { series: 'same' }), 0);
    serve(state, 0);
    enqueue(state, requestOf(2, 1, { series: 'same' }), 1);
    expect(serve(state, 1)).toEqual([]);
    expect(placeOf(state, state.waiting[0]!, 1)).toBe('after run-1, which trains the same series');
  });
});
