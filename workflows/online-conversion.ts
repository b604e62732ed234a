/**
 * `model.convert: "online"`: the trainer makes Megatron weights of the published ones itself, before its first step and
 * at every launch that has `--enable-hf2mg-convert`. After mindspeed_llm/training/initialize.py
 * (initialize_megatron_wrapper) and checkpointing.py (_convert_weights_if_needed) of 26.0.0 and 26.1.0. Pure.
 */
import type { Groups } from './islands.js';
import { configOf, saidOf } from './hugging-face.js';
import type { Complaint } from './layout-rules.js';
import { parametersOf } from './memory.js';
import type { ModelSizes } from './presets.js';
import type { Flags } from './recipes.js';
import { isAtLeast, type Release } from './releases.js';
import type { RunSpec } from './spec.js';

export const ONLINE = '--enable-hf2mg-convert';
const SINCE: Release = '26.0.0';
/** 2.3.0 has it, and whether its directory is `--mg-cache-dir` (its tag) or `--mg-save-dir` (its branch) no release number says. */
const NAMED_TWICE: Release = '2.3.0';

/** From so many on MindSpeed-LLM's own guide says to convert before (train_from_hf.md, and 2 minutes to 2 hours for it). */
const MOST_PARAMETERS = 100e9;

export const isOnline = ({ model }: Pick<RunSpec, 'model'>): boolean =>
  model.init === 'pretrained' && model.convert === 'online';

/** Where the trainer writes what it converts: not beside the published weights, which are proven, and others may read. */
const convertedBy = (series: string): string => `series/${series}/converted`;

/** @param dir the published weights, below the data directory */
export const onlineFlags = ({ series, sizes }: RunSpec, dir: string): Flags => ({
  '--load': dir,
  [ONLINE]: true,
  '--model-type-hf': sizes.moe ? 'qwen3-moe' : 'qwen3',
  '--mg-save-dir': convertedBy(series),
});

interface Asked {
  model: RunSpec['model'];
  backend: RunSpec['train']['backend'];
  release: Release;
  sizes: ModelSizes | undefined;
}

/** What no trainer can do of it, or would do wrong. */
export function onlineRule({ model, backend, release, sizes }: Asked): Complaint {
  if (model.convert !== 'online') return undefined;
  const offline = (why: string): Complaint => ({ path: 'model.convert', expected: `"offline", ${why}` });
  if (model.init !== 'pretrained') return offline(`since model.init is "${model.init}": there is nothing to convert`);
  if (backend === 'fsdp2') return offline('since train.backend "fsdp2" trains published weights as they are');
  if (release === NAMED_TWICE)
    return offline(
      `since some checkouts of MindSpeed-LLM ${release} call the directory that it writes --mg-cache-dir and others --mg-save-dir; ${SINCE} is sure`,
    );
  if (!isAtLeast(release, SINCE))
    return offline(`since MindSpeed-LLM ${release} has no ${ONLINE}; it is here from ${SINCE} on`);
  const total = sizes ? parametersOf(sizes).total : 0;
  if (total >= MOST_PARAMETERS)
    return offline(
      `since all ranks wait while one converts ${Math.round(total / 1e9)} billion parameters, at each launch; MindSpeed-LLM says so from ${MOST_PARAMETERS / 1e9} billion on`,
    );
  return undefined;
}

export interface Storage {
  /** Members with the host name that each of them says. */
  nodes: { name: string; hostname: string }[];
  /** All of them see one data directory. */
  shared: boolean;
  /** Who shares the storage of `series`, where some do, or all. */
  groups: Groups | undefined;
}

/**
 * Why the trainer would not convert where it has to: it looks whether host names or marks of others are to be seen, and
 * takes one node's answer for all. Nothing where it does.
 */
export function whyNotOnline({ nodes, shared, groups }: Storage): string | undefined {
  if (nodes.length === 1 || shared) return undefined;
  const names = new Set(nodes.map(({ name }) => name));
  const together = groups?.map((group) => group.filter((name) => names.has(name))).find(({ length }) => length > 1);
  if (together && together.length < names.size)
    return `only ${together.join(' and ')} share the storage of series: the trainer takes it for shared by all, and converts on one node`;
  if (together) return undefined;
  const [first] = nodes;
  if (nodes.every(({ hostname }) => hostname === first!.hostname))
    return `all nodes have the host name ${first!.hostname}: the trainer takes their storage for shared, and converts on one node`;
  return undefined;
}

/**
 * What the `config.json` of published weights must not say otherwise. The trainer's converter believes the run's layers,
 * where the model has more, and nothing looks at what it wrote.
 */
export const publishedSaid = (spec: RunSpec): Record<string, string | number | boolean> => {
  const config = configOf(spec.sizes);
  const sizes = SIZES.flatMap((name) => (name in config ? [[name, config[name] as number | boolean] as const] : []));
  return { ...Object.fromEntries(sizes), ...saidOf(spec) };
};

const SIZES = [
  ...['hidden_size', 'intermediate_size', 'num_hidden_layers', 'num_attention_heads', 'num_key_value_heads'],
  ...['head_dim', 'vocab_size', 'tie_word_embeddings', 'num_experts', 'moe_intermediate_size'],
];

export const onlineWarning = (spec: RunSpec): string | undefined =>
  isOnline(spec)
    ? `model.convert is "online": each launch until the first checkpoint converts all of the weights again, on every node that shares no storage, into ${convertedBy(spec.series)}, while all ranks wait, and nobody looks at the result; it has to be done within recovery.startWithin (${spec.recovery.startWithin}) and 30 minutes (--distributed-timeout-minutes)`
    : undefined;
