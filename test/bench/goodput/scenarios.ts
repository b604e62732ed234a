/** The scenarios of the default table, and how others are made from options. */
import { failureLimits } from '../../../workflows/failure-limits.js';
import { defaults, type Assumptions } from './assumptions.js';
import { PROFILES } from './faults.js';
import { dalyOf, type Scenario } from './scenario.js';

/** One spare in so many nodes, as is common (5 to 10 % on small clusters, less on large ones). */
const NODES_A_SPARE = 32;

/** As many tensor ranks as a server has devices, up to 8, and as many stages as come out even, up to 16. */
export function layoutOf(nodes: number, devices: number): Scenario['parallel'] {
  const tp = [8, 4, 2, 1].find((size) => devices % size === 0)!;
  const world = nodes * devices;
  const pp = [16, 8, 4, 2, 1].find((stages) => stages <= nodes && world % (tp * stages) === 0)!;
  return { tp, pp, cp: 1, ep: 1 };
}

export interface Wanted {
  nodes: number;
  devices?: number;
  profile?: string;
  spares?: number;
  replicas?: number;
  interval?: number;
  days?: number;
  recovery?: Parameters<typeof failureLimits>[0];
  assumptions?: Assumptions;
}

export function scenarioOf(wanted: Wanted): Scenario {
  const { nodes, devices = 8, days = 54, assumptions = defaults() } = wanted;
  const profile = PROFILES[wanted.profile ?? 'llama3'];
  if (!profile)
    throw new Error(`--profile: expected one of ${Object.keys(PROFILES).join(', ')}, got ${wanted.profile}`);
  const base = { nodes, devices, profile, days, assumptions };
  return {
    ...base,
    spares: wanted.spares ?? Math.ceil(nodes / NODES_A_SPARE),
    extra: 0,
    replicas: wanted.replicas ?? 1,
    parallel: layoutOf(nodes, devices),
    interval: wanted.interval ?? dalyOf(base),
    seed: 1,
    limits: failureLimits(wanted.recovery ?? {}, nodes * devices),
  };
}

/** From the smallest gang to Llama 3's devices; a run file has 2,000 nodes at most, so those are in nodes of 16, as an A3's. */
export const SIZES: Wanted[] = [
  ...[2, 16, 128, 600, 1200].map((nodes) => ({ nodes })),
  { nodes: 1024, devices: 16 },
  { nodes: 2000 },
  ...[2, 16, 128].map((nodes) => ({ nodes, profile: 'ant' })),
  ...[16, 63].map((nodes) => ({ nodes, profile: 'sick' })),
];

/** With the limits that suit a few devices, whatever it has. */
export const asIfSmall = (scenario: Scenario): Scenario => ({ ...scenario, limits: failureLimits({}, 1) });
