/**
 * MindIO's flags (last-gasp checkpoint, repair in place, replaced ranks, fewer replicas) where the layout allows them.
 * Pure. After MindSpeed-LLM's high_availability.md: state is kept by pairs of data-parallel replicas.
 */
import { dataParallel, type Complaint, type Fit } from './layout-rules.js';
import type { Flags } from './recipes.js';

/** With it ranks that are left make a checkpoint of a gang that fails. */
export const LAST_GASP = '--enable-high-availability';
const FLAGS = [LAST_GASP, '--enable-hbmfault-repair', '--enable-worker-reboot'];
const ELASTIC = '--enable-elastic-training';
/** Each of which needs MindIO. */
export const HIGH_AVAILABILITY = [...FLAGS, ELASTIC];
/** What none of them goes together with. */
const EXCLUDED = ['--swap-attention', '--swap-optimizer', '--disable-gloo-group'];
const EXCLUDED_BY_ELASTIC = ['--reuse-fp32-param'];

const given = (flags: Flags, flag: string): boolean => flags[flag] !== undefined && flags[flag] !== false;

export const hasLastGasps = (flags: Flags): boolean => given(flags, LAST_GASP);

/** @param flags those that training is started with: the preset's own, and `train.extraArgs` over them */
export function highAvailabilityRule(fit: Fit, flags: Flags): Complaint {
  const isOn = (flag: string) => given(flags, flag);
  const asked = HIGH_AVAILABILITY.find(isOn);
  if (asked === undefined) return undefined;
  const path = `train.extraArgs.${asked}`;
  const isElastic = isOn(ELASTIC);
  const other = [...EXCLUDED, ...(isElastic ? EXCLUDED_BY_ELASTIC : [])].find(isOn);
  if (other !== undefined)
    return {
      path,
      expected: `no such flag together with ${other}, which ${asked} does not go with ("${other}": false takes it away)`,
    };
  const { tp, pp, cp, ep } = fit.parallel;
  const [dp, world] = [dataParallel(fit), fit.nodes * fit.devices];
  if (isElastic && (ep > 1 || cp > 1))
    return {
      path,
      expected: `no such flag with parallel.ep = ${ep} and parallel.cp = ${cp}: replicas come and go whole`,
    };
  if (dp > 1 && dp % 2 === 0)
    return isOn(LAST_GASP)
      ? undefined
      : { path, expected: `no such flag without "${LAST_GASP}": true, which it is a part of` };
  return {
    path,
    expected: `no such flag with this layout: it needs an even number of replicas, and dp = world/(tp·pp·cp) = ${world}/(${tp}·${pp}·${cp}) = ${dp}`,
  };
}

/** What each flag is called in `HIGH_AVAILABILITY`, which outranks the flags (high_availability.md of 26.1.0). */
const STRATEGIES: Record<string, string> = {
  [LAST_GASP]: 'dump',
  '--enable-hbmfault-repair': 'retry',
  '--enable-worker-reboot': 'recover',
  [ELASTIC]: 'elastic-training',
};

/**
 * Of ranks with these flags, and of no others: what a node's own environment says of it stays there, since MindCluster's
 * Ascend Operator gives each pod its `HIGH_AVAILABILITY`, by which the trainer would turn on what no run file asked for
 * and no layout was held against (high_availability_helper.py of 2.2.0 to 26.1.0).
 * @param master address of the node of rank 0, which has MindIO's controller: another one after some failures
 */
export function highAvailabilityEnvironment(flags: Flags, master: string): Record<string, string> {
  if (!hasLastGasps(flags)) return {};
  const strategies = HIGH_AVAILABILITY.filter((flag) => given(flags, flag)).map((flag) => STRATEGIES[flag]!);
  return {
    HIGH_AVAILABILITY: strategies.join(','),
    // Without it every processor looks for its controller at 127.0.0.1 (tft_train_initialize.py of 2.3.0 to 26.1.0).
    TTP_ADDR: master,
    // torch_npu's watchdog would end what MindIO is about to repair: the Ascend Operator turns it off beside the above.
    HCCL_ASYNC_ERROR_HANDLING: '0',
  };
}
