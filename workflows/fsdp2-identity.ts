/** What a series of `train_fsdp2.py` is trained with: all of its configuration that another launch must not change. Pure. */
import { fsdp2Config } from './fsdp2.js';
import { identityOf, type SeriesIdentity } from './series-identity.js';
import type { RunSpec } from './spec.js';

/** Of the sections that say what is trained and how: the others only make it faster, or say where things are. */
const TELLING: Record<'data' | 'training', string[]> = {
  data: ['cutoff_len', 'append_eod'],
  training: [
    ...['max_steps', 'per_device_train_batch_size', 'gradient_accumulation_steps', 'optimizer', 'lr', 'min_lr'],
    ...['lr_scheduler_type', 'warmup_ratio', 'weight_decay', 'adam_beta1', 'adam_beta2', 'adam_epsilon'],
    ...['max_grad_norm', 'seed', 'disable_shuffling'],
  ],
};
/** Of the other script's, fields that say the same of this one. */
const SHARED = /^(model\.|train\.globalBatch|train\.seqLength|parallel\.ep$|dataset\.(source|appendEod))/;

/**
 * The number of ranks is in it: each has a state of its own in a checkpoint, and the order of samples is by their number.
 */
export function fsdp2Identity(spec: RunSpec): SeriesIdentity {
  const config = fsdp2Config(spec, { model: '', text: '', output: '' });
  const { extraArgs } = spec.train;
  const flags = (Object.keys(TELLING) as (keyof typeof TELLING)[]).flatMap((section) =>
    TELLING[section].map((name) => [`--${section}.${name}`, config[section][name] ?? null] as const),
  );
  return {
    ...Object.fromEntries(Object.entries(identityOf(spec)).filter(([field]) => SHARED.test(field))),
    'train.backend': 'fsdp2',
    'cluster.nodes × cluster.devicesPerNode': spec.cluster.nodes * spec.cluster.devicesPerNode,
    ...Object.fromEntries(
      flags.map(([flag, value]) => {
        const said = extraArgs[flag] ?? value;
        return [`train.extraArgs.${flag}`, Array.isArray(said) ? said.join(' ') : said];
      }),
    ),
  };
}
