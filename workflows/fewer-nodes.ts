/**
 * How many nodes a gang may have where one is lost and none comes in its place: data parallelism shrinks, everything that
 * a checkpoint fixes stays, and so does the global batch. Pure.
 */
import { LAYOUT_RULES, dataParallel, worldRule, type Fit } from './layout-rules.js';
import { isLayerWise } from './muon.js';
import type { Flags } from './recipes.js';
import type { Parallel } from './topology.js';

/** `wait`: until there are nodes for the whole gang again. */
export type FewerNodes = 'wait' | { atLeast: number; after: string };

/** Numbers of nodes below the whole gang's on which its layout, batch and sequence come out even, largest first. */
export const fewerThan = (whole: Fit, atLeast = 1): number[] =>
  Array.from({ length: Math.max(0, whole.nodes - atLeast) }, (_, index) => whole.nodes - 1 - index).filter((nodes) =>
    isEven({ ...whole, nodes }),
  );

const isEven = (fit: Fit): boolean =>
  worldRule(fit) === undefined && LAYOUT_RULES.every((rule) => rule(fit) === undefined);

/**
 * On how many of the nodes that are there a gang is launched; nothing where it has to wait for more.
 * @param tooFew a number on which the ranks did not come to train: no more so few
 */
export function gangSize(
  whole: Fit,
  fewer: FewerNodes,
  { there, tooFew = 0 }: { there: number; tooFew?: number },
): number | undefined {
  if (there >= whole.nodes) return whole.nodes;
  if (fewer === 'wait') return undefined;
  return fewerThan(whole, Math.max(fewer.atLeast, tooFew + 1)).find((nodes) => nodes <= there);
}

/**
 * What a checkpoint must not have to be loaded by another number of data-parallel ranks. In the torch format rank 0 of a
 * stage writes the whole optimizer state without padding, and scatters it again over however many there are
 * (megatron/core/optimizer/distrib_optimizer.py, core 0.8 to 0.12); a resume of the real scripts with one instead of two
 * is recorded (test/fixtures/golden/train/resume.json). Each of these keeps something by data-parallel rank beside it,
 * or is another format, or has no recorded resume of the kind.
 */
const BY_RANK: Record<string, string> = {
  '--reuse-fp32-param': 'it keeps the low halves of the weights cut by data-parallel rank',
  '--data-parallel-random-init': 'it keeps a random state for each data-parallel rank',
  '--enable-high-availability': 'its optimizer has replicas by data-parallel rank',
  '--distributed-optimizer-no-replica': 'its optimizer has replicas by data-parallel rank',
  '--enable-elastic-training': 'it changes the number of ranks by itself',
  '--num-distributed-optimizer-instances': 'no resume of it with other data parallelism is on record',
  '--virtual-optimizer': 'no resume of it with other data parallelism is on record',
  '--swap-optimizer': 'no resume of it with other data parallelism is on record',
  '--quant-states': 'no resume of it with other data parallelism is on record',
  '--optimizer-cpu-offload': 'no resume of it with other data parallelism is on record',
  '--fp8-param-gather': 'no resume of it with other data parallelism is on record',
  '--use-torch-fsdp2': 'its checkpoints are cut by data-parallel rank',
  '--use-custom-fsdp': 'its checkpoints are cut by data-parallel rank',
  '--use-tp-pp-dp-mapping': 'ranks are placed in another order',
  '--rampup-batch-size': 'each batch on the way would have to come out even as well',
};

/**
 * Why this training cannot go on with other data parallelism; nothing where it can.
 * @param flags of the recipe, and of the run file over it
 */
export function whyNotFewer({ ep }: Pick<Parallel, 'ep'>, flags: Flags): string | undefined {
  if (ep > 1) return `parallel.ep is ${ep}, and no resume of experts with other data parallelism is on record`;
  if (flags['--use-distributed-optimizer'] === false)
    return 'a resume with other data parallelism is on record with --use-distributed-optimizer only';
  if (isLayerWise(flags))
    return `--optimizer ${String(flags['--optimizer'])} keeps the state of whole parameters by data-parallel rank, in files that others do not find`;
  const order = flags['--dataloader-type'];
  if (order !== undefined && order !== 'single')
    return `--dataloader-type ${String(order)} draws samples by data-parallel rank, so that others would be trained on`;
  const [flag, why] =
    Object.entries(BY_RANK).find(([name]) => flags[name] !== undefined && flags[name] !== false) ?? [];
  return flag === undefined ? undefined : `${flag}: ${why}. "${flag}": false in train.extraArgs takes it out`;
}

/** For a person, before a run. */
export function describeFewer(whole: Fit, fewer: FewerNodes, whyNot: string | undefined): string {
  const waits = 'a lost node that neither a spare nor the pool makes up for is waited for';
  if (whyNot !== undefined) return `${waits}; to go on with fewer nodes is not possible: ${whyNot}`;
  const each = (sizes: number[]): string =>
    sizes.map((nodes) => `${nodes} (dp ${dataParallel({ ...whole, nodes })})`).join(', ');
  const possible = fewerThan(whole);
  if (fewer !== 'wait')
    return `without a spare, and none from the pool within ${fewer.after}, the run goes on with fewer nodes: ${each(fewerThan(whole, fewer.atLeast))}; the checkpoint's optimizer state is whole and takes any dp. It grows back at a checkpoint`;
  return possible.length === 0
    ? `${waits}; no smaller number of nodes takes this layout and batch`
    : `${waits}; recovery.fewerNodes would let the run go on with ${each(possible)}`;
}
