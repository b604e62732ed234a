/**
 * What `npm run plan` prints for `train.backend: "fsdp2"`: every node's exact command, who leaves which files of a
 * checkpoint, and what to bring where to go on from one, for a person who does by hand what a run does. Pure.
 */
import type { NodeInfo } from './contract.js';
import { DCP_METADATA, filesOfRank } from './dcp-shards.js';
import { fsdp2Environment, fsdp2Script } from './fsdp2.js';
import { torchrunArgs } from './plan.js';
import { shellLine } from './shell-line.js';
import type { Problem, RunSpec } from './spec.js';

export interface Fsdp2NodePlan {
  node: string;
  ranks: number[];
  /** Below a checkpoint's directory, `*` for a number that only the save tells. */
  writes: string[];
  command: string[];
}

export interface Fsdp2Plan {
  backend: 'fsdp2';
  series: string;
  world: number;
  /** Of a checkpoint, `N` for its step. */
  checkpoint: string;
  /** Added to every node's command to go on from a checkpoint. */
  resume: string[];
  /** A checkpoint in Hugging Face format, from a directory with all of its files. */
  export: string[];
  env: Record<string, string>;
  warnings: string[];
  nodes: Fsdp2NodePlan[];
}

/** What a person knows and this does not. */
const VARIABLES: Record<string, string> = {
  DATA: "the node's data directory",
  MINDSPEED_LLM: "the node's MindSpeed-LLM directory",
  MASTER_ADDR: 'the address of node-0',
  MASTER_PORT: 'a free port of node-0',
  NIC: "the interface that carries the node's address",
  MODEL:
    'a directory with the model in Hugging Face format, configuration and tokenizer included, the same on every node',
  TEXT: 'a file of text (column "text"), or a directory with one, where there is room for tokens beside it, the same on every node',
};

export function planFsdp2(spec: RunSpec): Fsdp2Plan {
  const { nodes, devicesPerNode: devices } = spec.cluster;
  const output = `$DATA/series/${spec.series}/fsdp2`;
  const checkpoint = `${output}/checkpoints/global_step_N`;
  const members = Array.from({ length: nodes }, (_, rank): NodeInfo => ({
    ...{ name: `node-${rank}`, address: '$MASTER_ADDR', port: 0, devices, profile: 'npu' },
  }));
  const [entry, ...args] = fsdp2Script(spec, { model: '$MODEL', text: '$TEXT', output });
  return {
    ...{ backend: 'fsdp2', series: spec.series, world: nodes * devices, checkpoint },
    resume: ['--training.resume_from_checkpoint', checkpoint],
    export: [
      ...['python3', 'mindspeed_llm/fsdp2/checkpoint/merge_dcp_to_hf.py'],
      ...['--load-dir', checkpoint, '--save-dir', `${output}/huggingface`, '--model-configs', '$MODEL'],
    ],
    env: { ...fsdp2Environment(spec), GLOO_SOCKET_IFNAME: '$NIC', HCCL_SOCKET_IFNAME: '=$NIC' },
    warnings: fsdp2Warnings(spec),
    nodes: members.map(({ name }, nodeRank) => {
      const ranks = Array.from({ length: devices }, (_, local) => nodeRank * devices + local);
      return {
        ...{ node: name, ranks },
        writes: [...ranks.flatMap(filesOfRank), ...(nodeRank === 0 ? [DCP_METADATA] : [])],
        command: [
          ...['python3', '-m', 'torch.distributed.run'],
          ...torchrunArgs(nodeRank, members, devices, '$MASTER_PORT'),
          ...[entry!, ...args],
        ],
      };
    }),
  };
}

/** What a person knows of this backend before a run, or is surprised by. */
export function fsdp2Warnings({ train, cluster, mindspeed: { release } }: RunSpec): string[] {
  const where =
    cluster.nodes === 1 ? 'one process' : 'one process on each node, or one in all where storage is shared,';
  return [
    `train_fsdp2.py of ${release} takes text only: at every start ${where} tokenises all of it anew before the first step, and writes the tokens beside the text`,
    'files of a directory are read as the disk lists them, which is another order on another machine: of several files make one, or ranks train on samples that are not theirs, and a node in place of another changes them',
    `texts of ${train.seqLength} tokens (train.seqLength) or more are left out of training, with no more than a line in the log`,
    'an argument that it does not know is passed over, with no more than a line in the log',
    'a stop saves nothing: on SIGTERM it ends as it stands, at its last checkpoint',
    'a loss that is not a number does not end it: watch lm loss and grad norm',
    "the first line after going on from step N has one step's loss and time divided by N + 1, which no step had: it forgets what it had logged",
  ];
}

/** @param refused what a run has against the file */
export function describeFsdp2(plan: Fsdp2Plan, spec: RunSpec, refused: Problem[] = []): string {
  const { cluster, parallel, train } = spec;
  const experts = parallel.ep > 1 ? `, experts ${parallel.ep} × ${plan.world / parallel.ep}` : '';
  const [first, ...others] = plan.nodes;
  return [
    `series ${plan.series}, by hand: ${cluster.nodes} nodes × ${cluster.devicesPerNode} devices = ${plan.world} ranks = fsdp ${plan.world}${experts}`,
    `by hand nothing is watched, copied or restarted; a run does that${refused.length > 0 ? ', and refuses this file:' : ''}`,
    ...refused.map(({ path, expected }) => `  ${path}: expected ${expected}`),
    `iterations: ${train.iterations}; a checkpoint every ${train.saveInterval} in ${plan.checkpoint}, of which each node keeps the newest ${train.keepCheckpoints}`,
    ...plan.warnings.map((warning) => `warning: ${warning}`),
    '',
    'Once in a shell, with the values of that node:',
    ...Object.entries(VARIABLES).map(([name, what]) => `export ${name}=…  # ${what}`),
    ...plan.nodes.flatMap((node) => describeNode(node, plan.env)),
    '',
    `to go on from step N: it is whole where ${first!.node} has its ${DCP_METADATA}, which is written when every rank of every node has written; there is no other mark, and no tracker.`,
    ...(others.length > 0 && cluster.sharedStorage !== true
      ? [
          `Each node reads ${DCP_METADATA}, its ranks' extra_state and files of all ranks: bring global_step_N of every node to every other.`,
        ]
      : []),
    'As many ranks as saved it, and then the same commands with, at their end:',
    `  ${line(plan.resume)}`,
    '',
    'afterwards, where all files of step N are, in Hugging Face format:',
    `cd "$MINDSPEED_LLM" && ${line(plan.export)}`,
  ].join('\n');
}

/** The script is started in its checkout: it finds the tokeniser that it calls from there. */
const describeNode = ({ node, ranks, writes, command }: Fsdp2NodePlan, env: Record<string, string>): string[] => [
  '',
  `${node}: ranks ${ranks[0]!}–${ranks.at(-1)!}; writes ${spoken(ranks, writes)}`,
  `cd "$MINDSPEED_LLM" && env ${line(Object.entries(env).map(([name, value]) => `${name}=${value}`))} \\`,
  `  ${line(command)}`,
];

function spoken(ranks: number[], writes: string[]): string {
  const [from, to] = [filesOfRank(ranks[0]!), filesOfRank(ranks.at(-1)!)];
  const files = from.map((file, index) => (file === to[index] ? file : `${file} … ${to[index]!}`));
  return [...files, ...(writes.includes(DCP_METADATA) ? [`${DCP_METADATA} when all are there`] : [])].join(', ');
}

const line = (args: string[]): string => shellLine(args, Object.keys(VARIABLES));
