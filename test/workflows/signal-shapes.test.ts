/** A signal that is not what it should be is known before its handler has it. */
import { describe, expect, it } from 'vitest';
import * as messages from '../../workflows/messages.js';
import { isShaped, problemIn } from '../../workflows/signal-shapes.js';

const signals = Object.values(messages)
  .filter((value) => typeof value === 'object' && value.type === 'signal')
  .map(({ name }) => name);

const HOSTILE: unknown[] = [undefined, null, 'x', 7, [], {}, { token: '1' }, { nodes: {} }, { holder: null }];

describe.each(signals)('the signal %s', (signal) => {
  it('has something that says what it must hold, and nothing else passes', () => {
    expect(isShaped(signal)).toBe(true);
    for (const sent of HOSTILE) expect([sent, problemIn(signal, sent)]).toEqual([sent, expect.any(String)]);
  });
});

const node = { name: 'n1', address: '10.0.0.1', port: 7, devices: 8, profile: 'npu' };

it.each<[string, object]>([
  ['join', { ...node, token: 3, tls: true, later: 'version' }],
  [
    'trainingProgress',
    {
      token: 1,
      iteration: 5,
      loss: null,
      points: [
        [4, 2.5],
        [5, null],
      ],
    },
  ],
  ['endGeneration', { token: 1 }],
  ['preparationNews', { token: 1, waitsFor: null }],
])('%s passes as it is sent', (signal, sent) => {
  expect(problemIn(signal, sent)).toBeUndefined();
});

it.each<[string, object, RegExp]>([
  ['join', { ...node, token: 2 ** 60 }, /^token: /],
  ['join', { ...node, name: '../n1', token: 1 }, /^name: expected the name of a node, got "..\/n1"$/],
  ['release', { holder: { workflowId: 'r' } }, /^holder.firstRunId: /],
])('%s is told with the field that is wrong', (signal, sent, problem) => {
  expect(problemIn(signal, sent)).toMatch(problem);
});
