/** What is allowed but will probably be regretted: said before a run, and no reason to refuse it. */
import { DEVICE_BYTES, estimateMemory, gigabytes } from './memory.js';
import { recipeFor } from './spec-rules.js';
import type { RunSpec } from './spec.js';
import { trainingFlags } from './training-flags.js';

export const warningsAbout = (spec: RunSpec): string[] =>
  [memoryWarning, padWarning, recipeWarning].flatMap((about) => about(spec) ?? []);

function memoryWarning(spec: RunSpec): string | undefined {
  const { sizes, parallel, train, cluster } = spec;
  const flags = { ...trainingFlags(spec), ...train.extraArgs };
  const { bytes, arithmetic } = estimateMemory({
    ...{ sizes, parallel, microBatch: train.microBatch, seqLength: train.seqLength },
    dp: (cluster.nodes * cluster.devicesPerNode) / (parallel.tp * parallel.pp * parallel.cp),
    recompute: flags['--recompute-granularity'] === 'full',
    swapOptimizer: flags['--swap-optimizer'] === true,
  });
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
