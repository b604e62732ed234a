/** Cases nobody has thought of: incidents mixed by a seed, so that one that fails can be played again. Pure. */
import { uniform } from '../../infra/demo/random.js';
import { ITERATIONS, type Case, type Step } from './cases.js';
import type { FaultName } from './faults.js';
import type { Role } from './observed-run.js';

export interface Incident {
  fault: FaultName;
  /** What ends it, and after how many seconds at the earliest and latest; without, nothing does. */
  repair?: { by: FaultName; after: [number, number] };
  roles: Role[];
  costs: boolean;
}

const ANY: Role[] = ['first', 'last', 'spare'];
const MEMBER: Role[] = ['first', 'last'];

export const INCIDENTS: Incident[] = [
  { fault: 'killRank', roles: MEMBER, costs: true },
  { fault: 'killTorchrun', roles: MEMBER, costs: true },
  { fault: 'killGuard', roles: MEMBER, costs: true },
  { fault: 'freezeRank', roles: MEMBER, costs: true },
  { fault: 'killAgent', repair: { by: 'startAgent', after: [0, 2] }, roles: ANY, costs: false },
  { fault: 'restartAgent', roles: ANY, costs: false },
  { fault: 'killWorker', repair: { by: 'startWorker', after: [0, 8] }, roles: ['control'], costs: false },
  { fault: 'killServer', repair: { by: 'startServer', after: [0, 8] }, roles: ['control'], costs: false },
  { fault: 'killControl', repair: { by: 'startControl', after: [0, 8] }, roles: ['control'], costs: false },
  { fault: 'cutServerFromAll', repair: { by: 'rejoinServer', after: [1, 3] }, roles: ['control'], costs: false },
  { fault: 'unplug', repair: { by: 'plugIn', after: [1, 30] }, roles: ANY, costs: true },
  { fault: 'cutFromServer', repair: { by: 'dropNothing', after: [1, 30] }, roles: ANY, costs: true },
  { fault: 'loseThird', repair: { by: 'dropNothing', after: [2, 15] }, roles: ANY, costs: true },
  { fault: 'killHost', roles: ANY, costs: true },
  { fault: 'killHost', repair: { by: 'startHost', after: [0, 20] }, roles: ANY, costs: true },
];

/** How often a case has a second incident. */
const SECOND = 0.3;

export function randomCases(count: number, seed: number): Case[] {
  const random = uniform(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const between = (low: number, high: number): number => low + Math.floor(random() * (high - low + 1));

  function incident(from: number, to: number): { steps: Step[]; costs: boolean } {
    const { fault, repair, roles, costs } = pick(INCIDENTS);
    const role = pick(roles);
    const strike: Step = { when: { iteration: between(from, to) }, do: fault, to: role };
    const after: Step[] = repair
      ? [{ when: { seconds: between(...repair.after) }, do: repair.by, to: role === 'control' ? role : 'same' }]
      : [];
    return { steps: [strike, ...after], costs };
  }

  return Array.from({ length: count }, (_, index) => {
    const half = Math.floor(ITERATIONS / 2);
    const incidents = [incident(1, half)];
    if (random() < SECOND) incidents.push(incident(half + 1, ITERATIONS - 5));
    return {
      name: `random-${seed}-${index + 1}`,
      steps: incidents.flatMap(({ steps }) => steps),
      // A repair may take longer than what is left to train.
      mayEndBefore: true,
      lost: incidents.some(({ costs }) => costs) ? 'since the checkpoint' : 'nothing',
    };
  });
}
