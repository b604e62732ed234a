/** The simulation holds itself to account, and to the formula where there is one. */
import { describe, expect, it } from 'vitest';
import { blame } from '../../../workflows/failure-cause.js';
import { failureLimits } from '../../../workflows/failure-limits.js';
import { youngInterval } from '../../../workflows/save-interval.js';
import { defaults, startSeconds } from './assumptions.js';
import { membersOf } from './evidence.js';
import { FAULT_KINDS, PROFILES, type FaultProfile } from './faults.js';
import { progressAfter } from './saves.js';
import { mtbfOf, ratioOf, type Scenario } from './scenario.js';
import { asIfSmall, scenarioOf, type Wanted } from './scenarios.js';
import { silences } from './silence.js';
import { simulate } from './simulate.js';
import { meanOf } from './study.js';

const DAY = 86_400;
const sum = (of: Record<string, number>): number => Object.values(of).reduce((a, b) => a + b, 0);
const never: FaultProfile = { name: 'never', source: '', deviceDays: 1e12 };
const scenario = (wanted: Wanted, more: Partial<Scenario> = {}): Scenario => ({ ...scenarioOf(wanted), ...more });

describe('a simulated run', () => {
  it.each([
    { nodes: 2, profile: 'sick' },
    { nodes: 16, profile: 'ant', spares: 0 },
    { nodes: 63, profile: 'sick', spares: 1 },
    { nodes: 128, profile: 'ant', replicas: 0 },
  ])('of $nodes nodes at the rate $profile accounts for every second, and for every node at every second', (wanted) => {
    const { seconds, spent, nodeSeconds, ...rest } = simulate(scenario(wanted));
    expect(seconds).toBeCloseTo(54 * DAY, 3);
    expect(sum(spent)).toBeCloseTo(seconds, 3);
    expect(Math.min(...Object.values(spent))).toBeGreaterThanOrEqual(-1e-6);
    const { nodes, spares } = scenario(wanted);
    expect(sum(nodeSeconds) / (seconds * (nodes + spares))).toBeCloseTo(1, 9);
    // The gang is whole but for when it waits, is being put together, or nobody runs it.
    const whole = seconds - spent.waiting - spent.person;
    expect(nodeSeconds.gang).toBeGreaterThanOrEqual((whole - spent.decision - spent['start-up']) * nodes - 1);
    expect(sum(rest.lostByCause)).toBeCloseTo(spent['lost work'], 3);
  });

  it('without faults trains all the time but for saves and one start', () => {
    const outcome = simulate(scenario({ nodes: 16, interval: 600 }, { profile: never }));
    const { step, save } = defaults();
    const { spent, seconds, generations } = outcome;
    expect(generations).toBe(1);
    const training = seconds - spent['start-up'] - spent.decision;
    expect(spent.training / training).toBeCloseTo(600 / (600 + save), 3);
    expect(spent['start-up']).toBeCloseTo(startSeconds(defaults(), 128), 6);
    expect(spent.saves + spent.training).toBeCloseTo(training, 6);
    expect(step).toBeGreaterThan(0);
  });

  it('ends the same for the same seed, and otherwise for another', () => {
    const one = scenario({ nodes: 63, profile: 'sick' });
    expect(simulate(one)).toEqual(simulate(one));
    expect(simulate({ ...one, seed: 2 })).not.toEqual(simulate(one));
  });

  it('is never worse with more spares, but for noise', () => {
    const at = [0, 1, 2, 4, 8].map((spares) => meanOf(scenario({ nodes: 63, profile: 'ant', spares }), 6));
    for (const [index, less] of at.slice(0, -1).entries()) {
      const more = at[index + 1]!;
      expect(more.ratio).toBeGreaterThan(less.ratio - 2 * (less.error + more.error) - 0.002);
    }
    expect(at.at(-1)!.ratio).toBeGreaterThan(at[0]!.ratio + 0.05);
  });

  it('without replicas ends for want of a complete checkpoint, and with them does not', () => {
    const ended = (replicas: number) => meanOf(scenario({ nodes: 128, profile: 'ant', replicas }), 3).ended;
    expect(ended(0)['no complete checkpoint']).toBeGreaterThan(0);
    expect(ended(1)['no complete checkpoint']).toBeUndefined();
  });

  it('ends where the limits of a few devices are spent, and not with those that suit as many as it has', () => {
    const large = scenario({ nodes: 600, profile: 'llama3' });
    expect(simulate(asIfSmall(large)).ended['recovery.maxFailures']).toBeGreaterThan(0);
    expect(simulate(large).ended['recovery.maxFailures']).toBeUndefined();
  });
});

describe('where only a process dies and a restart takes a fixed time', () => {
  /** Failures are Poisson, restarts included: Daly 2006, equation 13. */
  const expected = (interval: number, save: number, mtbf: number, restart: number): number =>
    interval / (mtbf * Math.exp(restart / mtbf) * Math.expm1((interval + save) / mtbf));

  it.each([0.5, 1, 2])('saving at %s of the best interval costs what the formula says', (factor) => {
    const assumptions = {
      ...defaults(),
      ...{ step: 1, save: 60, copy: 0, detectExit: 0, detectLost: 0, decide: 0, decideNode: 0 },
      ...{ load: 0, start8: 300, start10k: 300, person: 0, bring: 0 },
    };
    const few = scenarioOf({ nodes: 4, profile: 'ant', assumptions, days: 300 });
    const base = { ...few, profile: { ...few.profile, deviceDays: few.profile.deviceDays / 32 } };
    const interval = Math.round(factor * youngInterval(60, mtbfOf({ ...base })));
    const outcomes = [1, 2, 3, 4].map((seed) => simulate(onlyProcesses({ ...base, interval, seed })));
    const simulated = outcomes.reduce((all, one) => all + ratioOf(one), 0) / outcomes.length;
    const mtbf = (base.days * DAY * outcomes.length) / outcomes.reduce((all, one) => all + sum(one.failures), 0);
    expect(simulated / expected(interval, 60, mtbf, 300)).toBeCloseTo(1, 2);
  });

  const onlyProcesses = (one: Scenario): Scenario => ({
    ...one,
    limits: failureLimits({ maxFailures: 10_000 }, 1),
    replicas: 0,
    spares: 0,
    profile: { ...one.profile, kinds: FAULT_KINDS.filter(({ name }) => name === 'software bug') },
  });
});

describe('the parts of the simulation', () => {
  it('counts iterations, saves and copies of a stretch of training', () => {
    const timing = { from: 100, every: 10, step: 2, save: 5, copy: 7 };
    expect(progressAfter(0, timing)).toMatchObject({ iteration: 100, replicated: 100, trained: 0, saves: [] });
    expect(progressAfter(22, timing)).toMatchObject({ iteration: 110, trained: 20, saving: 2, isSaving: true });
    expect(progressAfter(31, timing)).toMatchObject({
      iteration: 113,
      replicated: 100,
      saves: [{ iteration: 110, at: 25 }],
    });
    expect(progressAfter(32, timing)).toMatchObject({ replicated: 110, trained: 27, saving: 5 });
  });

  it('has the faults of Llama 3, in all', () => {
    expect(FAULT_KINDS.reduce((all, { count }) => all + count, 0)).toBe(419);
    expect(mtbfOf({ nodes: 2048, devices: 8, profile: PROFILES['llama3']! }) / 3600).toBeCloseTo(3.09, 2);
  });

  it.each(FAULT_KINDS.map((kind) => [kind.name, kind] as const))(
    'lets the pipeline blame the right node for: %s',
    (_, kind) => {
      const members = ['n1', 'n2', 'n3', 'n4'];
      const gang = members.map((name) => ({ name, address: name }));
      const { cause, nodes } = blame(membersOf(members, [{ kind, node: 'n2' }]), { startedFrom: 0, target: 10 }, gang);
      if (kind.shows === 'hung') expect({ cause, nodes }).toEqual({ cause: 'hang', nodes: [] });
      else expect(nodes).toEqual(['n2']);
      if (kind.shows === 'lost') expect(cause).toBe('node');
    },
  );

  it('lets the pipeline name the node whose links are not built', () => {
    const members = ['n1', 'n2', 'n3'];
    const gang = members.map((name) => ({ name, address: name }));
    const seen = blame(membersOf(members, [{ node: 'n2', atLinkUp: true }]), { startedFrom: 0, target: 10 }, gang);
    expect(seen).toMatchObject({ cause: 'network', nodes: ['n2'] });
  });

  it('takes patience with silence from the detector: five steps, a minute at least, more in a save, half an hour at the start', () => {
    expect(silences(1, 30, 200)).toEqual({ step: 60, save: 60 + 150, start: 1800 });
    expect(silences(40, 30, 900)).toEqual({ step: 200, save: 200 + 150, start: 2700 });
  });
});
