/**
 * What flags want of a layout, and what weights that are converted want of flags: the trainer says so on every node,
 * once all is prepared. Pure. After Megatron's transformer_config.py, MindSpeed's features_manager/moe, of 2.1.0
 * MindSpeed-LLM's training/arguments.py, and the converter's own options.
 */
import type { Complaint, Fit } from './layout-rules.js';
import type { Flags } from './recipes.js';
import { isAtLeast } from './releases.js';

const OVERLAP = '--moe-alltoall-overlap-comm';

const isOn = (flags: Flags, flag: string): boolean => flags[flag] !== undefined && flags[flag] !== false;

/** @param flags those that training is started with: the preset's own, and `train.extraArgs` over them */
export function dispatcherRule({ parallel, release }: Fit, flags: Flags): Complaint {
  const { tp, ep, etp = tp } = parallel;
  const isSequential = flags['--moe-token-dispatcher-type'] === 'alltoall_seq';
  if (isSequential && etp !== tp)
    return {
      path: 'parallel.etp',
      expected: `none, or tp = ${tp}: --moe-token-dispatcher-type alltoall_seq cuts experts as it cuts the rest ("alltoall" in train.extraArgs does not)`,
    };
  if (!isOn(flags, OVERLAP)) return undefined;
  const away = `with ${OVERLAP} (false in train.extraArgs takes it away)`;
  if (tp > 1 && (isSequential || !isAtLeast(release, '2.2.0')))
    return { path: 'parallel.tp', expected: `1 ${away}: it does not cut experts` };
  return ep === 1 && isAtLeast(release, '26.1.0')
    ? { path: 'parallel.ep', expected: `more than 1 ${away}` }
    : undefined;
}

export function sequenceParallelRule({ parallel: { tp, cp }, seqLength }: Fit, flags: Flags): Complaint {
  // Tensor parallel experts always have it.
  if (tp === 1 || !(isOn(flags, '--sequence-parallel') || isOn(flags, '--num-experts'))) return undefined;
  if (seqLength % (tp * cp) === 0) return undefined;
  return {
    path: 'train.seqLength',
    expected: `a multiple of tp·cp = ${tp}·${cp} = ${tp * cp}, since sequences are split (--sequence-parallel)`,
  };
}

/** Of the converter's options those that make other tensors of the same model, and what ours is called with. */
const CONVERTED: Record<string, string | true | undefined> = {
  '--transformer-impl': 'local',
  '--moe-grouped-gemm': true,
  '--mtp-num-layers': undefined,
  '--first-k-dense-replace': undefined,
  '--mla-mm-split': undefined,
};
/** Experts in every layer, as ours is called. */
const NONE = new Set<unknown>([false, -1, '-1', 0, '0']);

/** For a run whose weights come from the converter, or go to it. */
export function convertedFlagRule(extraArgs: Flags): Complaint {
  const other = Object.keys(extraArgs).find((flag) => {
    if (!Object.hasOwn(CONVERTED, flag)) return false;
    const [wanted, value] = [CONVERTED[flag], extraArgs[flag]];
    return wanted === undefined ? !NONE.has(value) : value !== wanted;
  });
  if (other === undefined) return undefined;
  const wanted = CONVERTED[other];
  const as = wanted === undefined ? 'without it' : `with ${[other, ...(wanted === true ? [] : [wanted])].join(' ')}`;
  return {
    path: `train.extraArgs.${other}`,
    expected: `no such flag with model.init "pretrained" or with export: weights are converted for a model ${as}`,
  };
}
