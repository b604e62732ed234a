/** Signals, updates and queries by the names that appear on the wire, in the CLI and in histories. */
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { Holder, NodeAnswer, NodeInfo, Pace } from './contract.js';
import type { DatasetFigures, Preprocessed } from './dataset-figures.js';
import type { PoolRequest, RunRequest } from './requests.js';
import type { Complete, Retention } from './retention.js';
import type { PoolState } from './roster.js';
import type { RunState } from './status.js';
import type { Ending } from './wishes.js';

/** From the node of the last rank to its generation: at most once a minute, and at each save. */
export interface TrainingProgress {
  token: number;
  iteration: number;
  loss?: number;
  secondsPerIteration?: number;
  /** The newest save that the log tells of. */
  saved?: number;
  /** Iteration and loss of some iterations since the last report, for the curve: 60 at most. */
  points: [iteration: number, loss: number][];
  /** How long phases took so far, for the next generation's patience. */
  pace?: Pace;
  slow?: Slowdown;
}

/** Steps take longer than they did at first. */
export interface Slowdown {
  /** The iteration at which it was seen first. */
  since: number;
  /** Seconds a step at first, and now. */
  was: number;
  is: number;
}

/** From a node to the preparation of a dataset: how far a shard is that it makes. Another attempt begins at 0 again. */
export interface ShardProgress {
  shard: number;
  node: string;
  documents: number;
  tokens: number;
  /** Of the files of its slice, as they lie there, that were read. */
  bytes: number;
}

/** From each copying node to its generation: what it writes of this iteration is sealed, and its copies of others' parts are proven. */
export interface CheckpointReplicated {
  token: number;
  task: string;
  iteration: number;
  bytes: number;
  /** Old checkpoints that could not be removed there, and why. */
  unremoved?: string;
}

/** From a copying node to its generation: why its part does not get on. */
export interface CopiesBehind {
  token: number;
  task: string;
  why: string;
}

export interface AcquireNodes {
  /** One that no other run's has: an answer may reach the next run of the same id. */
  requestId: string;
  holder: Holder;
  /** Runs of one series get the nodes that hold its data, where these are free. */
  series: string;
  nodes: number;
  devices: number;
  /** Who is served first; waiting makes up for less of it. */
  priority?: number;
  /** The run trains on meanwhile: it is served in its turn, though it holds nodes. */
  spare?: boolean;
  /** The node that is to be tried out: this one and no other, though it be in quarantine. */
  soak?: string;
  /** Nodes that the run was told to do without. */
  except?: string[];
}

/** From a run that replaced a node for its hardware. */
export interface HardwareFault {
  node: string;
  reason: string;
  /** When it was decided, in milliseconds since the epoch; with the node, what tells one fault from another. */
  at: number;
}

/** From a run that tried a node out, alone, and saw no failure. */
export interface Soaked {
  node: string;
  holder: Holder;
  /** Trained in this run. */
  iterations: number;
}

/** From the pool to a run that waits: for what, and behind whom. */
export interface PlaceInLine {
  requestId: string;
  text: string;
}

/** From the pool to the run that holds a node: somebody wants it empty. */
export interface NodeWanted {
  node: string;
  who: string;
  why: string;
}

/** From a run to its generation, or to the preparation of one: when to end, or not to after all. The last word holds. */
export interface EndGeneration {
  token: number;
  ending?: Ending;
}

/** From a run to its generation: this node is a spare now, with the data and the newest checkpoint, and may keep copies. */
export interface SpareReady {
  token: number;
  node: NodeInfo;
  /** Copies of each shard that there are to be. */
  replicas: number;
  /** What was saved up to this iteration is not for it to copy. */
  after: number;
  /** Nodes on whose storage of checkpoints it is; absent where nobody looked. */
  beside?: string[];
}

export interface NodesGranted {
  requestId: string;
  nodes: NodeInfo[];
  /** Nodes that are not given but served the series: parts of its checkpoints may be there only. */
  keepers: NodeInfo[];
  /** Names of given nodes that did not serve the series before. */
  fresh?: string[];
}

export interface LaunchGranted {
  requestId: string;
  token: number;
}

/** From a generation to the run: when it begins to train, at each replicated checkpoint, and now and then. */
export interface GenerationNews {
  generation: number;
  /** When it was said, in milliseconds since the epoch, no two alike: the server may deliver an earlier one later. */
  at?: number;
  iteration: number;
  loss?: number;
  secondsPerIteration?: number;
  replicated: number;
  /** When it became that; absent while this generation has saved none. */
  replicatedAt?: number;
  points: [iteration: number, loss: number][];
  slow?: Slowdown;
  /** Spares that no longer keep what they were to keep. */
  lostSpares?: string[];
  /** Whose shards each node keeps copies of, once that is no longer as it was planned at the launch. */
  copies?: Record<string, string[]>;
  /** What a person should know of it at this moment. */
  troubles?: string[];
}

/** From the preparation of a launch to its run, one thing at a time. */
export interface PreparationNews {
  token: number;
  /** It begins with this phase. */
  phase?: 'data' | 'restore' | 'weights';
  /** Newest complete checkpoint, or 0, all that are, and the nodes of the run that hold nothing of the series. */
  found?: { iteration: number; complete: Complete[]; empty: string[] };
  /** How far the dataset is while it is made, and what it is like when it is. */
  preprocessed?: Preprocessed;
  dataset?: DatasetFigures;
  /** For the run's page; what `isKnown` was told before each launch, and is worth one line. */
  note?: string;
  isKnown?: true;
  /** `null` when it no longer waits. */
  waitsFor?: string | null;
}

export const preparationNews = defineSignal<[PreparationNews]>('preparationNews');
export const shardProgress = defineSignal<[ShardProgress]>('shardProgress');
export const trainingProgress = defineSignal<[TrainingProgress]>('trainingProgress');
export const checkpointReplicated = defineSignal<[CheckpointReplicated]>('checkpointReplicated');
export const copiesBehind = defineSignal<[CopiesBehind]>('copiesBehind');
export const generationNews = defineSignal<[GenerationNews]>('generationNews');
export const endGeneration = defineSignal<[EndGeneration]>('endGeneration');
export const spareReady = defineSignal<[SpareReady]>('spareReady');
export const nodesGranted = defineSignal<[NodesGranted]>('nodesGranted');
export const launchGranted = defineSignal<[LaunchGranted]>('launchGranted');

export const placeInLine = defineSignal<[PlaceInLine]>('placeInLine');
export const nodeWanted = defineSignal<[NodeWanted]>('nodeWanted');

export const join = defineSignal<[NodeAnswer]>('join');
export const acquire = defineSignal<[AcquireNodes]>('acquire');
export const requestLaunch = defineSignal<[{ requestId: string; holder: Holder }]>('requestLaunch');
export const reportLost = defineSignal<[{ node: string; reason: string }]>('reportLost');
export const reportFault = defineSignal<[HardwareFault]>('reportFault');
export const soaked = defineSignal<[Soaked]>('soaked');
/** `unused`: those that have nothing of the series, since they were new to it and the run has launched nothing. */
export const release = defineSignal<[{ holder: Holder; nodes?: string[]; unused?: string[] }]>('release');
/** From a run that drains a node: as the update `cordon`, which a workflow cannot send. */
export const cordonNode = defineSignal<[NodeWanted]>('cordonNode');

/** Of a generation: its newest replicated iteration. */
export const replicated = defineQuery<number>('replicated');
/** Of a generation: which checkpoints it needs no more. Nodes ask before they throw any away. */
export const retained = defineQuery<Retention>('retained');
export const status = defineQuery<string>('status');
/** The same as `status`, for pages: what a run, and what a pool, knows of itself. */
export const runState = defineQuery<RunState>('runState');
export const poolState = defineQuery<PoolState>('poolState');

/** What an update is sent, which may be anything, and the answer as a person reads it. */
export const defineRequest = (name: RunRequest['name'] | PoolRequest['name']) => defineUpdate<string, [unknown]>(name);
