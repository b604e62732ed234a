/**
 * Checkpoints of torch.distributed.checkpoint, as `train_fsdp2.py` writes them, in shards: all that the ranks of one node
 * write is one shard, named after them, so that its name says whose files are in it. Pure.
 */
import { placeRanks, type NodePlace, type Parallel } from './topology.js';

/** Rank 0's, when every rank of every node has written: a checkpoint without it is none. */
export const DCP_METADATA = '.metadata';

/** What one rank leaves in `global_step_<n>`: at most 16 files of parameters and optimizer, and its own state. */
export const filesOfRank = (rank: number): string[] => [
  `__${rank}_*.distcp`,
  `extra_state/extra_state_rank_${rank}.pt`,
];

/** Where the script is told to write, below the data directory. */
export const outputDir = (series: string): string => `series/${series}/fsdp2`;
/** Where it then has its checkpoints, which it names itself. */
export const stepsDir = (series: string): string => `${outputDir(series)}/checkpoints`;
export const stepDir = (step: number): string => `global_step_${step}`;

const SHARD = /^dcp_(\d{5,})_(\d{5,})$/;
const OF_RANK = /^(?:__(\d+)_\d+\.distcp|extra_state\/extra_state_rank_(\d+)\.pt)$/;

const dcpShard = (first: number, last: number): string =>
  `dcp_${[first, last].map((rank) => String(rank).padStart(5, '0')).join('_')}`;

/** First and last of the ranks that write a shard; nothing for what is none of these. */
export function ranksOfShard(shard: string): [number, number] | undefined {
  const [, first, last] = SHARD.exec(shard) ?? [];
  return first === undefined ? undefined : [Number(first), Number(last)];
}

/** In a shard it has another name: what begins with a dot there is left over from something. */
const METADATA = 'metadata';
export const nameInShard = (path: string): string => (path === DCP_METADATA ? METADATA : path);
export const nameInStep = (path: string): string => (path === METADATA ? DCP_METADATA : path);

export const isDcpShard = (shard: string): boolean => SHARD.test(shard);

/** Whether a file of a checkpoint, by its path in it, is of this shard. */
export function isOfShard(shard: string, path: string): boolean {
  const [first, last] = ranksOfShard(shard) ?? [];
  if (first === undefined) return false;
  if (path === DCP_METADATA) return first === 0;
  const [, part, state] = OF_RANK.exec(path) ?? [];
  const rank = Number(part ?? state ?? NaN);
  return rank >= first && rank <= last!;
}

/**
 * Every node loads every shard. A rank reads its own `extra_state`, `.metadata`, and of the tensors what is its part now,
 * in whatever file that is: what is not cut over ranks, such as an optimizer's step counts, is written by one of them
 * (torch's DefaultSavePlanner, `dedup_save_plans`), and with experts a part is not where it was (MindSpeed-LLM's
 * `restore_ep_dim`). Which files these are is said nowhere but in `.metadata`, rank 0's pickle.
 */
export function placeDcp({ ep }: Pick<Parallel, 'ep'>, nodes: number, devices: number): NodePlace[] {
  const names = Array.from({ length: nodes }, (_, rank) => dcpShard(rank * devices, (rank + 1) * devices - 1));
  const ranks = placeRanks({ tp: 1, pp: 1, cp: 1, ep }, nodes * devices);
  return names.map((shard, nodeRank) => ({
    nodeRank,
    ranks: ranks.slice(nodeRank * devices, (nodeRank + 1) * devices).map((rank) => ({ ...rank, shard })),
    loads: names,
    writes: [shard],
    readsDataset: true,
  }));
}
