/**
 * What workflows may ask of the world: the activities of node workers and of control workers, with their
 * time-outs and retries. Everything here is plain JSON and small: files never travel through Temporal, only
 * the digest of the manifest that lists them.
 */
import {
  ActivityFailure,
  ApplicationFailure,
  TimeoutFailure,
  isCancellation,
  proxyActivities,
  sleep,
} from '@temporalio/workflow';
import type { DatasetFigures } from './dataset-figures.js';
import type { ModelSizes } from './presets.js';
import type { Release } from './releases.js';
import { milliseconds } from './duration.js';
import type { Sees } from './islands.js';
import type { Reaped, ReapInput, RunsAsked } from './leftovers.js';
import type { Retention } from './retention.js';
import type { SeriesIdentity } from './series-identity.js';
import { outlastingSilence } from './silence.js';
import type { PretrainResult, RunState } from './status.js';
import type { Parallel } from './topology.js';

/** A node as its worker announced it. `port` is its read-only file service. */
export interface NodeInfo {
  name: string;
  address: string;
  port: number;
  devices: number;
  profile: 'npu' | 'cpu';
  /** Its file service speaks TLS. */
  tls?: boolean;
  /** Opens its files to one run, which alone is told. */
  access?: string;
}

/** What a node says when it is asked, or asks to join the pool. */
export interface NodeAnswer extends NodeInfo {
  /** Newest launch token it has seen: the pool never gives one that is not above it. */
  token: number;
  /** That it is to be in; workers of an earlier version do not say. */
  pool?: string;
}

/**
 * A directory below the node's data directory that is complete: its `manifest.json` names every file with size
 * and SHA-256, and `digest` is the SHA-256 of that manifest.
 */
export interface Artifact {
  dir: string;
  digest: string;
  files: number;
  bytes: number;
}

/** Which workflow run a node reports to by signal. */
export interface Recipient {
  workflowId: string;
  runId: string;
}

/** Who holds nodes of the pool: a run, which is still the same one after a `workflow reset`. */
export interface Holder {
  workflowId: string;
  firstRunId: string;
}

export interface CheckNodeInput {
  run: string;
  /** Bytes that the run expects to write on this node. */
  diskBytes: number;
  devices: number;
  /** Nodes of the gang: alone, a node needs no network. */
  nodes: number;
  release: Release;
  /** First of HCCL's 32 ports on the host. */
  hcclPort: number;
  /** Ranks are to make a checkpoint of a gang that fails. */
  lastGasps?: true;
  /** Name of the first node of all: do we see what it left when it was fenced? */
  first: string;
  /** Whose probes do we find that were left for this launch, of how many nodes? Absent where a control worker of an earlier version asks. */
  probes?: { token: number; of: number };
  /** What the run has brought here before: is it here, as it was? */
  artifacts: Artifact[];
  /** Where the trained model is to go from whichever node exports it. */
  exportTo?: string;
}

/** One thing that is wrong with a node. Errors stop a run before it starts, warnings do not. */
export interface Finding {
  severity: 'error' | 'warning';
  /** Which check found it. */
  check: string;
  what: string;
  why: string;
  remedy: string;
}

export interface NodeReport {
  name: string;
  hostname: string;
  /** The stack that must be the same on all nodes, by component. */
  versions: Record<string, string>;
  warnings?: Finding[];
  freeBytes: number;
  /** Wall clock of the node, in milliseconds, when it answered. */
  clock: number;
  /** SHA-256 over the Python sources of the MindSpeed-LLM directory: equal on all nodes or the gang trains different programs. */
  fingerprint: string;
  /** A free TCP port, for `--master_port` should this node be rank 0's. */
  freePort: number;
  /** The first node's storage is this one's, at the same path. */
  seesFirst: boolean;
  /** Whose probes of this launch are to be found here, directory by directory; absent from a worker of an earlier version. */
  sees?: Sees;
  /** Directories of the artifacts that were asked after and are not here, or not as they were. */
  lacks: string[];
  /** Address of each device's own network card, by its number on the machine; absent where there is none. */
  deviceAddresses?: (string | null)[];
  /** Collectives with another node went well within the hour. */
  collectivesProven?: boolean;
}

/** A device of one node and that of the same index on another. */
export interface DevicePing {
  peer: string;
  device: number;
  /** Of the peer's device. */
  address: string;
}

export interface FailedPing extends DevicePing {
  /** What the tool printed last. */
  said: string;
}

export interface TestPairInput {
  /** The other node, for messages. */
  peer: string;
  /** Of the launch that is prepared: what the test leaves is found by it and ended. */
  token: number;
  /** Options of `python -m torch.distributed.run`, over the two nodes. */
  torchrun: string[];
  env: Record<string, string>;
  limitSeconds: number;
}

export interface SourceFile {
  path: string;
  /** Its path in the source, where that is another one. */
  at?: string;
  size: number;
  /** Absent where the hub does not tell (files outside LFS). */
  sha256?: string;
  /** Git's name for the content, which a hub tells instead: SHA-1 over `blob <size>\0` and the bytes. */
  blob?: string;
  /** Where nothing else pins the content: a file with another one by now is refused. */
  etag?: string;
}

export interface SourceListing {
  /** The source with its revision resolved to a commit, so that a retry cannot see other files. */
  resolved: string;
  files: SourceFile[];
}

export interface FetchFilesInput {
  source: string;
  files: SourceFile[];
  dir: string;
  tokens?: HubTokens;
}

/** Names of environment variables of node workers, never what is in them. */
export interface HubTokens {
  huggingface?: string | undefined;
  modelscope?: string | undefined;
}

export interface PreprocessShardInput {
  /** Content key of the dataset; the shard is written to `datasets/<key>/shards/<shard>`. */
  key: string;
  shard: number;
  of: number;
  /** Directory of the fetched input, and the files in it, in order, that this shard may touch. */
  input: string;
  files: string[];
  /** Where this shard starts and ends, in 1/`of` of all bytes of `files` when it shares files with other shards. */
  slice: { index: number; of: number };
  tokenizer: string;
  keys: string[];
  appendEod: boolean;
  /** Who makes it: this pipeline's own preprocessor where absent, or the checkout's, which reads one whole file. */
  engine?: 'native' | 'mindspeed';
  /** Rows of the embedding: a token id at or above it is an error here, not a crash in training. */
  vocabSize: number;
  /** Read as MindSpeed-LLM's own program does, its silent harm included. */
  compat?: 'mindspeed' | undefined;
  /** Rows of the whole dataset that may be left out because they cannot be used; none where it is absent. */
  skipBadRows?: number;
  /** Who is told how far it is; nobody where it is absent. */
  report?: ShardReport;
}

/** To whom a shard tells how far it is, and what it goes by for how often. */
export interface ShardReport {
  to: Recipient;
  /** Of the preprocessing that it is a part of, in milliseconds. */
  age: number;
  /** Shards that are made at a time. */
  atATime: number;
}

/** Of a dataset by key, what stands for the bytes of its `.bin` and `.idx`. Absent from a worker of an earlier version. */
export type PairDigests = Record<string, string>;

export interface ShardResult {
  artifact: Artifact;
  documents: number;
  tokens: number;
  /** What a person should know of how it was made. */
  warnings?: string[];
  /** Of a whole dataset, what its texts are like. */
  figures?: DatasetFigures;
  pairs?: PairDigests;
}

/** What a node can be asked for files: name and base URL of its file service, and the token that it gave this run. */
export interface Peer {
  name: string;
  url: string;
  token?: string;
}

/** Of a step that copies from other nodes. */
export interface AsksHolders {
  /**
   * Where nobody answers who has something, the step fails at once with `HoldersAway`, and whoever asked for it asks them.
   * Absent where a control worker of an earlier version asks: the step is tried again then, as any other.
   */
  asksHolders?: true;
}

/** By what a dataset is known to begin with another one. */
export interface Lineage {
  /** Stands for all that datasets are made with, but for their files. */
  like: string;
  /** Stands for that and the files, in order. */
  name: string;
}

export interface MergeShardsInput extends AsksHolders {
  key: string;
  engine?: 'native' | 'mindspeed';
  keys: string[];
  /** In order; the result does not depend on who made them. The first may be a dataset that this one begins with. */
  shards: { artifact: Artifact; from: Peer[] }[];
  /** Noted beside the dataset, so that what grows from it begins with it; absent where nobody can say what it is made of. */
  lineage?: Lineage;
  compat?: 'mindspeed' | undefined;
  skipBadRows?: number;
}

/** A dataset that is complete on a node. */
export interface LineageFound {
  /** Of its lineage. */
  name: string;
  artifact: Artifact;
}

export interface SyncFilesInput extends AsksHolders {
  artifact: Artifact;
  from: Peer[];
  /** Nodes that are told to fetch the same at the same time: each passes on what it has. */
  beside?: Peer[];
}

export interface ConvertCheckpointInput {
  /** Entry point of the MindSpeed-LLM directory, and its arguments but for paths. */
  script: string;
  args: string[];
  /** Arguments that are paths below the data directory. */
  paths: Record<string, string>;
  /** The directory to write, below the data directory. */
  to: string;
  /** Every `mp_rank_…` directory that must exist afterwards: the tracker is written first and proves nothing. */
  shards: string[];
  /** What must be in them; absent where a control worker of an earlier version asks. */
  holds?: WeightsWanted;
}

/** What decides which tensors are in which shard, and their shapes. */
export interface WeightsWanted {
  sizes: ModelSizes;
  parallel: Parallel;
  /** False for the first converter, whose names are not on record: only the number of weights is looked at. */
  named: boolean;
  /** What the weights' `config.json` must not say otherwise; absent where a control worker of an earlier version asks. */
  said?: Record<string, string | number | boolean>;
}

/** One checkpoint shard that is complete on a node. */
export interface ShardHeld {
  shard: string;
  digest: string;
  bytes: number;
  /** Of the launch that wrote it; absent for converted weights. */
  token?: number;
}

export interface CheckpointHeld {
  iteration: number;
  shards: ShardHeld[];
  /** What the newest launch that wrote one of them trained with; absent where nobody noted it. */
  identity?: SeriesIdentity;
  /** Instead, where that is the same as of this older iteration of the listing: it is long, and an answer has its limit. */
  identityAs?: number;
}

/** What one node has of a checkpoint that a failing gang made. */
export interface LastGasp {
  iteration: number;
  shards: string[];
  /** It has its usual name, or what may be that: from a rank here, after all had written theirs. */
  isNamed?: true;
  /** That is certain: no other save moves the tracker of this node. */
  isCertain?: true;
}

/** Iterations of a series on a node, sealed or not, and what its last launch left. */
export interface SavesFound {
  iterations: number[];
  /** Absent where none saved here, or something was restored since. */
  launch?: {
    token: number;
    /** Newest save that it ended on all nodes: known to the node of its rank 0. */
    tracked?: number;
    /** Shards that this node wrote, or was to write, and nobody sealed. */
    unsealed: { iteration: number; shards: string[] }[];
    /** What ranks wrote of a checkpoint while the gang failed, where they do. */
    dumped?: LastGasp[];
    /** The node of its rank 0 says that it began from what was planned. */
    beganRight?: true;
    /** So has the machine, since: nothing vouches for what was not sealed. */
    restarted?: true;
  };
}

export interface SealSavesInput {
  series: string;
  token: number;
  iteration: number;
  dumped?: string[];
}

export interface RestoreCheckpointInput extends AsksHolders {
  /** `series/<series>/checkpoints` or `models/<key>`. */
  dir: string;
  iteration: number;
  /** Of those with `modelOnly` nothing is brought of the optimizer's state, where that is a file of its own. */
  shards: (ShardHeld & { from: Peer[]; modelOnly?: true })[];
  /** Nodes that are told to bring the same shards at the same time: each passes on what it has. */
  beside?: Peer[];
  /** Set newer iterations aside, so that the launch cannot mix them in. */
  setAsideNewer: boolean;
  /** Nothing is to be loaded here yet, and ranks may train whose tracker it is. */
  leavesTracker?: true;
}

export interface ExportCheckpointInput extends Pick<ConvertCheckpointInput, 'script' | 'args' | 'paths'> {
  series: string;
  iteration: number;
  /** Every shard of the layout. */
  shards: (ShardHeld & { from: Peer[] })[];
  /** Directory that is made, below the data directory; shards are gathered in `paths['--load-dir']`. */
  dir: string;
  /** Directory of the tokenizer, below the data directory. */
  tokenizer: string;
  /** Where the converter puts the model below `--save-dir`, in which it looks for its configuration; absent: right there. */
  within?: string;
  /** Of the model by its sizes, where none of this model came with the tokenizer. */
  config: Record<string, unknown>;
  /** How many there are to be. */
  tensors: number;
  /** The least that they take. Absent in runs that were started before anybody asked whether there is room. */
  modelBytes?: number;
  /** By which their names and shapes are known; absent where a control worker of an earlier version asks. */
  sizes?: ModelSizes;
  /** `file:///directory` or `s3://bucket/prefix`; absent: it stays on the node. */
  to?: string;
}

/** A model in Hugging Face format. */
export interface ExportedModel {
  node: string;
  /** On that node. */
  path: string;
  iteration: number;
  tensors: number;
  dtypes: string[];
  bytes: number;
  to?: string;
}

export interface CheckpointsRemoved {
  removed: number[];
  /** What could not be removed, and why; a few. */
  failed?: string[];
  /** What was set aside by restores and lies there still. */
  aside?: { iterations: number[]; bytes: number };
}

export interface LaunchTrainingInput {
  run: string;
  series: string;
  generation: number;
  /** Pool-wide and ever rising: a node refuses one at or below what it has seen from another launch. */
  token: number;
  /** Options of `python -m torch.distributed.run`. */
  torchrun: string[];
  /** An entry point of the MindSpeed-LLM directory, which each node has in its own place, and its arguments. */
  script: string[];
  /** Iteration that the tracker of the series must name, when it is what the script loads. */
  loads?: number;
  /** Set where the script converts published weights: what their `config.json` must not say otherwise. */
  published?: Record<string, string | number | boolean>;
  /** What the configuration of the model says that the script takes its sizes from; absent where it is told them. */
  model?: Record<string, unknown>;
  /** Kept with every checkpoint that this launch writes. */
  identity?: SeriesIdentity;
  /**
   * What this member saves, for whoever finds it unsealed: whether it has rank 0, its shards, what it began from, and
   * whether ranks make a checkpoint of a gang that fails, each node on storage of its own.
   */
  saves: { isFirst: boolean; shards: string[]; after: number; dumps?: true };
  env: Record<string, string>;
  /** Without a watcher for this long, the node's guard ends the ranks by itself. */
  leaseSeconds: number;
}

export interface WatchTrainingInput {
  run: string;
  generation: number;
  token: number;
  leaseSeconds: number;
  /** Set for the node of rank 0, which alone prints what was loaded, where something is: the iteration, or 0 for another model's weights. */
  loads?: number;
  /** Set for the node of the last rank, which alone prints iterations. */
  reportTo?: Recipient;
  /** When it is to take training for hung; absent where hangs are not looked for. */
  hang?: HangLimits;
}

/** The longest that phases took so far in this run, in milliseconds. */
export interface Pace {
  /** From the launch to the first step, but for the building of the dataset's index. */
  start?: number;
  index?: number;
  firstStep?: number;
  save?: number;
  evaluation?: number;
}

export interface HangLimits {
  /** Silence that is never a hang. */
  floorMs: number;
  /** How long each phase before the first iteration may take when nothing longer was seen. */
  startMs: number;
  startedFrom: number;
  saveEvery: number;
  evaluateEvery?: number;
  pace?: Pace;
}

export interface WatchResult {
  exitCode: number;
  verdict: TrainingVerdict;
}

/** What a finished log says. */
export interface TrainingVerdict {
  /** `finished`: done line seen; `exited`: a planned early exit; `saved`: stopped on SIGTERM after a save; `unclear`: exit 0 without a reason. */
  outcome: 'finished' | 'exited' | 'saved' | 'unclear';
  lastIteration?: number;
  lastSaved?: number;
  /** Absent where the last iteration printed none, which is suspicious: Megatron leaves out a loss that is no number. */
  loss?: number;
  /** Iteration of the checkpoint that was loaded. */
  loadedAt?: number;
  /** No checkpoint was found, and training went on from random weights. */
  startedOver?: true;
}

export interface StopTrainingInput {
  run: string;
  generation: number;
  token: number;
  graceSeconds: number;
  /** The gang hangs: what its ranks are at is written down before anything is signalled. */
  keepStacks?: boolean;
}

/** A rank of a hung gang as it was found. */
export interface RankState {
  rank: number;
  /** Linux's letter for the state of its main thread: R, S, D, T, Z. */
  state: string;
  /** The innermost Python function that it was in, where py-spy could tell. */
  at?: string;
}

/** What a stopped member saw, for the decision what to do next. */
export interface MemberEvidence {
  node: string;
  /** True when the scan found no process of the token left. */
  confirmed: boolean;
  exitCode?: number;
  signal?: string;
  firstError?: string;
  /** By the node's own clock: when that error was printed, and when this was looked at, before anybody signalled anything. */
  firstErrorAt?: number;
  lookedAt?: number;
  /** Of the log as it was then. */
  verdict?: TrainingVerdict;
  /** Last lines of the log as it was then, bounded. */
  tail?: string;
  /** Of a hung gang: its ranks, and the file with their stacks. */
  ranks?: RankState[];
  stacksPath?: string;
  lastIteration?: number;
  /** Newest save that its log tells of: on SIGTERM ranks save what they have. */
  lastSaved?: number;
  logPath: string;
}

/** What a watcher says of itself in every heartbeat. */
export interface WatchHeartbeat {
  /** The last one in its log; only the last rank's node prints them. */
  iteration?: number;
  loss?: number;
  /** By the node's own clock. */
  at?: number;
}

export interface ReplicateCheckpointInput {
  run: string;
  series: string;
  generation: number;
  token: number;
  /** The part of the copying that this is, unlike any other of the generation. */
  task: string;
  /** Iterations up to this one are known to be sealed and copied already. */
  after: number;
  /** Node of rank 0: only there does the tracker say that an iteration is complete on all nodes. */
  master: Peer;
  /** Shards that this node writes, and those that it copies from their writers. */
  seals: string[];
  copies: { shard: string; from: Peer }[];
  /** The generation's last iteration: when it is sealed and copied here, there is nothing more to follow. */
  until: number;
  /** Iterations from one save to the next; absent where a control worker of an earlier version asks. */
  saveInterval?: number;
  /** Every so many-th iteration is kept for ever: it is copied too when a newer one has overtaken it. */
  keepEvery?: number;
  /** All ranks of the generation have ended: what is not there now does not come. */
  over?: true;
  /** How long the master, or one that is copied from, may not answer: its address may be another one by now. */
  patienceSeconds: number;
  reportTo: Recipient;
}

export interface ArtifactFound {
  artifact?: Artifact;
  pairs?: PairDigests;
  parts?: true;
  /** It was complete here, and its files are not what they were. */
  damaged?: true;
  /** Absent from a worker of an earlier version. */
  lineages?: LineageFound[];
}

/** Damaged files of one artifact on a node, by their paths in it, and where they are by now. */
export interface SetAside {
  aside?: string;
  files?: number;
  some?: string[];
}

export interface FenceNodeInput {
  /** Of the launch that is prepared. */
  token: number;
  /** Workflow id of the run, and its series. */
  run: string;
  series: string;
  /** Name of the run, fit for paths: what is left for other nodes to see lies under it. */
  probe: string;
  /** What opens the node's files to the run already, if something does. */
  access?: string;
  /** It comes when the others train: what they left for each other is there. */
  joins?: true;
  /** As of `listCheckpoints`; absent where a control worker of an earlier version asks. */
  keep?: number;
}

export interface NodeFenced extends NodeAnswer {
  /** Nodes that answer alike for one token have one storage for checkpoints; absent where nobody knows. */
  storage?: string;
  /** Of a node that `joins`: the others on that storage. */
  beside?: string[];
  checkpoints: CheckpointHeld[];
  saves: SavesFound;
}

export interface ReportInput {
  run: string;
  state: RunState;
  result: PretrainResult;
}

/** Activities of a node worker, on the task queue `node-<name>`. */
export interface NodeActivities {
  pingNode(): Promise<NodeAnswer>;
  /**
   * Ends what launches with older tokens left here, refuses such launches from now on, and admits the run to its files.
   * Then tells what the node holds of the series, and leaves a trace by which others know its storage.
   */
  fenceNode(input: FenceNodeInput): Promise<NodeFenced>;
  /** Opens the node's files to a run that does not hold the node. */
  admitRun(input: { run: string; series: string }): Promise<{ access: string }>;
  /** Whether a peer's machine answers this node, be it by refusing: its worker may be away while its ranks train. */
  probePeer(input: { peer: Peer }): Promise<{ reachable: boolean }>;
  checkNode(input: CheckNodeInput): Promise<NodeReport>;
  /** Collectives with one other node, which is asked at the same time. @returns of the shortest all-reduce of 16 MiB */
  testPair(input: TestPairInput): Promise<{ seconds: number }>;
  /** Over the devices' own network. @returns one for each peer that is not reached */
  pingDevices(input: { pings: DevicePing[] }): Promise<{ failed: FailedPing[] }>;
  listSource(input: { source: string; tokens?: HubTokens }): Promise<SourceListing>;
  fetchFiles(input: FetchFilesInput): Promise<Artifact>;
  preprocessShard(input: PreprocessShardInput): Promise<ShardResult>;
  mergeShards(input: MergeShardsInput): Promise<ShardResult>;
  /**
   * The artifact in `dir` if it is complete here, after checking every size; `undefined` otherwise. What was changed
   * is read again; with `prove` also what was not read for a day, with `anew` all of it. `parts`: what a dataset was made of is here as well.
   * With `like`, where it is not here: which datasets of such a lineage are, none of them read.
   */
  findArtifact(input: { dir: string; prove?: boolean; anew?: boolean; like?: string }): Promise<ArtifactFound>;
  syncFiles(input: SyncFilesInput): Promise<Artifact>;
  /**
   * Reads all that is sealed in `dir` and moves what is damaged out of the way, for it to be made again; it is removed by
   * nobody. @returns where it lies now, how many files and some of their names; nothing where nothing is damaged
   */
  setAsideDamaged(input: { dir: string }): Promise<SetAside>;
  /** Removes what the dataset in `dir` was made of, if it is whole here. Never fails for what cannot be removed. */
  removeParts(input: { dir: string }): Promise<{ bytes: number; failed?: string }>;
  convertCheckpoint(input: ConvertCheckpointInput): Promise<ShardHeld[]>;
  /** The newest ones: `keep`, two more, and as many older ones as are told in little; all where it is absent. */
  listCheckpoints(input: { dir: string; keep?: number }): Promise<CheckpointHeld[]>;
  findSaves(input: { series: string }): Promise<SavesFound>;
  /**
   * Seals what the launch with this token saved here of an iteration that is known to be whole; with `dumped` instead
   * what was written of these shards while it failed.
   */
  sealSaves(input: SealSavesInput): Promise<{ sealed: string[] }>;
  /** @returns what lies set aside there, newly or before */
  restoreCheckpoint(input: RestoreCheckpointInput): Promise<Pick<CheckpointsRemoved, 'aside'>>;
  exportCheckpoint(input: ExportCheckpointInput): Promise<ExportedModel>;
  /** What the trainer wrote in `dir` for TensorBoard, as one artifact; none where it wrote nothing. @returns `dir` on that node */
  sealCurves(input: { dir: string }): Promise<{ path: string; artifact?: Artifact }>;
  /** Never fails for what cannot be removed. */
  removeCheckpoints(input: { series: string; retention: Retention }): Promise<CheckpointsRemoved>;
  launchTraining(input: LaunchTrainingInput): Promise<void>;
  watchTraining(input: WatchTrainingInput): Promise<WatchResult>;
  stopTraining(input: StopTrainingInput): Promise<MemberEvidence>;
  /** @returns the last iteration that is safe; where one was to follow and never will, why not */
  replicateCheckpoint(input: ReplicateCheckpointInput): Promise<{ iteration: number; unfinished?: string }>;
  /** Names of the runs that something is left of here, be they open or closed. */
  findLeft(input: { before: number }): Promise<{ runs: string[] }>;
  /** Ends and removes what closed runs left here, never a checkpoint nor anything whole. Never fails for what cannot be removed. */
  reapLeft(input: ReapInput): Promise<Reaped>;
}

/** Activities of a control worker, on the task queue `pretrain`. */
export interface ControlActivities {
  /** Whether a run still runs: the pool asks before it gives a lease on. */
  describeHolder(input: Holder): Promise<{ open: boolean }>;
  writeReport(input: ReportInput): Promise<{ path: string }>;
  /** @returns names of a pool's nodes, and whoever holds or waits for some */
  lookAtPool(input: { pool: string }): Promise<{ nodes: string[]; holders: { holder: Holder; nodes: string[] }[] }>;
  /** Which of these runs are closed, and which the server does not know. */
  askAfterRuns(input: { runs: string[] }): Promise<RunsAsked>;
}

/** How patient a run is; tests and the demo shorten it. All in the SDK's duration strings. */
export interface Timing {
  /** A watcher that is silent this long is lost; 0.8 of it is also how long a cancel may take to arrive. */
  heartbeat: string;
  /** How long a node worker may be away before its node counts as lost. On a node's own queue this is the only detector. */
  agentAway: string;
  /** How long a worker may be away while its machine answers others: its ranks are believed to train on. */
  agentGrace: string;
  lease: string;
  stopGrace: string;
  /** Silence after which training may count as hung, or "off"; and the same for each phase before its first iteration. */
  hangAfter?: string;
  startWithin?: string;
}

/** Asks a node's worker whether it is there, or another machine is, in seconds and once. */
export const onProbe = (name: string): Pick<NodeActivities, 'pingNode' | 'probePeer'> =>
  proxyActivities<Pick<NodeActivities, 'pingNode' | 'probePeer'>>({
    taskQueue: `node-${name}`,
    // Start to close is short as well: a cut-off host's parked poll can take the task and never answer.
    startToCloseTimeout: '5 seconds',
    scheduleToStartTimeout: '5 seconds',
    retry: { maximumAttempts: 1 },
  });

/**
 * As the server calls it among error types. Each poll that a lost host has parked there would take one more attempt and
 * be silent for as long: it would be missed after many times that.
 */
const HEARTBEAT_TIMEOUT = 'TemporalTimeout:Heartbeat';

/**
 * Up to so many nodes a silent worker is heard of after one heartbeat. Of more the server asks again first: its own
 * restart silences all of them, and a look at each would fill the history.
 */
const HEARD_AT_ONCE = 64;

/** Nodes that this workflow has asked for something. */
const asked = new Set<string>();

/** Whoever asks for these sees to silence himself. */
const SEEN_TO: ReadonlySet<string> = new Set<keyof NodeActivities>([
  ...(['pingNode', 'probePeer', 'testPair', 'stopTraining', 'watchTraining', 'replicateCheckpoint'] as const),
]);

/**
 * Proxies for one node's queue. Three kinds: quick ones that are repeated, steps that take long and resume, and
 * the two that last as long as training does and are retried without limit, since a restarted worker re-attaches;
 * whoever waits for them asks again by itself where a worker was silent.
 * @param gang number of members, which decides how soon a silent watcher is heard of
 */
export function onNode(name: string, timing: Timing, gang = Infinity): NodeActivities {
  const taskQueue = `node-${name}`;
  asked.add(name);
  const heard = asked.size <= HEARD_AT_ONCE && { nonRetryableErrorTypes: [HEARTBEAT_TIMEOUT] };
  const quick = proxyActivities<NodeActivities>({
    taskQueue,
    startToCloseTimeout: '5 minutes',
    // Else one that died with its worker would be waited for all that time.
    heartbeatTimeout: timing.heartbeat,
    scheduleToStartTimeout: timing.agentAway,
    retry: { maximumAttempts: 3, ...heard },
  });
  const stop = proxyActivities<NodeActivities>({
    taskQueue,
    // The grace, what SIGKILL takes, and the stacks of a hung gang.
    startToCloseTimeout: milliseconds(timing.stopGrace) + 40_000,
    // A host that is cut off may have a poll parked at the server, which takes the task and never answers.
    heartbeatTimeout: timing.heartbeat,
    scheduleToStartTimeout: timing.agentAway,
    retry: { maximumAttempts: 2 },
  });
  const once = proxyActivities<NodeActivities>({
    taskQueue,
    startToCloseTimeout: '10 minutes',
    heartbeatTimeout: timing.heartbeat,
    scheduleToStartTimeout: timing.agentAway,
    // One alone of the two cannot try again.
    retry: { maximumAttempts: 1 },
  });
  const step = proxyActivities<NodeActivities>({
    taskQueue,
    startToCloseTimeout: '2 days',
    heartbeatTimeout: timing.heartbeat,
    scheduleToStartTimeout: timing.agentAway,
    cancellationType: 'WAIT_CANCELLATION_COMPLETED',
    retry: { maximumAttempts: 5, ...heard },
  });
  const untilTheEnd = {
    taskQueue,
    startToCloseTimeout: '365 days',
    heartbeatTimeout: timing.heartbeat,
    scheduleToStartTimeout: timing.agentAway,
    // Nobody waits for a watcher: what ends training is stopTraining, and it is confirmed by itself.
    cancellationType: 'TRY_CANCEL',
  } as const;
  const watching = proxyActivities<NodeActivities>({
    ...untilTheEnd,
    ...(gang <= HEARD_AT_ONCE && { retry: { nonRetryableErrorTypes: [HEARTBEAT_TIMEOUT] } }),
  });
  const copying = proxyActivities<NodeActivities>({
    ...untilTheEnd,
    retry: { nonRetryableErrorTypes: [HEARTBEAT_TIMEOUT] },
  });
  return naming(name, timing, heard !== false, {
    pingNode: onProbe(name).pingNode,
    probePeer: onProbe(name).probePeer,
    fenceNode: quick.fenceNode,
    checkNode: quick.checkNode,
    testPair: once.testPair,
    pingDevices: step.pingDevices,
    admitRun: quick.admitRun,
    launchTraining: quick.launchTraining,
    findLeft: quick.findLeft,
    stopTraining: stop.stopTraining,
    listCheckpoints: step.listCheckpoints,
    findSaves: step.findSaves,
    sealSaves: step.sealSaves,
    findArtifact: step.findArtifact,
    fetchFiles: step.fetchFiles,
    preprocessShard: step.preprocessShard,
    mergeShards: step.mergeShards,
    // Servers ask for patience: what takes longer than quick steps may is not the node's fault.
    listSource: step.listSource,
    syncFiles: step.syncFiles,
    removeParts: step.removeParts,
    setAsideDamaged: step.setAsideDamaged,
    convertCheckpoint: step.convertCheckpoint,
    restoreCheckpoint: step.restoreCheckpoint,
    removeCheckpoints: step.removeCheckpoints,
    exportCheckpoint: step.exportCheckpoint,
    reapLeft: step.reapLeft,
    sealCurves: step.sealCurves,
    watchTraining: watching.watchTraining,
    replicateCheckpoint: copying.replicateCheckpoint,
  });
}

/** Whether a node's worker answers, within the time that it may be away. */
export async function isThere(node: string, { agentAway }: Timing): Promise<boolean> {
  const deadline = Date.now() + milliseconds(agentAway);
  do {
    try {
      await onProbe(node).pingNode();
      return true;
    } catch (error) {
      if (isCancellation(error)) throw error;
    }
    // It may fail at once.
    await sleep('1 second');
  } while (Date.now() < deadline);
  return false;
}

const timeoutIn = (error: unknown): TimeoutFailure | undefined =>
  error instanceof ActivityFailure && error.cause instanceof TimeoutFailure ? error.cause : undefined;
const isSilence = (error: unknown): boolean => timeoutIn(error)?.timeoutType === 'HEARTBEAT';

/**
 * A call that no worker took, or whose worker went silent, says nothing about the step and everything about the
 * node: it comes back as `NodeLost` with the node's name, wherever in the pipeline it happened.
 *
 * @param asks whether a worker that was silent is asked if it is there, and given the step again
 */
function naming(node: string, timing: Timing, asks: boolean, activities: NodeActivities): NodeActivities {
  const named = (call: (input: never) => Promise<unknown>, activity: string) => async (input: never) => {
    const again = asks && !SEEN_TO.has(activity);
    try {
      if (!again) return await call(input);
      return await outlastingSilence(
        () => call(input),
        isSilence,
        () => isThere(node, timing),
      );
    } catch (error) {
      const timedOut = timeoutIn(error);
      if (!timedOut) throw error;
      throw ApplicationFailure.create({
        type: 'NodeLost',
        nonRetryable: true,
        message: `${node} did not answer: ${activity} timed out (${timedOut.timeoutType})`,
        details: [{ node }],
        cause: error as Error,
      });
    }
  };
  return Object.fromEntries(
    Object.entries(activities).map(([activity, call]) => [activity, named(call as never, activity)]),
  ) as unknown as NodeActivities;
}

/** Proxy for the control workers' queue, which is the workflow's own. */
export const onControl = (startToCloseTimeout: '1 minute' | '15 minutes' = '1 minute') =>
  proxyActivities<ControlActivities>({ startToCloseTimeout, retry: { maximumAttempts: 5 } });

/** Base URL of a node's file service. */
export const peerOf = ({ name, address, port, tls, access }: NodeInfo): Peer => ({
  ...{ name, url: `${tls ? 'https' : 'http'}://${address}:${port}` },
  ...(access !== undefined && { token: access }),
});
