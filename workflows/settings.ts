/** What changes when a paused run goes on with other settings: the run file with them in it. Pure. */
import type { Settings } from './requests.js';
import { FIXED_FLAGS, PLAN_CHOICE as FLAG, PLAN_MEANS as MEANS } from './series-identity.js';

type File = { train: { iterations: number; extraArgs?: Record<string, unknown> }; cluster: object };

/** Learning rate, warm-up, decay and weight decay are in the checkpoint, and other ones than there are an error. */
const SCHEDULED = /^--(lr|min-lr|lr-.*|weight-decay.*|start-weight-decay|end-weight-decay)$/;
/** A checkpoint of another model, precision or optimizer does not load, or loads into something else. */
const FIXED =
  /^--(num-layers|hidden-size|ffn-hidden-size|num-attention-heads|num-query-groups|kv-channels|padded-vocab-size|untie-.*|rotary-.*|num-experts|moe-ffn-.*|(override|use-checkpoint)-opt_param-scheduler)$/;

/** Why these settings cannot follow on what is trained; `undefined` when they can. */
export function refusalOf(settings: Settings, file: unknown, trained: number): string | undefined {
  const { train } = file as File;
  const { iterations, schedule, extraArgs = {} } = settings;
  const fixed = Object.keys(extraArgs).find((flag) => FIXED.test(flag) || FIXED_FLAGS.includes(flag));
  if (fixed)
    return `settings.extraArgs.${fixed}: expected a flag that a checkpoint does not fix; use another series for another model or optimizer`;
  if (iterations !== undefined && iterations <= train.iterations)
    return `settings.iterations: expected more than the ${train.iterations} there are, got ${iterations}; to end earlier, cancel the run`;
  const scheduled = [
    ...(iterations === undefined ? [] : ['settings.iterations']),
    ...Object.keys(extraArgs)
      .filter((flag) => SCHEDULED.test(flag))
      .map((flag) => `settings.extraArgs.${flag}`),
  ];
  if (scheduled.length > 0 && trained > 0 && schedule === undefined)
    return `settings.schedule: expected "keep" (${MEANS.keep}) or "recompute" (${MEANS.recompute}), got nothing, and ${scheduled.join(', ')} changes the plan of the learning rate that the checkpoint carries`;
  if (schedule === 'keep' && Object.keys(extraArgs).some((flag) => SCHEDULED.test(flag)))
    return `settings.schedule: expected "recompute", since "keep" would ignore ${scheduled.at(-1)}`;
  return undefined;
}

/** The run file with the settings in it; what is right in it is for the run file's own rules to say. */
export function withSettings(
  file: unknown,
  { saveInterval, spares, iterations, schedule, extraArgs }: Settings,
  trained: number,
): unknown {
  const { train, cluster, ...rest } = file as File;
  const flags = { ...train.extraArgs, ...extraArgs };
  if (schedule !== undefined && trained > 0) {
    delete flags[FLAG.keep];
    delete flags[FLAG.recompute];
    flags[FLAG[schedule]] = true;
  }
  return {
    ...rest,
    cluster: { ...cluster, ...(spares !== undefined && { spares }) },
    train: {
      ...train,
      ...(saveInterval !== undefined && { saveInterval }),
      ...(iterations !== undefined && { iterations }),
      extraArgs: Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== null)),
    },
  };
}

export function describeSettings({ schedule, extraArgs, ...rest }: Settings): string {
  const flags = Object.entries(extraArgs ?? {}).map(
    ([flag, value]) => `${flag} ${value === null ? 'taken out' : JSON.stringify(value)}`,
  );
  return [
    ...Object.entries(rest).map(([field, value]) => `${field} ${String(value)}`),
    ...flags,
    ...(schedule ? [MEANS[schedule]] : []),
  ].join('; ');
}
