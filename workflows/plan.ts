/** From a run file to the exact commands: argument lists only, never a shell string. Pure. */
import type { NodeInfo, SourceFile } from './contract.js';
import { isSplittable } from './data-files.js';
import type { ModelSizes } from './presets.js';
import type { RunSpec } from './spec.js';

/** Where a launch takes its weights from. */
export type Start =
  | { from: 'random' }
  /** Weights of another model: iteration 0, no optimizer. */
  | { from: 'pretrained'; dir: string }
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
}

export const checkpointsDir = (series: string): string => `series/${series}/checkpoints`;

/** Directory of converted weights for one layout; another layout gets another directory. */
export const convertedDir = (weightsKey: string, { parallel }: RunSpec): string =>
  `models/${weightsKey}/mcore-tp${parallel.tp}-pp${parallel.pp}-ep${parallel.ep}`;

/**
 * Iteration at which this run ends: the next multiple of `iterationsPerRun` after `done`, so that a run which
 * starts again in the middle still ends where it was meant to, and never past the total.
 */
export function targetOf({ train }: RunSpec, done: number): number {
  const { iterations, iterationsPerRun = iterations } = train;
  return Math.min(iterations, (Math.floor(done / iterationsPerRun) + 1) * iterationsPerRun);
}

/** Options of torchrun for one node: static rendezvous, one launch a node, no restarts of its own. */
export const torchrunArgs = (nodeRank: number, nodes: NodeInfo[], devices: number, port: number): string[] => [
  ...['--nproc_per_node', String(devices), '--nnodes', String(nodes.length), '--node_rank', String(nodeRank)],
  ...['--master_addr', nodes[0]!.address, '--master_port', String(port), '--monitor_interval', '0.5'],
];

/** `pretrain_gpt.py` and its arguments, the same on every node. */
export function trainingScript(spec: RunSpec, plan: LaunchPlan): string[] {
  const flags: Record<string, Flag> = {
    ...modelFlags(spec.sizes),
    ...recipeFlags(spec),
    '--tokenizer-type': spec.tokenizer.type,
    '--tokenizer-name-or-path': plan.tokenizer,
    '--data-path': plan.dataPrefix,
    ...loadFlags(spec, plan),
    '--save': checkpointsDir(spec.series),
    '--save-interval': spec.train.saveInterval,
    '--train-iters': spec.train.iterations,
    // Always given: exit 0 after a save on SIGTERM, and no silent start from random weights over the checkpoints.
    '--exit-signal-handler': true,
    ...(plan.target < spec.train.iterations && { '--exit-interval': plan.target }),
    ...(!plan.shared && { '--no-shared-storage': true }),
    ...spec.train.extraArgs,
  };
  return ['pretrain_gpt.py', ...render(flags)];
}

type Flag = string | number | boolean | (string | number)[];

/** Flags in the order given; `true` is a switch, `false` takes a default away. */
const render = (flags: Record<string, Flag>): string[] =>
  Object.entries(flags).flatMap(([flag, value]) => {
    if (typeof value === 'boolean') return value ? [flag] : [];
    return [flag, ...[value].flat().map(String)];
  });

const modelFlags = (sizes: ModelSizes): Record<string, Flag> => ({
  '--use-mcore-models': true,
  '--spec': ['mindspeed_llm.tasks.models.spec.qwen3_spec', 'layer_spec'],
  '--qk-layernorm': true,
  '--num-layers': sizes.layers,
  '--hidden-size': sizes.hidden,
  '--ffn-hidden-size': sizes.ffn,
  '--num-attention-heads': sizes.heads,
  '--group-query-attention': true,
  '--num-query-groups': sizes.groups,
  '--kv-channels': sizes.headDim,
  '--max-position-embeddings': sizes.maxPositions,
  '--make-vocab-size-divisible-by': 1,
  '--padded-vocab-size': sizes.vocab,
  '--rotary-base': sizes.ropeBase,
  ...(!sizes.tied && { '--untie-embeddings-and-output-weights': true }),
  '--disable-bias-linear': true,
  '--position-embedding-type': 'rope',
  '--normalization': 'RMSNorm',
  '--norm-epsilon': '1e-6',
  '--swiglu': true,
  '--attention-softmax-in-fp32': true,
  '--no-gradient-accumulation-fusion': true,
  '--no-masked-softmax-fusion': true,
  '--use-flash-attn': true,
  '--use-fused-rotary-pos-emb': true,
  '--use-rotary-position-embeddings': true,
  '--use-fused-swiglu': true,
  '--use-fused-rmsnorm': true,
  '--transformer-impl': 'local',
});

const recipeFlags = ({ parallel, train }: RunSpec): Record<string, Flag> => ({
  '--tensor-model-parallel-size': parallel.tp,
  '--pipeline-model-parallel-size': parallel.pp,
  ...(parallel.cp > 1 && { '--context-parallel-size': parallel.cp }),
  ...(parallel.ep > 1 && { '--expert-model-parallel-size': parallel.ep }),
  '--distributed-backend': 'nccl',
  '--use-distributed-optimizer': true,
  '--micro-batch-size': train.microBatch,
  '--global-batch-size': train.globalBatch,
  '--seq-length': train.seqLength,
  '--bf16': true,
  '--lr': '1.25e-6',
  '--min-lr': '1.25e-7',
  '--lr-decay-style': 'cosine',
  '--lr-warmup-fraction': '0.01',
  '--weight-decay': '0.1',
  '--adam-beta1': '0.9',
  '--adam-beta2': '0.95',
  '--clip-grad': '1.0',
  '--initial-loss-scale': 4096,
  '--init-method-std': '0.01',
  '--attention-dropout': '0.0',
  '--hidden-dropout': '0.0',
  '--seed': 42,
  '--split': '100,0,0',
  '--eval-interval': train.iterations,
  '--eval-iters': 0,
  '--log-interval': 1,
});

function loadFlags({ series }: RunSpec, { start }: LaunchPlan): Record<string, Flag> {
  switch (start.from) {
    case 'random':
      return {};
    case 'pretrained':
      // --finetune makes it iteration 0; without the other two a converted checkpoint is a KeyError.
      return {
        '--load': start.dir,
        '--finetune': true,
        '--no-load-optim': true,
        '--no-load-rng': true,
        '--exit-on-missing-checkpoint': true,
      };
    case 'checkpoint':
      return { '--load': checkpointsDir(series), '--exit-on-missing-checkpoint': true };
  }
}

/** Arguments of `convert_ckpt_v2.py` but for the two directories; the same layout that trains. */
export const convertArgs = ({ parallel, sizes }: RunSpec): string[] =>
  render({
    '--load-model-type': 'hf',
    '--save-model-type': 'mg',
    '--model-type-hf': 'qwen3',
    '--target-tensor-parallel-size': parallel.tp,
    '--target-pipeline-parallel-size': parallel.pp,
    ...(parallel.ep > 1 && { '--target-expert-parallel-size': parallel.ep }),
    ...(sizes.tied && {}),
  });

export interface ShardPlan {
  /** The files that this shard reads: several whole ones, or a slice of a single one. */
  files: SourceFile[];
  slice: { index: number; of: number };
}

const BYTES_A_SHARD = 256 * 2 ** 20;

/** At least one for every node, and small enough that a lost node costs little. */
export const autoShards = (files: SourceFile[], nodes: number): number =>
  Math.max(nodes, Math.ceil(files.reduce((sum, { size }) => sum + size, 0) / BYTES_A_SHARD));

/**
 * Cuts files, in the order given, into about `wanted` shards: large files into slices, runs of small
 * ones together, compressed ones whole. Shards in order are the files in order, whatever `wanted` is.
 */
export function planShards(files: SourceFile[], wanted: number): ShardPlan[] {
  const target = Math.max(1, files.reduce((sum, { size }) => sum + size, 0) / wanted);
  const shards: ShardPlan[] = [];
  let together: SourceFile[] = [];
  const flush = () => {
    if (together.length) shards.push({ files: together, slice: { index: 0, of: 1 } });
    together = [];
  };
  for (const file of files) {
    const slices = isSplittable(file.path) ? Math.round(file.size / target) : 1;
    if (slices > 1) {
      flush();
      for (let index = 0; index < slices; index++) shards.push({ files: [file], slice: { index, of: slices } });
      continue;
    }
    together.push(file);
    if (together.reduce((sum, { size }) => sum + size, 0) >= target) flush();
  }
  flush();
  return shards;
}
