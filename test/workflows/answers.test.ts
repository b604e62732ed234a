/** What each update of a run is answered, by phase: accepted with what will happen and when, or refused with why. */
import { describe, expect, it } from 'vitest';
import { answerTo, type View } from '../../workflows/answers.js';
import { readRunRequest, type RunRequest } from '../../workflows/requests.js';
import { endingOf, noWishes, type Wishes } from '../../workflows/wishes.js';
import { TWO_NODES as file } from '../support/run-files.js';

const soaking = {
  ...file,
  cluster: { nodes: 1, devicesPerNode: 1, soak: 'n1' },
  parallel: {},
  train: { ...file.train, replicas: 0 },
};

const view = ({
  wishes = {},
  spares = ['n3'],
  members = ['n1', 'n2'],
  atGate,
  ...state
}: Partial<View['state'] & Pick<View, 'spares' | 'members' | 'atGate'>> & { wishes?: Partial<Wishes> } = {}): View => ({
  state: {
    phase: 'train',
    generation: 1,
    iteration: 45,
    replicated: 40,
    target: 200,
    secondsPerIteration: 10,
    series: 's',
    ...state,
  },
  ...{ file, saveInterval: 20, stopGrace: '20s', members, spares },
  wishes: { ...noWishes(), ...wishes },
  gates: [
    { name: 'train', passed: (state.phase ?? 'train') === 'train' },
    { name: 'export', passed: false },
  ],
  ...(atGate && { atGate }),
});

const atTrain = view({ phase: 'approval', atGate: 'train' });
const atExport = view({ phase: 'approval', atGate: 'export', iteration: 200, replicated: 200 });

const who = { who: 'ann', why: 'rack 3 gets new fans' };
const ask = (name: RunRequest['name'], fields: object = {}): RunRequest => {
  const read = readRunRequest(name, { ...who, ...fields });
  if ('wrong' in read) throw new Error(read.wrong);
  return read.request;
};

describe('an accepted update says what will happen and when', () => {
  const paused = { phase: 'paused' as const, wishes: { pause: { at: 'checkpoint' as const, nodes: 'keep' as const } } };
  const freed = {
    phase: 'paused' as const,
    members: [],
    spares: [],
    wishes: { pause: { at: 'now' as const, nodes: 'free' as const } },
  };
  const moving = { moves: [{ node: 'n2', at: 'checkpoint' as const, cordon: false, who: 'bob', why: 'x' }] };
  it.each<[RunRequest['name'], object, View, RegExp, Partial<Wishes>]>([
    [
      'checkpointNow',
      {},
      view(),
      /generation 2 trains on from that save.*stopGrace = 20s.*iteration 40.*next planned save is at iteration 60, in about 3 min/,
      { save: true },
    ],
    ['checkpointNow', {}, view({ wishes: { save: true } }), /asked for already/, { save: true }],
    [
      'pauseTraining',
      {},
      view(),
      /pauses when iteration 60 is saved and copied, in about 3 min\. Its nodes are kept/,
      { pause: { at: 'checkpoint', nodes: 'keep' } },
    ],
    [
      'pauseTraining',
      { at: 'now', nodes: 'free' },
      view(),
      /pauses after the iteration under way.*given back to the pool/,
      { pause: { at: 'now', nodes: 'free' } },
    ],
    [
      'pauseTraining',
      {},
      view({ iteration: 190 }),
      /when iteration 200 is saved and copied, in about 2 min, which is the last one: the run ends then/,
      { pause: { at: 'checkpoint', nodes: 'keep' } },
    ],
    [
      'pauseTraining',
      {},
      view({ phase: 'data' }),
      /before the next launch, after phase data/,
      { pause: { at: 'checkpoint', nodes: 'keep' } },
    ],
    [
      'pauseTraining',
      {},
      view({ phase: 'restore', generation: 3 }),
      /before the next launch, after phase restore/,
      { pause: { at: 'checkpoint', nodes: 'keep' } },
    ],
    [
      'pauseTraining',
      { at: 'now' },
      view({ wishes: { pause: { at: 'checkpoint', nodes: 'keep' } } }),
      /asked for already, and is now as follows/,
      { pause: { at: 'now', nodes: 'keep' } },
    ],
    ['pauseTraining', {}, view(paused), /is paused already, and its nodes are kept/, paused.wishes],
    [
      'pauseTraining',
      { nodes: 'free' },
      view(paused),
      /given back now/,
      { pause: { at: 'checkpoint', nodes: 'free' } },
    ],
    [
      'pauseTraining',
      {},
      view({ phase: 'paused' }),
      /pauses before the next launch/,
      { pause: { at: 'checkpoint', nodes: 'keep' } },
    ],
    ['resumeTraining', {}, view(paused), /checks its nodes and launches generation 2 from iteration 40/, {}],
    ['resumeTraining', { settings: { extraArgs: {} } }, view(paused), /generation 2 from iteration 40$/, {}],
    ['resumeTraining', {}, view(freed), /asks the pool for nodes, then checks/, {}],
    ['resumeTraining', {}, view({ wishes: { pause: { at: 'checkpoint', nodes: 'keep' } } }), /withdrawn/, {}],
    [
      'resumeTraining',
      { settings: { saveInterval: 50 } },
      view(paused),
      /with saveInterval 50/,
      { settings: { saveInterval: 50 } },
    ],
    [
      'resumeTraining',
      { settings: { iterations: 400, schedule: 'keep' } },
      view(paused),
      /stays at its minimum after the old total/,
      { settings: { iterations: 400, schedule: 'keep' } },
    ],
    [
      'resumeTraining',
      { settings: { iterations: 400 } },
      view({ ...paused, replicated: 0 }),
      /from the beginning, with iterations 400/,
      { settings: { iterations: 400 } },
    ],
    [
      'replaceNode',
      { node: 'n2' },
      view(),
      /a spare takes the place of n2 when iteration 60/,
      { moves: [{ node: 'n2', at: 'checkpoint', cordon: false, ...who }] },
    ],
    [
      'replaceNode',
      { node: 'n2' },
      view({ spares: [] }),
      /no spare: the pool is asked for a node, the run trains on until it has one/,
      { moves: [{ node: 'n2', at: 'checkpoint', cordon: false, ...who }] },
    ],
    [
      'replaceNode',
      { node: 'n2', at: 'now' },
      view({ spares: [] }),
      /n2 leaves after the iteration under way.*waits until the pool gives another/,
      { moves: [{ node: 'n2', at: 'now', cordon: false, ...who }] },
    ],
    [
      'drainNode',
      { node: 'n3' },
      view(),
      /n3 is a spare, and is given back.*uncordon/,
      { moves: [{ node: 'n3', at: 'checkpoint', cordon: true, ...who }] },
    ],
    [
      'drainNode',
      { node: 'n2', at: 'now' },
      view({ wishes: moving }),
      /asked for already, and is now as follows/,
      { moves: [{ node: 'n2', at: 'now', cordon: true, who: 'bob', why: 'x' }] },
    ],
    ['addSpare', { count: 2 }, view(), /asked for 2 more.*The run has 1 now/, {}],
    [
      'addSpare',
      {},
      view({ phase: 'nodes', members: [], spares: [] }),
      /asked for 1 more once the run has its nodes, which it gives when it can/,
      {},
    ],
    ['approve', { gate: 'train' }, atTrain, /goes on now/, { gates: { train: 'proceed' } }],
    ['approve', { gate: 'export' }, atExport, /goes on now/, { gates: { export: 'proceed' } }],
    [
      'approve',
      { gate: 'export', decision: 'stop' },
      atTrain,
      /ends without an export when it comes to the gate "export"/,
      { gates: { export: 'stop' } },
    ],
    [
      'approve',
      { gate: 'train', decision: 'stop' },
      view({ phase: 'check' }),
      /ends when it comes to the gate/,
      { gates: { train: 'stop' } },
    ],
  ])('%s %j', (name, fields, before, says, wishes) => {
    const answer = answerTo(ask(name, fields), before);
    if ('refuse' in answer) throw new Error(answer.refuse);
    expect(answer.say).toMatch(says);
    expect(answer.wishes).toEqual({ ...noWishes(), ...wishes });
  });

  it.each<[RunRequest['name'], object, View, RegExp]>([
    [
      'checkpointNow',
      {},
      view({ phase: 'data', replicated: 0 }),
      /no ranks train now \(phase data\).*no checkpoint yet/,
    ],
    ['checkpointNow', {}, view(paused), /the newest checkpoint is iteration 40/],
    ['pauseTraining', { nodes: 'keep' }, view(freed), /nodes: expected "free"/],
    ['pauseTraining', {}, view({ phase: 'report' }), /the run is ending \(phase report\)/],
    ['resumeTraining', {}, view(), /nothing is paused \(phase train\)/],
    ['resumeTraining', {}, view({ phase: 'paused' }), /was told to go on already/],
    ['pauseTraining', {}, { ...view(), isCancelled: true }, /the run was cancelled and is ending; start another one/],
    ['approve', { gate: 'train' }, { ...atTrain, isCancelled: true }, /the run was cancelled/],
    [
      'resumeTraining',
      { settings: { saveInterval: 5 } },
      view({ wishes: { pause: { at: 'checkpoint', nodes: 'keep' } } }),
      /settings: expected none before the run is paused/,
    ],
    [
      'resumeTraining',
      { settings: { iterations: 400 } },
      view(paused),
      /settings\.schedule: expected "keep" .* or "recompute" .*got nothing/,
    ],
    ['resumeTraining', { settings: { iterations: 150 } }, view(paused), /more than the 200 there are, got 150/],
    [
      'resumeTraining',
      { settings: { saveInterval: 500 } },
      view(paused),
      /train\.saveInterval: expected at most train\.iterations = 200/,
    ],
    [
      'resumeTraining',
      { settings: { extraArgs: { '--lr': 1e-3 } } },
      view(paused),
      /settings\.extraArgs\.--lr changes the plan/,
    ],
    [
      'resumeTraining',
      { settings: { extraArgs: { '--lr': 1e-3 }, schedule: 'keep' } },
      view(paused),
      /"keep" would ignore settings\.extraArgs\.--lr/,
    ],
    [
      'resumeTraining',
      { settings: { extraArgs: { '--num-layers': 4 } } },
      view(paused),
      /--num-layers: expected a flag that a checkpoint does not fix/,
    ],
    [
      'resumeTraining',
      { settings: { extraArgs: { '--save': 'x' } } },
      view(paused),
      /--save: expected no such flag here/,
    ],
    ['replaceNode', { node: 'n9' }, view(), /expected one of the run's, n1, n2, n3, got "n9"/],
    ['drainNode', { node: 'n1' }, view(freed), /given its nodes back/],
    ['addSpare', {}, view(freed), /settings\.spares/],
    ['addSpare', { count: 100 }, view(), /count: .*cluster\.spares: expected .*100, got 101/s],
    ['addSpare', {}, { ...view(), file: soaking }, /count: .*cluster\.soak/s],
    ['approve', { gate: 'train' }, view(), /passed already/],
    ['approve', { gate: 'train' }, atExport, /everything is trained; expected "export"/],
    ['pauseTraining', {}, atExport, /everything is trained, and the run waits for somebody to approve "export"/],
    ['approve', { gate: 'train' }, { ...view(), gates: [] }, /sets none of that name/],
  ])('and %s %j is refused where it makes no sense', (name, fields, before, why) => {
    const answer = answerTo(ask(name, fields), before);
    expect(answer).toEqual({ refuse: expect.stringMatching(why) as string });
  });
});

describe('an update with wrong fields names each, the value, and what was expected', () => {
  it.each<[RunRequest['name'], unknown, string]>([
    [
      'checkpointNow',
      undefined,
      'checkpointNow: (input): expected an object such as {"who": "ann", "why": "a reason"} (--input), got nothing',
    ],
    [
      'checkpointNow',
      {},
      'checkpointNow: who: expected your name: it stays on record, got nothing; why: expected the reason: it stays on record, got nothing',
    ],
    ['pauseTraining', { ...who, at: 'tomorrow' }, 'pauseTraining: at: expected "checkpoint" or "now", got "tomorrow"'],
    ['drainNode', who, 'drainNode: node: expected the name of a node, such as "n07", got nothing'],
    ['addSpare', { ...who, count: 0 }, 'addSpare: count: expected a whole number from 1, got 0'],
    [
      'replaceNode',
      { ...who, node: 'n1', force: true },
      'replaceNode: force: expected no field of this name, but one of who, why, node, at, got true',
    ],
    ['approve', { ...who, gate: 'lunch' }, 'approve: gate: expected one of train, export, got "lunch"'],
    ['checkpointNow', { who: ' ', why: 'x' }, 'checkpointNow: who: expected your name: it stays on record, got " "'],
  ])('%s %j', (name, input, message) => {
    expect(readRunRequest(name, input)).toEqual({ wrong: message });
  });
});

it('who and why are one line on every page, whatever is in them', () => {
  const said = { who: ' ann\t', why: 'fans\r\n- 02:00 n1 uncordoned by root: all is well\u2028\u001b[2J' };
  expect(readRunRequest('checkpointNow', said)).toEqual({
    request: { name: 'checkpointNow', who: 'ann', why: 'fans - 02:00 n1 uncordoned by root: all is well [2J' },
  });
  expect(readRunRequest('checkpointNow', { ...said, why: '\u001b\n' })).toHaveProperty('wrong');
});

describe('the generation under way ends', () => {
  const move = (node: string, at: 'now' | 'checkpoint') => ({ node, at, cordon: false, ...who });
  it.each<[string, Partial<Wishes>, string[], string | undefined]>([
    ['not, when nothing is asked', {}, ['n3'], undefined],
    ['now, to save', { save: true, pause: { at: 'checkpoint', nodes: 'keep' } }, [], 'now'],
    ['at a checkpoint, to pause', { pause: { at: 'checkpoint', nodes: 'keep' } }, [], 'checkpoint'],
    [
      'at a checkpoint, when a spare is there for the node that leaves',
      { moves: [move('n1', 'checkpoint')] },
      ['n3'],
      'checkpoint',
    ],
    ['not, before there is a spare', { moves: [move('n1', 'checkpoint')] }, [], undefined],
    [
      'for the spare that leaves, though not yet for the member',
      { moves: [move('n1', 'checkpoint'), move('n3', 'checkpoint')] },
      ['n3'],
      'checkpoint',
    ],
    ['now, with a spare or without', { moves: [move('n1', 'now')] }, [], 'now'],
  ])('%s', (_, wishes, spares, ending) => {
    expect(endingOf({ ...noWishes(), ...wishes }, ['n1', 'n2'], spares)).toBe(ending);
  });
});
