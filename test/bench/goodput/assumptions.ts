/**
 * What the simulation is told and cannot know: each with its default, its range and where these were found. Every one is
 * an option of `npm run bench -- goodput`. Published figures are those of systems on NVIDIA or Ascend clusters, none is ours.
 */

export interface Assumption {
  value: number;
  low?: number;
  high?: number;
  unit: 's' | 'h';
  source: string;
}

const assumption = (
  value: number,
  unit: Assumption['unit'],
  source: string,
  low?: number,
  high?: number,
): Assumption => ({
  ...{ value, unit, source },
  ...(low !== undefined && { low }),
  ...(high !== undefined && { high }),
});

export const ASSUMPTIONS = {
  step: assumption(10, 's', 'seconds of an iteration; a run shows its own', 1, 60),
  save: assumption(
    60,
    's',
    'training stands still for a save: BLOOM 40, MindCluster 30 to 120, DLRover 600 to 60',
    30,
    600,
  ),
  copy: assumption(60, 's', 'from the end of a save until it is copied: as long as the save', 30, 600),
  detectExit: assumption(
    0.8,
    's',
    'a rank or torchrun ends: npm run chaos, torchrun-killed 0.1, rank-killed 0.8',
    0.1,
    5,
  ),
  detectLost: assumption(
    27,
    's',
    'a machine is gone: heartbeat 10 + agentAway 10 + 7 for probes (chaos host-lost: 5.2 to 16.4 with 4 + 5)',
    10,
    60,
  ),
  decide: assumption(
    8,
    's',
    'evidence, stop, decision, checks and launch on a few nodes: npm run chaos, torchrun-killed 13.1 from notice to the next iteration, less 5 for the start of its ranks',
    3,
    30,
  ),
  decideNode: assumption(0.02, 's', 'the same for each further node: npm run bench -- scale', 0.005, 0.05),
  load: assumption(90, 's', 'loading a checkpoint: MindCluster 3 (3B) to 90 (15B), DLRover 240 to 480', 3, 480),
  start8: assumption(120, 's', 'process start to first step on 8 devices: MindCluster 70 to 210 less loading', 67, 120),
  start10k: assumption(
    510,
    's',
    'the same on 10,000: Huawei "< 10 min" in all, FlashRecovery 150 on 4,800, others 900 to 1,800',
    150,
    1800,
  ),
  linkUp: assumption(120, 's', 'HCCL_CONNECT_TIMEOUT: links that are not built', 120, 7200),
  bring: assumption(300, 's', 'data set to a node that was no ready spare; a guess', 60, 3600),
  repair: assumption(24, 'h', 'a node whose fault lasts; a guess', 4, 168),
  reboot: assumption(0.5, 'h', 'a machine that comes back by itself; a guess', 0.1, 2),
  person: assumption(0.5, 'h', 'until somebody has started a run again that ended; a guess', 0.1, 8),
} satisfies Record<string, Assumption>;

export type Assumptions = Record<keyof typeof ASSUMPTIONS, number>;

export const defaults = (): Assumptions =>
  Object.fromEntries(Object.entries(ASSUMPTIONS).map(([name, { value }]) => [name, value])) as Assumptions;

/** Seconds from the start of processes to the first step, without loading: a straight line over the logarithm of the devices. */
export function startSeconds({ start8, start10k }: Assumptions, devices: number): number {
  const share = Math.log(Math.max(devices, 8) / 8) / Math.log(10_000 / 8);
  return start8 + (start10k - start8) * Math.min(share, 1.2);
}
