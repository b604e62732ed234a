/** Many simulated runs: means over seeds, and how the answer moves with each assumption. */
import { ASSUMPTIONS } from './assumptions.js';
import { PHASES, type Phase } from './clock.js';
import { dalyOf, mtbfOf, ratioOf, type Outcome, type Scenario } from './scenario.js';
import { simulate } from './simulate.js';

export interface Mean {
  ratio: number;
  /** Standard error of the ratio over the seeds. */
  error: number;
  shares: Record<Phase, number>;
  failures: number;
  ended: Record<string, number>;
  /** Node-seconds of the pool, a run's mean. */
  nodeSeconds: Outcome['nodeSeconds'];
}

export function meanOf(scenario: Scenario, seeds: number): Mean {
  const outcomes = Array.from({ length: seeds }, (_, index) => simulate({ ...scenario, seed: scenario.seed + index }));
  const mean = (value: (outcome: Outcome) => number) => outcomes.reduce((sum, one) => sum + value(one), 0) / seeds;
  const ratio = mean(ratioOf);
  const variance = mean((one) => (ratioOf(one) - ratio) ** 2);
  const reasons = [...new Set(outcomes.flatMap(({ ended }) => Object.keys(ended)))];
  return {
    ratio,
    error: seeds > 1 ? Math.sqrt(variance / (seeds - 1)) : 0,
    shares: byName(PHASES, (phase) => mean(({ spent, seconds }) => spent[phase] / seconds)),
    failures: mean(({ failures }) => Object.values(failures).reduce((sum, count) => sum + count, 0)),
    ended: byName(reasons, (why) => mean(({ ended }) => ended[why] ?? 0)),
    nodeSeconds: byName(['gang', 'spare', 'free', 'out'] as const, (where) =>
      mean(({ nodeSeconds }) => nodeSeconds[where]),
    ),
  };
}

const byName = <K extends string>(names: readonly K[], value: (name: K) => number): Record<K, number> =>
  Object.fromEntries(names.map((name) => [name, value(name)])) as Record<K, number>;

/** Of Daly's interval. */
const TRIED = [0.25, 0.35, 0.5, 0.71, 1, 1.41, 2, 2.83, 4];

export function tryIntervals(scenario: Scenario, seeds: number) {
  const daly = dalyOf(scenario);
  const tried = TRIED.map((factor) => {
    const interval = daly * factor;
    return { interval, ...meanOf({ ...scenario, interval }, seeds) };
  });
  const best = tried.reduce((a, b) => (b.ratio > a.ratio ? b : a));
  return { daly, young: Math.sqrt(2 * scenario.assumptions.save * mtbfOf(scenario)), tried, best };
}

export interface Sensitivity {
  name: string;
  value: number;
  halved: number;
  doubled: number;
}

/** Each assumption by itself, halved and doubled; the save interval stays as it is. */
export function sensitivities(scenario: Scenario, seeds: number): Sensitivity[] {
  const names = Object.keys(ASSUMPTIONS) as (keyof typeof ASSUMPTIONS)[];
  const at = (changed: Partial<Scenario>) => meanOf({ ...scenario, ...changed }, seeds).ratio;
  const assumed = names.map((name) => {
    const value = scenario.assumptions[name];
    const with_ = (factor: number) => at({ assumptions: { ...scenario.assumptions, [name]: value * factor } });
    return { name, value, halved: with_(0.5), doubled: with_(2) };
  });
  const { profile } = scenario;
  const rate = (factor: number) => at({ profile: { ...profile, deviceDays: profile.deviceDays / factor } });
  return [{ name: 'faults', value: 1 / profile.deviceDays, halved: rate(0.5), doubled: rate(2) }, ...assumed];
}
