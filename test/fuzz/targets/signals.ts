import fc from 'fast-check';
import { applyToPool } from '../../../workflows/cordon.js';
import { describePool, placeOf } from '../../../workflows/pool-page.js';
import { noteFault, passSoak } from '../../../workflows/quarantine.js';
import { candidates, enqueue, giveBack, grant, nextRequest, type PoolState } from '../../../workflows/roster.js';
import { problemIn } from '../../../workflows/signal-shapes.js';

import { mutatedJson } from '../mutate.js';
import type { Target } from '../target.js';

const holder = { workflowId: 'r', firstRunId: 'f' };
const node = { name: 'n1', address: '10.0.0.1', port: 7, devices: 8, profile: 'npu' };
const seeds: Record<string, object> = {
  join: { ...node, token: 3 },
  acquire: { requestId: 'f/nodes-1', holder, series: 's', nodes: 1, devices: 8, priority: 2, except: ['n2'] },
  reportLost: { node: 'n1', reason: 'silent' },
  reportFault: { node: 'n1', reason: 'device 3 is sick', at: 5 },
  soaked: { node: 'n1', holder, iterations: 50 },
  release: { holder, nodes: ['n1'], unused: ['n1'] },
  cordonNode: { node: 'n1', who: 'ann', why: 'fans' },
};

type Sent = [name: string, sent: unknown];
const signal: fc.Arbitrary<Sent> = fc.oneof(
  ...Object.entries(seeds).map(([name, seed]) =>
    fc.oneof(mutatedJson([seed]), fc.constant(seed)).map((sent): Sent => [name, sent]),
  ),
);

/** Whatever signals a pool is sent, what passes leaves it one that still answers, serves and can be carried on. */
export const poolSignals: Target<Sent[]> = {
  name: 'pool-signals',
  inputs: fc.array(signal, { maxLength: 12 }),
  check(all) {
    const state: PoolState = { nodes: [], waiting: [], token: 0 };
    all.forEach(([name, said], now) => {
      // As it comes over the wire.
      const sent: unknown = said === undefined ? undefined : JSON.parse(JSON.stringify(said) ?? 'null');
      if (problemIn(name, sent) === undefined) take(state, name, sent as never, now);
      const turn = nextRequest(state, now);
      const chosen = turn && candidates(state, turn);
      if (turn && chosen) grant(state, turn, chosen);
    });
    const carried = JSON.parse(JSON.stringify(state)) as PoolState;
    for (const request of carried.waiting) placeOf(carried, request, 99);
    if (!describePool(carried, 99)) throw new Error('a pool without a page');
    if (!Number.isSafeInteger(state.token + 1)) throw new Error(`token ${state.token}`);
  },
};

/** As workflows/node-pool.ts does it. */
function take(state: PoolState, name: string, sent: never, now: number): void {
  const handlers: Record<string, () => void> = {
    join() {
      const { token, ...info } = sent as { token: number; name: string };
      state.token = Math.max(state.token, token);
      const known = state.nodes.find((other) => other.name === info.name);
      if (known) Object.assign(known, info, { heard: now });
      else state.nodes.push({ ...(info as PoolState['nodes'][number]), heard: now });
    },
    acquire: () => enqueue(state, sent, now),
    reportLost: () => undefined,
    reportFault: () => noteFault(state, sent),
    soaked: () => passSoak(state, sent, now),
    release() {
      const { holder: by, nodes, unused } = sent as { holder: typeof holder; nodes: string[]; unused: string[] };
      giveBack(state, by, nodes, unused);
    },
    cordonNode: () => applyToPool(state, { name: 'cordon', ...(sent as object) } as never, now),
  };
  handlers[name]!();
}
