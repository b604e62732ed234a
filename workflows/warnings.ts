/** What is allowed but will probably be regretted: said before a run, and no reason to refuse it. */
import { fewerThan } from './fewer-nodes.js';
import { dataParallel } from './layout-rules.js';
import { DEVICE_BYTES, estimateMemory, gigabytes, type MemoryEstimate } from './memory.js';
import { onlineWarning } from './online-conversion.js';
import { fitOf, recipeFor } from './spec-rules.js';
import type { RunSpec } from './spec.js';
import { trainingFlags } from './training-flags.js';

export const warningsAbout = (spec: RunSpec): string[] =>
  [memoryWarning, fewerWarning, padWarning, recipeWarning, onlineWarning].flatMap((about) => about(spec) ?? []);

function memoryOn(spec: RunSpec, nodes: number): MemoryEstimate {
  const { sizes, parallel, train } = spec;
  const flags = { ...trainingFlags(spec), ...train.extraArgs };
  return estimateMemory({
    ...{ sizes, parallel, microBatch: train.microBatch, seqLength: train.seqLength },
    dp: dataParallel({ ...fitOf(spec), nodes }),
    recompute: flags['--recompute-granularity'] === 'full',
    swapOptimizer: flags['--swap-optimizer'] === true,
  });
}

/** With less data parallelism each rank has a larger part of the optimizer's state. */
function fewerWarning(spec: RunSpec): string | undefined {
  const { fewerNodes } = spec.recovery;
  // Absent in preparations that were started before there was a choice.
  if (typeof fewerNodes !== 'object' || memoryOn(spec, spec.cluster.nodes).bytes > DEVICE_BYTES) return undefined;
  const tight = fewerThan(fitOf(spec), fewerNodes.atLeast).find((nodes) => memoryOn(spec, nodes).bytes > DEVICE_BYTES);
  if (tight === undefined) return undefined;
  return `on ${tight} nodes the layout would need about ${gigabytes(memoryOn(spec, tight).bytes)} of a device's ${gigabytes(DEVICE_BYTES)}: a larger recovery.fewerNodes.atLeast waits instead`;
}

function memoryWarning(spec: RunSpec): string | undefined {
  const { bytes, arithmetic } = memoryOn(spec, spec.cluster.nodes);
  if (bytes <= DEVICE_BYTES) return undefined;
  return `the layout needs about ${gigabytes(bytes)} of a device's ${gigabytes(DEVICE_BYTES)}: ${arithmetic}. More tp or pp, a smaller microBatch, or "--recompute-granularity": "full" takes less`;
}

/** The base models' tokenizers pad with the very token that ends a document; Megatron then masks the wrong losses. */
function padWarning({ model, tokenizer }: RunSpec): string | undefined {
  const source = tokenizer.source ?? model.weights ?? '';
  if (!/Qwen3-[\w.]+-Base\b/i.test(source)) return undefined;
  return `the tokenizer of ${source} pads with its end-of-text token: resuming and other data-parallel sizes then do not give exactly the same losses in Megatron. A tokenizer whose pad differs from its eos, such as that of Qwen3 without "-Base", does`;
}

function recipeWarning(spec: RunSpec): string | undefined {
  const recipe = recipeFor(spec);
  if (!recipe || recipe.published) return undefined;
  return `MindSpeed-LLM ${spec.mindspeed.release} ships no example for ${spec.model.preset} on ${spec.cluster.machine}: its flags are those of the other machine`;
}
