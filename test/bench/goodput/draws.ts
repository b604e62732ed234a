/** Faults as a Poisson process over the nodes that a run holds; the same seed strikes alike whatever the run does about it. */
import { uniform } from '../../../infra/demo/random.js';
import type { Crew } from './crew.js';
import { drawKind, type FaultKind, type FaultProfile } from './faults.js';

const DAY = 86_400;

export interface Draw {
  kind: FaultKind;
  node: string;
  lasts: boolean;
}

export interface NextFault {
  at(now: number): number;
  /** Lets this time pass; answers the fault that strikes at its end. */
  pass(from: number, to: number): Draw | undefined;
}

export function createFaults(
  crew: Crew,
  profile: FaultProfile,
  devices: number,
  nodes: number,
  seed: number,
): NextFault {
  const random = uniform(seed);
  const weight = weights(profile, nodes);
  const perNode = devices / (profile.deviceDays * DAY);
  let patience = gap();
  let held: string[] = [];
  let rate = 0;

  function gap(): number {
    return -Math.log(1 - random());
  }
  function look(): number {
    held = [...crew.members.filter((name) => name !== undefined), ...crew.spares];
    rate = held.reduce((sum, name) => sum + weight(name), 0) * perNode;
    return rate;
  }
  return {
    at: (now) => (look() > 0 ? now + patience / rate : Infinity),
    pass(from, to) {
      patience -= rate * (to - from);
      // What remains is rounding.
      if (rate === 0 || patience > 1e-9) return undefined;
      const draws = [random(), random(), random()] as const;
      patience = gap();
      const kind = drawKind(draws[0], profile.kinds);
      return { kind, node: pick(held, weight, draws[1]), lasts: draws[2] < kind.lasting };
    },
  };
}

function pick(held: string[], weight: (name: string) => number, u: number): string {
  let left = u * held.reduce((sum, name) => sum + weight(name), 0);
  return held.find((name) => (left -= weight(name)) < 0) ?? held[0]!;
}

/** Some nodes have more than their share of faults; on average a gang has the profile's rate. */
function weights({ sick }: FaultProfile, nodes: number): (name: string) => number {
  if (!sick) return () => 1;
  const many = Math.max(1, Math.round(sick.nodes * nodes));
  const [ill, well] = [(sick.faults * nodes) / many, ((1 - sick.faults) * nodes) / Math.max(1, nodes - many)];
  const isSick = (name: string) => Number(name.slice(1)) < many;
  return (name) => (isSick(name) ? ill : well);
}
