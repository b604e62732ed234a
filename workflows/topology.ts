/**
 * Where every rank sits and what its node therefore reads and writes. Rank order is Megatron's default,
 * tp-cp-ep-dp-pp: TP fastest, PP slowest (megatron/core/parallel_state.py), expert grid etp-ep-edp of its own.
 */
export interface Parallel {
  tp: number;
  pp: number;
  cp: number;
  ep: number;
  /** Tensor parallelism inside an expert; Megatron's default is `tp`. */
  etp?: number | undefined;
  /** `--num-layers-per-virtual-pipeline-stage`: layers in a chunk, not the number of chunks. */
  layersPerVirtualStage?: number | undefined;
  /** Empty layers, by their place among all, so that stages and chunks come out even. */
  noopLayers?: number[] | undefined;
}

export interface Rank {
  rank: number;
  tp: number;
  cp: number;
  dp: number;
  pp: number;
  ep: number;
  /** Replica number among the ranks that hold the same experts. */
  edp: number;
  /** Checkpoint shard that this rank loads: `mp_rank_TT[_PPP][_EEE]`. */
  shard: string;
}

/** What one node of a gang needs and leaves behind. */
export interface NodePlace {
  nodeRank: number;
  ranks: Rank[];
  /** Shards that some rank of this node loads: it needs `model_optim_rng.pt` of each. */
  loads: string[];
  /** Shards whose files some rank of this node writes at a save. */
  writes: string[];
  /** MindSpeed-LLM builds the dataset on TP rank 0 of every pipeline stage, so nearly always true. */
  readsDataset: boolean;
}

const pad = (value: number, width: number) => String(value).padStart(width, '0');

/** Name of a shard directory. PPP only with PP > 1, EEE only with EP > 1. */
const shardName = ({ pp, ep }: Pick<Parallel, 'pp' | 'ep'>, at: { tp: number; pp: number; ep: number }): string =>
  `mp_rank_${pad(at.tp, 2)}${pp > 1 ? `_${pad(at.pp, 3)}` : ''}${ep > 1 ? `_${pad(at.ep, 3)}` : ''}`;

/** The pipeline stage that a shard's name tells. */
export const stageOf = ({ pp }: Pick<Parallel, 'pp'>, shard: string): number =>
  pp > 1 ? Number(shard.split('_')[3]) : 0;

/** All ranks of a world. `world` must be a multiple of tp·pp·cp. */
export function placeRanks(parallel: Parallel, world: number): Rank[] {
  const { tp, pp, cp, ep, etp = tp } = parallel;
  const stage = world / pp;
  return Array.from({ length: world }, (_, rank) => {
    const inStage = rank % stage;
    const at = { tp: rank % tp, pp: Math.floor(rank / stage), ep: Math.floor(inStage / etp) % ep };
    return {
      rank,
      ...at,
      cp: Math.floor(rank / tp) % cp,
      dp: Math.floor(inStage / (tp * cp)),
      edp: Math.floor(inStage / (etp * ep)),
      shard: shardName(parallel, at),
    };
  });
}

/** The places of all nodes, in node order: node n hosts ranks n·devices … (n+1)·devices − 1. */
export function placeNodes(parallel: Parallel, nodes: number, devices: number): NodePlace[] {
  const ranks = placeRanks(parallel, nodes * devices);
  return Array.from({ length: nodes }, (_, nodeRank) => {
    const mine = ranks.slice(nodeRank * devices, (nodeRank + 1) * devices);
    return {
      nodeRank,
      ranks: mine,
      loads: unique(mine.map(({ shard }) => shard)),
      writes: unique(mine.filter((rank) => writesShard(rank, parallel)).map(({ shard }) => shard)),
      readsDataset: mine.some(({ tp }) => tp === 0),
    };
  });
}

/** Every shard of a complete checkpoint, in name order; by enumeration, since not every (tp, ep) pair need exist. */
export const allShards = (parallel: Parallel, world: number): string[] =>
  unique(placeRanks(parallel, world).map(({ shard }) => shard)).sort();

// With experts the model file comes from expert-DP rank 0, the dense optimizer's from DP rank 0: either writes here.
const writesShard = (rank: Rank, { ep }: Parallel): boolean =>
  (rank.dp === 0 && rank.cp === 0) || (ep > 1 && rank.edp === 0);

const unique = (names: string[]): string[] => [...new Set(names)];
