/** The weight converter's commands, both ways, for the very layout that trains: the run file knows no other. */
import { ropeBaseOf } from './hugging-face.js';
import type { Flags } from './recipes.js';
import { isAtLeast, releases } from './releases.js';
import type { RunSpec } from './spec.js';
import { render } from './training-flags.js';

/** All that makes converted weights of one layout different from another's, and one converter's from another's. */
export function convertedDir(weightsKey: string, spec: RunSpec): string {
  const { parallel, mindspeed } = spec;
  const { tp, pp, ep, etp, layersPerVirtualStage: chunk, noopLayers } = parallel;
  const rope = ropeBaseOf(spec);
  const more = [
    ...(etp === undefined || etp === tp ? [] : [`-etp${etp}`]),
    ...(chunk === undefined ? [] : [`-vpp${chunk}`]),
    ...(noopLayers ? [`-noop${noopLayers.join('_')}`] : []),
    // Nothing of it is in the weights; but what was proven for one base is not for another.
    ...(rope === 1_000_000 ? [] : [`-rope${rope}`]),
    `-${mindspeed.release}`,
  ];
  return `models/${weightsKey}/mcore-tp${tp}-pp${pp}-ep${ep}${more.join('')}`;
}

export interface Conversion {
  /** Entry point of the MindSpeed-LLM directory. */
  script: string;
  /** Its arguments but for paths. */
  args: string[];
  /** Arguments that are paths below the data directory, without `--save-dir`. */
  paths: Record<string, string>;
  /** Where below `--save-dir` the result is; the model's configuration has to be in `--save-dir` itself then. */
  within?: string;
}

/** Hugging Face → Megatron, from the directory with the weights. */
export function toMegatron(spec: RunSpec, from: string): Conversion {
  const { parallel, mindspeed } = spec;
  const { tp, pp, ep, etp, layersPerVirtualStage: chunk } = parallel;
  const legacy = releases[mindspeed.release].converter.version === 1;
  const paths = { '--load-dir': from, ...(legacy && { '--tokenizer-model': `${from}/tokenizer.json` }) };
  return conversion(spec, paths, {
    '--load-model-type': 'hf',
    '--save-model-type': 'mg',
    '--target-tensor-parallel-size': tp,
    '--target-pipeline-parallel-size': pp,
    ...(ep > 1 && { '--target-expert-parallel-size': ep }),
    ...(etp !== undefined && etp !== tp && { '--expert-tensor-parallel-size': etp }),
    ...(chunk !== undefined && { '--num-layers-per-virtual-pipeline-stage': chunk }),
    ...layerFlags(spec),
    ...(legacy && LEGACY),
  });
}

/**
 * Megatron → Hugging Face, from a directory with every shard of a checkpoint. The second converter reads sizes from
 * the checkpoint, but not everything; since 26.0.0 the model's configuration and tokenizer come along from `config`.
 * The first one makes an empty model of the configuration that it finds in `--save-dir`, or changes the weights there.
 */
export function toHuggingFace(spec: RunSpec, from: string, config: string): Conversion {
  const { parallel, mindspeed } = spec;
  const { tp, etp } = parallel;
  const paths = { '--load-dir': from, ...(isAtLeast(mindspeed.release, '26.0.0') && { '--hf-cfg-dir': config }) };
  const isFirst = releases[mindspeed.release].converter.version === 1;
  const converted = conversion(spec, paths, {
    '--load-model-type': 'mg',
    '--save-model-type': 'hf',
    ...(isFirst
      ? { ...LEGACY, '--load-hf-from-config': true, ...ONE_PART }
      : etp !== undefined && etp !== tp && { '--expert-tensor-parallel-size': etp }),
    ...layerFlags(spec),
  });
  // As mindspeed_llm/tasks/checkpoint/saver.py of 2.1.0 has it.
  return isFirst ? { ...converted, within: 'mg2hf' } : converted;
}

const ONE_PART: Flags = { '--target-tensor-parallel-size': 1, '--target-pipeline-parallel-size': 1 };

const LEGACY: Flags = {
  '--use-mcore-models': true,
  '--model-type': 'GPT',
  '--spec': ['mindspeed_llm.tasks.models.spec.qwen3_spec', 'layer_spec'],
  '--params-dtype': 'bf16',
};

const layerFlags = ({ parallel, sizes }: RunSpec): Flags => ({
  ...(parallel.noopLayers && { '--noop-layers': parallel.noopLayers.join(',') }),
  ...(sizes.moe && { '--moe-grouped-gemm': true }),
});

const conversion = ({ sizes, mindspeed }: RunSpec, paths: Record<string, string>, flags: Flags): Conversion => ({
  script: releases[mindspeed.release].converter.script,
  paths,
  args: render({ ...flags, '--model-type-hf': sizes.moe ? 'qwen3-moe' : 'qwen3' }),
});
