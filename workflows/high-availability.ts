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

/** @param flags those that training is started with: the preset's own, and `train.extraArgs` over them */
export function highAvailabilityRule(fit: Fit, flags: Flags): Complaint {
  const isOn = (flag: string) => flags[flag] !== undefined && flags[flag] !== false;
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
  if (dp > 1 && dp % 2 === 0) return undefined;
  return {
    path,
    expected: `no such flag with this layout: it needs an even number of replicas, and dp = world/(tp·pp·cp) = ${world}/(${tp}·${pp}·${cp}) = ${dp}`,
  };
}
