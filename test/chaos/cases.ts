/**
 * The cells of the matrix: fault × phase × role, a row of data each. Left out: another boot id, of which
 * namespaces have none of their own; a jump of the clock is the workers' alone, not of ranks and kernel.
 */
import type { FaultName } from './faults.js';
import type { Role } from './observed-run.js';

/** When a step is taken: when this is seen of the run, or so long after the step before. */
export type When =
  | { iteration: number; generation?: number }
  | { phase: string; generation?: number }
  | { inFlight: string; on: Exclude<Role, 'control'> }
  | { launched: number }
  | { saving: number }
  | { copied: number }
  | { generation: number }
  | { seconds: number }
  | 'between runs';

export interface Step {
  when: When;
  do: FaultName;
  /** Whom it strikes; of a node that was struck before, that very node again. */
  to: Role | 'same';
}

export interface Case {
  name: string;
  /** One of the twelve that are run most. */
  core?: true;
  steps: Step[];
  /** A run that is over before a moment comes is a case all the same: what was to strike then is left out. */
  mayEndBefore?: true;
  /** Iterations that may be trained twice: none at all, or those since the newest copied checkpoint. */
  lost: 'nothing' | 'since the checkpoint';
  cluster?: { nodes?: number; spares?: number };
  /** Beside the patience that all cases have. */
  recovery?: object;
  /** How far losses may be from the undisturbed ones, where sums are made in another order; not at all without it. */
  within?: number;
  /** Nodes of each generation, where their number is what the case is about. */
  gangs?: number[];
  replicas?: number;
  /** Shorter than a cut, or longer. */
  lease?: string;
  /** Each iteration takes longer, so that training outlasts a long cut. */
  slow?: true;
  /** Starts on disks without the dataset. */
  cold?: true;
  /** The model is to be exported after training. */
  exports?: true;
  /** Nodes whose datasets, models and series are on one storage; it is out of reach when all of them are. */
  sharing?: string[];
  /** The first of two runs of the series ends here. */
  endsFirstAt?: number;
  /** How the last run is to end, when that is not success: the type of its failure. */
  fails?: string;
}

/** After which a rank gives up a silent peer: what stands in for HCCL's time-outs, which are minutes. */
export const GROUP_TIMEOUT_SECONDS = 15;
/** Of every run: enough for a save before a fault and one after. */
export const ITERATIONS = 60;
export const SAVE_INTERVAL = 20;
/** How long ranks may train unwatched, where a case does not say. */
export const LEASE = '60s';

/** Well after the save at 20 is copied, well before the one at 40. */
const MIDDLE = { iteration: 30 };

export const cases: Case[] = [
  {
    name: 'rank-killed',
    core: true,
    steps: [{ when: MIDDLE, do: 'killRank', to: 'last' }],
    lost: 'since the checkpoint',
  },
  {
    name: 'torchrun-killed',
    core: true,
    steps: [{ when: MIDDLE, do: 'killTorchrun', to: 'last' }],
    lost: 'since the checkpoint',
  },
  {
    name: 'agent-killed',
    core: true,
    steps: [
      { when: MIDDLE, do: 'killAgent', to: 'last' },
      { when: { seconds: 1 }, do: 'startAgent', to: 'same' },
    ],
    lost: 'nothing',
  },
  {
    name: 'control-worker-killed',
    core: true,
    steps: [
      { when: MIDDLE, do: 'killWorker', to: 'control' },
      { when: { seconds: 2 }, do: 'startWorker', to: 'control' },
    ],
    lost: 'nothing',
  },
  {
    name: 'server-killed',
    core: true,
    steps: [
      { when: MIDDLE, do: 'killServer', to: 'control' },
      { when: { seconds: 3 }, do: 'startServer', to: 'control' },
    ],
    lost: 'nothing',
  },
  {
    name: 'host-lost',
    core: true,
    steps: [{ when: MIDDLE, do: 'killHost', to: 'last' }],
    lost: 'since the checkpoint',
  },
  {
    name: 'host-0-lost',
    core: true,
    steps: [{ when: MIDDLE, do: 'killHost', to: 'first' }],
    lost: 'since the checkpoint',
  },
  {
    name: 'host-lost-in-recovery',
    core: true,
    steps: [
      { when: MIDDLE, do: 'killHost', to: 'last' },
      { when: { phase: 'restore', generation: 1 }, do: 'killHost', to: 'last' },
    ],
    lost: 'since the checkpoint',
  },
  {
    name: 'two-hosts-lost',
    core: true,
    cluster: { spares: 2 },
    replicas: 2,
    steps: [
      { when: MIDDLE, do: 'killHost', to: 'first' },
      { when: { seconds: 0 }, do: 'killHost', to: 'last' },
    ],
    lost: 'since the checkpoint',
  },
  {
    // Two on one storage, one alone: what the two saved is there once, and the copies are with the third.
    name: 'islands',
    sharing: ['n1', 'n2'],
    steps: [
      { when: MIDDLE, do: 'killHost', to: 'first' },
      { when: { seconds: 0 }, do: 'killHost', to: 'last' },
    ],
    lost: 'since the checkpoint',
  },
  {
    name: 'link-down-past-the-lease',
    core: true,
    lease: '10s',
    steps: [
      { when: MIDDLE, do: 'unplug', to: 'last' },
      { when: { seconds: 25 }, do: 'plugIn', to: 'same' },
    ],
    lost: 'since the checkpoint',
  },
  {
    name: 'server-cut-off',
    core: true,
    steps: [
      { when: MIDDLE, do: 'cutServerFromAll', to: 'control' },
      { when: { seconds: 12 }, do: 'rejoinServer', to: 'control' },
    ],
    lost: 'nothing',
  },
  {
    name: 'checkpoint-corrupt-between-runs',
    core: true,
    endsFirstAt: 40,
    steps: [{ when: 'between runs', do: 'flipByte', to: 'first' }],
    lost: 'since the checkpoint',
  },

  // Ranks and what stands around them.
  { name: 'guard-killed', steps: [{ when: MIDDLE, do: 'killGuard', to: 'last' }], lost: 'since the checkpoint' },
  { name: 'rank-frozen', steps: [{ when: MIDDLE, do: 'freezeRank', to: 'last' }], lost: 'since the checkpoint' },
  {
    name: 'rank-killed-early',
    steps: [{ when: { iteration: 5 }, do: 'killRank', to: 'first' }],
    lost: 'since the checkpoint',
  },
  {
    name: 'rank-killed-at-save',
    steps: [{ when: { saving: 40 }, do: 'killRank', to: 'first' }],
    lost: 'since the checkpoint',
  },
  {
    name: 'rank-killed-at-launch',
    steps: [{ when: { launched: 1 }, do: 'killTorchrun', to: 'last' }],
    lost: 'since the checkpoint',
  },

  // Agents.
  {
    name: 'agent-upgraded',
    steps: [{ when: MIDDLE, do: 'restartAgent', to: 'first' }],
    lost: 'nothing',
  },
  { name: 'agent-gone', steps: [{ when: MIDDLE, do: 'killAgent', to: 'last' }], lost: 'since the checkpoint' },
  {
    name: 'agent-frozen',
    steps: [
      { when: MIDDLE, do: 'freezeAgent', to: 'last' },
      { when: { seconds: 20 }, do: 'wakeAgent', to: 'same' },
    ],
    lost: 'since the checkpoint',
  },
  {
    name: 'agent-killed-in-stop',
    steps: [
      // Deaf to SIGTERM: a stop that is over in no time is not to be hit.
      { when: MIDDLE, do: 'freezeRank', to: 'first' },
      { when: { seconds: 0 }, do: 'killRank', to: 'last' },
      { when: { inFlight: 'stopTraining', on: 'first' }, do: 'killAgent', to: 'first' },
      { when: { seconds: 1 }, do: 'startAgent', to: 'same' },
    ],
    lost: 'since the checkpoint',
  },

  // The control plane.
  { name: 'control-worker-upgraded', steps: [{ when: MIDDLE, do: 'restartWorker', to: 'control' }], lost: 'nothing' },
  {
    name: 'control-host-lost',
    steps: [
      { when: MIDDLE, do: 'killControl', to: 'control' },
      { when: { seconds: 5 }, do: 'startControl', to: 'control' },
    ],
    lost: 'nothing',
  },
  {
    name: 'control-and-host-lost',
    steps: [
      { when: MIDDLE, do: 'killControl', to: 'control' },
      { when: { seconds: 0 }, do: 'killHost', to: 'last' },
      { when: { seconds: 5 }, do: 'startControl', to: 'control' },
    ],
    lost: 'since the checkpoint',
  },
  {
    name: 'control-worker-killed-in-recovery',
    steps: [
      { when: MIDDLE, do: 'killRank', to: 'last' },
      { when: { phase: 'check', generation: 1 }, do: 'killWorker', to: 'control' },
      { when: { seconds: 2 }, do: 'startWorker', to: 'control' },
    ],
    lost: 'since the checkpoint',
  },
  {
    name: 'server-killed-at-launch',
    steps: [
      { when: { launched: 1 }, do: 'killServer', to: 'control' },
      { when: { seconds: 3 }, do: 'startServer', to: 'control' },
    ],
    lost: 'nothing',
  },
  {
    name: 'server-cut-off-long',
    slow: true,
    steps: [
      { when: { iteration: 22 }, do: 'cutServerFromAll', to: 'control' },
      { when: { seconds: 20 }, do: 'rejoinServer', to: 'control' },
    ],
    lost: 'nothing',
  },
  {
    name: 'server-cut-off-past-the-lease',
    slow: true,
    lease: '10s',
    steps: [
      { when: { iteration: 22 }, do: 'cutServerFromAll', to: 'control' },
      { when: { seconds: 25 }, do: 'rejoinServer', to: 'control' },
    ],
    lost: 'since the checkpoint',
  },

  // Hosts and links.
  {
    name: 'host-rebooted',
    steps: [
      { when: MIDDLE, do: 'killHost', to: 'last' },
      { when: { seconds: 2 }, do: 'startHost', to: 'same' },
    ],
    lost: 'since the checkpoint',
  },
  {
    name: 'host-lost-at-save',
    steps: [{ when: { saving: 40 }, do: 'killHost', to: 'last' }],
    lost: 'since the checkpoint',
  },
  {
    name: 'host-lost-after-save',
    steps: [{ when: { copied: 40 }, do: 'killHost', to: 'last' }],
    lost: 'since the checkpoint',
  },
  {
    name: 'host-0-lost-after-save',
    steps: [{ when: { copied: 40 }, do: 'killHost', to: 'first' }],
    lost: 'since the checkpoint',
  },
  {
    name: 'host-lost-at-launch',
    steps: [{ when: { launched: 1 }, do: 'killHost', to: 'last' }],
    lost: 'since the checkpoint',
  },
  {
    name: 'spare-lost',
    steps: [{ when: MIDDLE, do: 'killHost', to: 'spare' }],
    lost: 'nothing',
  },
  {
    name: 'spare-lost-then-host-0',
    slow: true,
    steps: [
      { when: { iteration: 10 }, do: 'killHost', to: 'spare' },
      { when: { iteration: 50 }, do: 'killHost', to: 'first' },
    ],
    lost: 'since the checkpoint',
  },
  {
    name: 'link-down-for-two-seconds',
    steps: [
      { when: MIDDLE, do: 'unplug', to: 'last' },
      { when: { seconds: 2 }, do: 'plugIn', to: 'same' },
    ],
    lost: 'nothing',
  },
  { name: 'cut-from-peers', steps: [{ when: MIDDLE, do: 'cutFromPeers', to: 'last' }], lost: 'since the checkpoint' },
  {
    name: 'cut-from-server',
    steps: [
      { when: MIDDLE, do: 'cutFromServer', to: 'last' },
      { when: { seconds: 40 }, do: 'dropNothing', to: 'same' },
    ],
    lost: 'since the checkpoint',
  },
  {
    name: 'third-of-packets-lost',
    steps: [
      { when: MIDDLE, do: 'loseThird', to: 'last' },
      { when: { seconds: 20 }, do: 'dropNothing', to: 'same' },
    ],
    lost: 'since the checkpoint',
  },

  // Two data-parallel ranks a stage, then one, then two again: no node is left in the pool.
  {
    name: 'fewer-nodes',
    slow: true,
    cluster: { nodes: 4, spares: 0 },
    recovery: { fewerNodes: { atLeast: 2, after: '3s' } },
    ...{ within: 1e-5, gangs: [4, 2, 4] },
    steps: [
      { when: MIDDLE, do: 'killHost', to: 'first' },
      { when: { iteration: 24, generation: 2 }, do: 'startHost', to: 'same' },
    ],
    lost: 'since the checkpoint',
  },

  // Disks, ports and leftovers.
  {
    name: 'disk-full',
    steps: [
      { when: MIDDLE, do: 'fillDisk', to: 'last' },
      { when: { seconds: 8 }, do: 'freeDisk', to: 'same' },
    ],
    lost: 'since the checkpoint',
  },
  {
    name: 'disk-full-for-good',
    steps: [{ when: MIDDLE, do: 'fillDisk', to: 'last' }],
    lost: 'since the checkpoint',
  },
  {
    name: 'spare-disk-full',
    steps: [{ when: MIDDLE, do: 'fillDisk', to: 'spare' }],
    lost: 'nothing',
  },
  {
    name: 'clocks-jump',
    steps: [
      { when: { iteration: 25 }, do: 'turnClockOn', to: 'last' },
      { when: { iteration: 35 }, do: 'turnClockBack', to: 'first' },
      { when: { iteration: 45 }, do: 'killRank', to: 'last' },
    ],
    lost: 'since the checkpoint',
  },
  {
    name: 'port-taken',
    steps: [{ when: { phase: 'data' }, do: 'takePort', to: 'first' }],
    lost: 'since the checkpoint',
  },
  { name: 'process-left-over', steps: [{ when: { phase: 'check' }, do: 'leaveProcess', to: 'last' }], lost: 'nothing' },
  {
    name: 'checkpoint-cut-short-between-runs',
    endsFirstAt: 40,
    steps: [{ when: 'between runs', do: 'cutShort', to: 'last' }],
    lost: 'since the checkpoint',
  },
  {
    name: 'checkpoint-corrupt-everywhere',
    endsFirstAt: 40,
    steps: [
      { when: 'between runs', do: 'flipByte', to: 'first' },
      { when: 'between runs', do: 'flipByte', to: 'last' },
      { when: 'between runs', do: 'flipByte', to: 'spare' },
    ],
    lost: 'since the checkpoint',
  },
  {
    name: 'dataset-corrupt-between-runs',
    endsFirstAt: 40,
    steps: [{ when: 'between runs', do: 'flipDataset', to: 'first' }],
    lost: 'since the checkpoint',
  },
  {
    name: 'host-lost-between-runs',
    endsFirstAt: 40,
    steps: [{ when: 'between runs', do: 'killHost', to: 'last' }],
    lost: 'since the checkpoint',
  },

  // Before training.
  {
    name: 'host-lost-in-check',
    steps: [{ when: { phase: 'check' }, do: 'killHost', to: 'last' }],
    lost: 'nothing',
  },
  {
    name: 'host-lost-in-fetch',
    cold: true,
    steps: [{ when: { inFlight: 'fetchFiles', on: 'first' }, do: 'killHost', to: 'first' }],
    lost: 'nothing',
  },
  {
    name: 'host-lost-in-preprocess',
    cold: true,
    steps: [{ when: { inFlight: 'preprocessShard', on: 'last' }, do: 'killHost', to: 'last' }],
    lost: 'nothing',
  },
  {
    name: 'host-lost-in-merge',
    cold: true,
    steps: [{ when: { inFlight: 'mergeShards', on: 'first' }, do: 'killHost', to: 'first' }],
    lost: 'nothing',
  },
  {
    name: 'host-lost-in-sync',
    cold: true,
    steps: [{ when: { inFlight: 'syncFiles', on: 'last' }, do: 'killHost', to: 'first' }],
    lost: 'nothing',
  },
  {
    name: 'host-lost-in-convert',
    cold: true,
    steps: [{ when: { inFlight: 'convertCheckpoint', on: 'first' }, do: 'killHost', to: 'first' }],
    lost: 'nothing',
  },
  {
    name: 'agent-killed-in-preprocess',
    cold: true,
    steps: [
      { when: { inFlight: 'preprocessShard', on: 'last' }, do: 'killAgent', to: 'last' },
      { when: { seconds: 1 }, do: 'startAgent', to: 'same' },
    ],
    lost: 'nothing',
  },
  // After training.
  {
    name: 'host-lost-in-export',
    exports: true,
    steps: [{ when: { inFlight: 'exportCheckpoint', on: 'first' }, do: 'killHost', to: 'first' }],
    lost: 'nothing',
  },
  {
    name: 'power-cut',
    steps: [
      { when: MIDDLE, do: 'killEverything', to: 'control' },
      { when: { seconds: 3 }, do: 'startControl', to: 'control' },
      { when: { seconds: 0 }, do: 'startAllHosts', to: 'control' },
    ],
    lost: 'since the checkpoint',
  },
];
