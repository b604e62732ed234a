/** Where the time of a run went, and what each cause cost. */
import { expect, it } from 'vitest';
import { causesOf, effectiveTime, ledgerOf, noteHeld, noteTrained } from '../../workflows/ledger.js';
import { enterPhase, newState, type RunState } from '../../workflows/status.js';

/** Three nodes, an iteration of 2 s; generation 1 trains to 31 and dies, generation 2 goes on from 20. */
function wounded(): RunState {
  const state = newState('r', 's', 100);
  enterPhase(state, 'nodes', 0);
  Object.assign(state, { nodes: ['n1', 'n2'], spares: ['n3'] });
  noteHeld(state, 5_000);
  enterPhase(state, 'check', 5_000);
  state.generation = 1;
  enterPhase(state, 'train', 10_000, 0);
  for (const iteration of [1, 10, 31])
    noteTrained(state, 20_000 + iteration * 2_000, { iteration, secondsPerIteration: 2 });
  const failure = { generation: 1, startedFrom: 0, endedAt: 20, iteration: 31, at: 110_000, why: 'n2 did not answer' };
  state.failures.push({ ...failure, cause: 'node', culprit: 'n2' });
  enterPhase(state, 'nodes', 110_000);
  state.spares = [];
  noteHeld(state, 112_000);
  enterPhase(state, 'restore', 112_000);
  state.generation = 2;
  enterPhase(state, 'train', 130_000, 20);
  for (const iteration of [21, 60])
    noteTrained(state, 140_000 + (iteration - 20) * 2_000, { iteration, secondsPerIteration: 2 });
  enterPhase(state, 'done', 230_000);
  return state;
}

it('every second of every node has a phase and a cause', () => {
  const rows = ledgerOf(wounded(), 230_000);
  expect(rows).toEqual([
    { phase: 'nodes', cause: 'work', nodeSeconds: 0 },
    { phase: 'check', cause: 'work', nodeSeconds: 3 * 5 },
    { phase: 'start-up', cause: 'work', nodeSeconds: 3 * 10 },
    { phase: 'train', cause: 'work', nodeSeconds: 3 * 40 + 2 * 80 },
    { phase: 'train again', cause: 'node', nodeSeconds: 3 * 22 },
    { phase: 'notice and stop', cause: 'node', nodeSeconds: 3 * 28 },
    { phase: 'nodes', cause: 'node', nodeSeconds: 3 * 2 },
    { phase: 'restore', cause: 'node', nodeSeconds: 2 * 18 },
    { phase: 'start-up', cause: 'node', nodeSeconds: 2 * 10 },
    { phase: 'save', cause: 'work', nodeSeconds: 2 * 10 },
  ]);
  const all = rows.reduce((sum, { nodeSeconds }) => sum + nodeSeconds, 0);
  expect(all).toBeCloseTo(3 * 107 + 2 * 118, 6);
});

it('time trained is that of iterations that count, of the whole time, that for nodes to wait for included', () => {
  expect(effectiveTime(wounded(), 230_000)).toBeCloseTo((40 + 80) / 230, 6);
  expect(effectiveTime(newState('r', 's', 1), 5)).toBeUndefined();
});

it('a cause is answerable for the iterations that were trained again, and the time to the next launch', () => {
  expect(causesOf(wounded())).toEqual([{ cause: 'node', failures: 1, lostIterations: 11, toNextLaunch: 20 }]);
});

it('iterations that the last failure has cost are lost also while nothing trains yet', () => {
  const state = wounded();
  state.phases = state.phases.slice(0, 5);
  const again = ledgerOf(state, 130_000).find(({ phase }) => phase === 'train again');
  expect(again).toEqual({ phase: 'train again', cause: 'node', nodeSeconds: 3 * 22 });
});

it('a save that was sealed after the failure is not trained again', () => {
  const state = wounded();
  state.phases.find(({ trained }) => trained?.generation === 2)!.trained!.from = 30;
  expect(causesOf(state)[0]).toMatchObject({ lostIterations: 1 });
});

it('a training without a word of its pace counts as start-up, and a run without counts of nodes by those it has', () => {
  const state = newState('r', 's', 10);
  state.nodes = ['n1', 'n2'];
  state.generation = 1;
  enterPhase(state, 'train', 0, 0);
  expect(ledgerOf(state, 4_000)).toEqual([{ phase: 'start-up', cause: 'work', nodeSeconds: 8 }]);
});
