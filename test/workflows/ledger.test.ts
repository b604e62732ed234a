/** Where the time of a run went, and what each cause cost. */
import { expect, it } from 'vitest';
import { causesOf, ledgerOf } from '../../workflows/ledger.js';
import { enterPhase, newState } from '../../workflows/status.js';

function wounded() {
  const state = newState('r', 's', 100);
  Object.assign(state, { nodes: ['n1', 'n2'], spares: ['n3'] });
  enterPhase(state, 'check', 0);
  state.generation = 1;
  enterPhase(state, 'train', 10_000);
  const failure = { generation: 1, startedFrom: 0, endedAt: 20, iteration: 31, at: 110_000, why: 'n2 did not answer' };
  state.failures.push({ ...failure, cause: 'node', culprit: 'n2' });
  enterPhase(state, 'restore', 112_000);
  state.generation = 2;
  enterPhase(state, 'train', 130_000);
  enterPhase(state, 'done', 230_000);
  return state;
}

it('every second of every node has a phase and a cause', () => {
  const rows = ledgerOf(wounded(), 230_000);
  expect(rows).toEqual([
    { phase: 'check', cause: 'work', nodeSeconds: 30 },
    { phase: 'train', cause: 'work', nodeSeconds: 606 },
    { phase: 'restore', cause: 'node', nodeSeconds: 54 },
  ]);
  expect(rows.reduce((sum, { nodeSeconds }) => sum + nodeSeconds, 0)).toBe(3 * 230);
});

it('a cause is answerable for the iterations that were trained again, and the time to the next launch', () => {
  expect(causesOf(wounded())).toEqual([{ cause: 'node', failures: 1, lostIterations: 11, toNextLaunch: 20 }]);
});
