/** From a run file to the exact commands: argument lists only, never a shell string. Pure. */
import type { NodeInfo, SourceFile } from './contract.js';
import { LAST_GASP } from './high-availability.js';
import { onlineFlags } from './online-conversion.js';
import type { Flags } from './recipes.js';
import { isSplittable } from './data-files.js';
import type { RunSpec } from './spec.js';
import { render, trainingFlags } from './training-flags.js';

/** Where a launch takes its weights from. */
export type Start =
  | { from: 'random' }
  /** Weights of another model: iteration 0, no optimizer. */
  | {
      from: 'pretrained';
      dir: string;
      /** What is there is published weights, which the trainer converts. */
      online?: true;
    }
  /** The series' own checkpoint, optimizer and random state included. */
  | { from: 'checkpoint'; iteration: number };

export interface LaunchPlan {
  /** Data path of the training key without `.bin`, tokenizer directory, both below the data directory. */
  dataPrefix: string;
  tokenizer: string;
  start: Start;
  /** The iteration at which this run ends, and at which the series does. */
  target: number;
  shared: boolean;
  /** Below each data directory, where the trainer is to keep its index; absent for beside the dataset. */
  indexCache?: string | undefined;
}

export const checkpointsDir = (series: string): string => `series/${series}/checkpoints`;

const CURVES = '--tensorboard-dir';
const ownCurvesDir = (series: string): string => `series/${series}/tensorboard`;

/** Where the trainer writes its curves, below the data directory of the last rank's node; nothing where it writes none. */
export function curvesDir({ series, train }: RunSpec): string | undefined {
  const { [CURVES]: wanted = ownCurvesDir(series) } = train.extraArgs;
  return typeof wanted === 'string' ? wanted : undefined;
}

/**
 * Iteration at which this run ends: the next multiple of `iterationsPerRun` after `done`, so that a run which
 * starts again in the middle still ends where it was meant to, and never past the total.
 */
export function targetOf({ train }: RunSpec, done: number): number {
  const { iterations, iterationsPerRun = iterations } = train;
  return Math.min(iterations, (Math.floor(done / iterationsPerRun) + 1) * iterationsPerRun);
}

/**
 * Where members keep their index when only some share the storage of datasets: with --no-shared-storage each builds it,
 * and two on one storage would write the files that the other has begun to read.
 */
export const indexCacheApart = (dataset: string): string => dataset.replace(/^datasets\//, 'cache/indices/');

/** Options of torchrun for one node: static rendezvous, one launch a node, no restarts of its own. */
export const torchrunArgs = (nodeRank: number, nodes: NodeInfo[], devices: number, port: number | string): string[] => [
  ...['--nproc_per_node', String(devices), '--nnodes', String(nodes.length), '--node_rank', String(nodeRank)],
  ...['--master_addr', nodes[0]!.address, '--master_port', String(port), '--monitor_interval', '0.1'],
];

/**
 * `torchrun`, as arguments of Python. MindIO's last-gasp checkpoint needs one that has imported it, or the first rank that
 * ends takes the others with it: MindCluster's guide has that line put into the `torchrun` file of each machine
 * (branch_v26.1.0, 00_fault_recovery_acceleration/03_usage_guidance.md).
 */
export const torchrunEntry = (script: string[]): string[] =>
  script.includes(LAST_GASP)
    ? ['-c', 'import mindio_ttp.framework_ttp; from torch.distributed.run import main; main()']
    : ['-m', 'torch.distributed.run'];

/** `pretrain_gpt.py` and its arguments, the same on every node. */
export function trainingScript(spec: RunSpec, plan: LaunchPlan): string[] {
  const { train, series, tokenizer } = spec;
  const flags: Flags = {
    ...trainingFlags(spec),
    '--tokenizer-type': tokenizer.type,
    '--tokenizer-name-or-path': plan.tokenizer,
    '--data-path': plan.dataPrefix,
    ...startFlags(spec, plan.start),
    '--save': checkpointsDir(series),
    '--save-interval': train.saveInterval,
    '--train-iters': train.iterations,
    // Always given: exit 0 after a save on SIGTERM, instead of an end without one.
    '--exit-signal-handler': true,
    [CURVES]: ownCurvesDir(series),
    ...(plan.target < train.iterations && { '--exit-interval': plan.target }),
    ...(!plan.shared && { '--no-shared-storage': true }),
    ...(plan.indexCache !== undefined && { '--data-cache-path': plan.indexCache }),
    ...train.extraArgs,
  };
  return ['pretrain_gpt.py', ...render(flags)];
}

/** The commonest silent errors of a restart are here: each start has its own flags, and no other's. */
function startFlags(spec: RunSpec, start: Start): Flags {
  switch (start.from) {
    case 'random':
      return {};
    case 'pretrained':
      // --finetune makes it iteration 0; without the other two a converted checkpoint is a KeyError.
      return {
        ...(start.online ? onlineFlags(spec, start.dir) : { '--load': start.dir }),
        '--finetune': true,
        '--no-load-optim': true,
        '--no-load-rng': true,
        '--exit-on-missing-checkpoint': true,
      };
    case 'checkpoint':
      return { '--load': checkpointsDir(spec.series), '--exit-on-missing-checkpoint': true };
  }
}

export interface ShardPlan {
  /** The files that this shard reads: several whole ones, or a slice of a single one. */
  files: SourceFile[];
  slice: { index: number; of: number };
}

const BYTES_A_SHARD = 256 * 2 ** 20;
/** Below it a shard takes longer to start than to encode. */
const LEAST_BYTES_A_SHARD = 32 * 2 ** 20;
/** Shards of a dataset that a node is given at a time; how many cores it has it knows itself. */
const SHARDS_AT_A_TIME = 8;
/** The server takes 2,000 open activities of a workflow, and 4 MB of new ones at a time, of some 2 kB each. */
const SHARDS_AT_ONCE = 1000;

/** Of all nodes together. */
export const shardsAtOnce = (nodes: number): number => Math.min(nodes * SHARDS_AT_A_TIME, SHARDS_AT_ONCE);

/** Before there was a limit: more than 250 nodes came to a standstill where there was that much to do. */
export const shardsEver = (nodes: number): number => nodes * SHARDS_AT_A_TIME;

/**
 * Some thirteen events of a history are a shard's, and the server ends a workflow at 51,200; and all shards are named in
 * one call, to whoever merges them, of which it takes 2 MB.
 */
export const MOST_SHARDS = 3000;

/** At least one for every node, for its cores if there is enough for them, and small enough that a lost node costs little. */
export function autoShards(files: SourceFile[], nodes: number): number {
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const forCores = Math.min(nodes * SHARDS_AT_A_TIME, Math.ceil(bytes / LEAST_BYTES_A_SHARD));
  return Math.max(nodes, forCores, Math.ceil(bytes / BYTES_A_SHARD));
}

/**
 * Cuts files, in the order given, into about `wanted` shards: large files into slices, runs of small
 * ones together, compressed ones whole. Shards in order are the files in order, whatever `wanted` is.
 */
export function planShards(files: SourceFile[], wanted: number): ShardPlan[] {
  const target = Math.max(1, files.reduce((sum, { size }) => sum + size, 0) / wanted);
  const shards: ShardPlan[] = [];
  let together: SourceFile[] = [];
  let bytes = 0;
  const flush = () => {
    if (together.length) shards.push({ files: together, slice: { index: 0, of: 1 } });
    [together, bytes] = [[], 0];
  };
  for (const file of files) {
    const slices = isSplittable(file.path) ? Math.round(file.size / target) : 1;
    if (slices > 1) {
      flush();
      for (let index = 0; index < slices; index++) shards.push({ files: [file], slice: { index, of: slices } });
      continue;
    }
    together.push(file);
    bytes += file.size;
    if (bytes >= target) flush();
  }
  flush();
  return shards;
}

export const tooManyShards = ({ engine, shards }: RunSpec['preprocess'], plans: number): string =>
  engine === 'mindspeed'
    ? `with preprocess.engine "mindspeed" each of its ${plans} files is a shard, and a run makes ${MOST_SHARDS} at most. "native" puts several into one; or put them into fewer, larger files`
    : `preprocess.shards is ${shards}, which makes ${plans} of it, and a run makes ${MOST_SHARDS} at most. Say fewer, or "auto"`;

/** The same, into so many at most, where rounding would give more. */
export function planAtMost(files: SourceFile[], most: number): ShardPlan[] {
  for (let wanted = most; ; wanted = Math.floor(wanted * 0.9)) {
    const plans = planShards(files, wanted);
    if (plans.length <= most || wanted === 1) return plans;
  }
}

/** For a preprocessor that reads one whole file at a time, and of a directory in no order. */
export const wholeFiles = (files: SourceFile[]): ShardPlan[] =>
  files.map((file) => ({ files: [file], slice: { index: 0, of: 1 } }));
