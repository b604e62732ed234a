/** What is simulated, and what comes of it. */
import type { Cause } from '../../../workflows/failure-cause.js';
import type { FailureLimits } from '../../../workflows/failure-limits.js';
import { dalyInterval, mtbfSeconds } from '../../../workflows/save-interval.js';
import type { Parallel } from '../../../workflows/topology.js';
import type { Assumptions } from './assumptions.js';
import type { NodeSeconds, Phase } from './clock.js';
import type { FaultProfile } from './faults.js';

export interface Scenario {
  nodes: number;
  devices: number;
  spares: number;
  /** Nodes of the pool that nobody holds at first. */
  extra: number;
  replicas: number;
  parallel: Parallel;
  profile: FaultProfile;
  /** Seconds of training between two saves. */
  interval: number;
  days: number;
  seed: number;
  limits: FailureLimits;
  assumptions: Assumptions;
}

export interface Outcome {
  seconds: number;
  /** Wall time of the gang, by what it went to. */
  spent: Record<Phase, number>;
  /** The same time of every node of the pool, by where it was. */
  nodeSeconds: NodeSeconds;
  lostByCause: Partial<Record<Cause, number>>;
  failures: Partial<Record<Cause, number>>;
  generations: number;
  /** Runs that ended before their time, by why. */
  ended: Record<string, number>;
}

/** Effective-training-time ratio: time in iterations that counted, over all time. */
export const ratioOf = ({ spent, seconds }: Outcome): number => spent.training / seconds;

export const mtbfOf = ({ nodes, devices, profile }: Pick<Scenario, 'nodes' | 'devices' | 'profile'>): number =>
  mtbfSeconds(nodes * devices, profile.deviceDays);

export const dalyOf = (scenario: Pick<Scenario, 'nodes' | 'devices' | 'profile' | 'assumptions'>): number =>
  dalyInterval(scenario.assumptions.save, mtbfOf(scenario));
