/**
 * Which nodes read the optimizer's state of a shard at a resume. It lies beside the model, in `distrib_optim.pt`, and is most
 * of the shard. Rank 0 of each optimizer's data-parallel group loads it and hands it out, the same that wrote it; experts
 * have an optimizer, and such groups, of their own (megatron/core/optimizer: `load_parameter_state` in distrib_optimizer.py
 * and optimizer.py, core 0.8 to 0.12; MindSpeed patches what is done with it then). Pure.
 */
import { storageOf, type Groups } from './islands.js';
import { isLayerWise } from './muon.js';
import type { Flags } from './recipes.js';
import type { NodePlace } from './topology.js';

/** With these others than the writers may read it: groups with a rank 0 of their own, other places of ranks, other formats. */
const READ_ELSEWHERE = [
  '--num-distributed-optimizer-instances',
  '--enable-high-availability',
  '--enable-hbmfault-repair',
  '--enable-worker-reboot',
  '--enable-elastic-training',
  '--distributed-optimizer-no-replica',
  '--use-tp-pp-dp-mapping',
  '--layerwise-disaggregated-training',
  '--use-torch-fsdp2',
  '--use-custom-fsdp',
];

/** @param flags of the recipe, and of the run file over it */
export const isReadWhereWritten = (flags: Flags): boolean =>
  !isLayerWise(flags) && READ_ELSEWHERE.every((flag) => flags[flag] === undefined || flags[flag] === false);

export interface WholeShards {
  /** Names of the nodes that have all of a shard. */
  holders(shard: string): string[];
  /** On how many storages all of it is to be, where so many load it. */
  copies: number;
  groups?: Groups | undefined;
}

/**
 * By rank of the node, the shards of which it need not bring more than the model: on its storage nobody reads more, nor has
 * it, and there are enough others to lose one.
 */
export function modelOnly(
  nodes: (Pick<NodePlace, 'loads' | 'writes'> & { name: string })[],
  { holders, copies, groups }: WholeShards,
): string[][] {
  const storage = storageOf(groups);
  const wholeOn = (shard: string): Set<string> => {
    const loading = nodes.filter(({ loads }) => loads.includes(shard));
    const reading = nodes.filter(({ writes }) => writes.includes(shard));
    const whole = new Set([...holders(shard), ...reading.map(({ name }) => name)].map(storage));
    for (const { name } of loading) if (whole.size < copies) whole.add(storage(name));
    return whole;
  };
  const shards = [...new Set(nodes.flatMap(({ loads }) => loads))];
  const whole = new Map(shards.map((shard) => [shard, wholeOn(shard)]));
  return nodes.map(({ name, loads }) => loads.filter((shard) => !whole.get(shard)!.has(storage(name))));
}
