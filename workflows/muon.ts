/**
 * `--optimizer muon`, where this pipeline can follow its checkpoints. Pure. With `--use-distributed-optimizer`, which is
 * always given unless a run file takes it away, every data-parallel rank keeps the state of whole parameters of its own
 * and writes them beside the model as `layer_wise_optimizer_<dp rank>.pt`, for the same rank of as many to load
 * (MindSpeed 26.1.0_core_r0.12.1: mindspeed/core/optimizer/muon/checkpointing.py and layer_wise_optimizer.py;
 * MindSpeed-LLM 26.1.0: mindspeed_llm/features_manager/optimizer/muon_optimizer_feature.py). A shard has a writer on
 * each node of its replicas then, where everywhere else it has one.
 */
import { HIGH_AVAILABILITY } from './high-availability.js';
import { dataParallel, type Complaint, type Fit } from './layout-rules.js';
import type { Flags } from './recipes.js';
import { isAtLeast, type Release } from './releases.js';
import { placeNodes, type NodePlace } from './topology.js';

const OPTIMIZER = '--optimizer';
/** The release that it came with. */
const MUON_SINCE: Release = '26.1.0';
const NAMES = ['muon', 'dist_muon'];

/** These change what an optimizer keeps beside its state, or who writes it. */
const UNSEEN = [...HIGH_AVAILABILITY, '--reuse-fp32-param'];

const isOn = (flags: Flags, flag: string): boolean => flags[flag] !== undefined && flags[flag] !== false;

/** `dist_muon` is `muon` with a distributed optimizer, whatever the other flag says. */
const nameOf = (flags: Flags): string | undefined => {
  const [name] = [flags[OPTIMIZER]].flat();
  return typeof name === 'string' && NAMES.includes(name) ? name : undefined;
};

/** Whether each data-parallel rank writes a file of its own into its shard. */
export const isLayerWise = (flags: Flags): boolean => {
  const name = nameOf(flags);
  return name === 'dist_muon' || (name !== undefined && flags['--use-distributed-optimizer'] !== false);
};

/** Shards of which ranks on more than one node write a part. */
export const writtenApart = (places: Pick<NodePlace, 'loads'>[]): string[] => {
  const all = places.flatMap(({ loads }) => loads);
  return [...new Set(all.filter((shard, index) => all.indexOf(shard) !== index))];
};

/**
 * @param flags those that training is started with: the preset's own, and `train.extraArgs` over them
 * @param isShared every node's files are every other's, for certain
 */
export function muonRule(fit: Fit, flags: Flags, isShared: boolean): Complaint {
  const name = nameOf(flags);
  if (name === undefined) return undefined;
  const bad = (why: string): Complaint => ({ path: `train.extraArgs.${OPTIMIZER}`, expected: `no "${name}" ${why}` });
  if (!isAtLeast(fit.release, MUON_SINCE))
    return bad(`in MindSpeed-LLM ${fit.release} (mindspeed.release): it came with ${MUON_SINCE}`);
  if (isOn(flags, '--fp16')) return bad('together with --fp16: it takes bf16 or fp32');
  if (!isLayerWise(flags))
    return isOn(flags, '--overlap-param-gather')
      ? bad('together with --overlap-param-gather and without --use-distributed-optimizer, which that needs')
      : undefined;
  if (isOn(flags, '--overlap-param-gather') && !isOn(flags, '--overlap-grad-reduce'))
    return bad('together with --overlap-param-gather and without --overlap-grad-reduce, which that needs');
  const other = UNSEEN.find((flag) => isOn(flags, flag));
  if (other !== undefined)
    return bad(`together with ${other}: no resume of the two is on record ("${other}": false takes it away)`);
  const { tp, pp, cp } = fit.parallel;
  // Their files have one name, the rank's without context parallelism, and the later one is what stays.
  if (cp > 1)
    return bad(
      `with parallel.cp = ${cp}: ranks that share a sequence write different states into one layer_wise_optimizer_<dp>.pt, and all but one are lost`,
    );
  const apart = isShared ? [] : writtenApart(placeNodes(fit.parallel, fit.nodes, fit.devices));
  if (apart.length === 0) return undefined;
  const [dp, world] = [dataParallel(fit), fit.nodes * fit.devices];
  return bad(
    `with this layout where storage is not shared: each of the dp = world/(tp·pp·cp) = ${world}/(${tp}·${pp}·${cp}) = ${dp} replicas writes its part of ${apart[0]!}, on more than one node, and a shard is proven and copied as one node wrote it. Either a layout with all replicas of a shard on one node (as with pp = ${fit.nodes}), cluster.sharedStorage true, or "--use-distributed-optimizer": false`,
  );
}
