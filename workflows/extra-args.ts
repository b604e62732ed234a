/** `train.extraArgs`: flags of one's own for `pretrain_gpt.py`, beside those that the run file's other fields decide. */
import { z } from 'zod';

export const FLAG = /^--[A-Za-z0-9][A-Za-z0-9_-]*$/;

/** Weights are converted, placed and copied for `parallel` alone: whatever else says which rank has which would differ. */
const LAYOUT = Object.fromEntries(
  [
    ...['--num-layer-list', '--pipeline-model-parallel-layout', '--pipeline-model-parallel-split-rank'],
    ...['--model-parallel-size', '--encoder-tensor-model-parallel-size', '--encoder-pipeline-model-parallel-size'],
    ...['--pipeline-num-transformer-layers', '--automated-pipeline'],
    ...['--decoder-first-pipeline-num-layers', '--decoder-last-pipeline-num-layers'],
    ...['--account-for-embedding-in-pipeline-split', '--account-for-loss-in-pipeline-split'],
    ...['--num-virtual-stages-per-pipeline-rank', '--schedules-method', '--moe-tp-extend-ep', '--tp-2d'],
  ].map((flag) => [flag, 'parallel: weights are converted for that layout alone']),
);

/** Flags that the pipeline itself sets, and the run-file field that decides them. */
const OWNED: Record<string, string> = {
  ...LAYOUT,
  '--load': 'nothing: the pipeline decides it',
  '--save': 'nothing: the pipeline decides it',
  '--data-path': 'dataset',
  '--mock-data': 'dataset: made-up tokens would stand in its place',
  '--data-cache-path': 'nothing: the pipeline decides it',
  '--tokenizer-name-or-path': 'tokenizer.source',
  '--tokenizer-type': 'tokenizer.type',
  '--train-iters': 'train.iterations',
  '--exit-interval': 'train.iterationsPerRun',
  '--global-batch-size': 'train.globalBatch',
  '--micro-batch-size': 'train.microBatch',
  '--seq-length': 'train.seqLength',
  '--save-interval': 'train.saveInterval',
  '--tensor-model-parallel-size': 'parallel.tp',
  '--pipeline-model-parallel-size': 'parallel.pp',
  '--context-parallel-size': 'parallel.cp',
  '--expert-model-parallel-size': 'parallel.ep',
  '--expert-tensor-parallel-size': 'parallel.etp',
  '--num-layers-per-virtual-pipeline-stage': 'parallel.layersPerVirtualStage',
  '--noop-layers': 'parallel.noopLayers',
  '--reset-attention-mask': 'dataset.appendEod: one without the other trains across documents, or on no boundaries',
  '--enable-hf2mg-convert': 'nothing: weights are converted once, before the first launch',
  '--no-shared-storage': 'cluster.sharedStorage',
  '--train-samples': 'train.iterations',
  '--ckpt-step': 'nothing: the newest complete checkpoint is resumed',
  '--no-save-optim': 'nothing: such a checkpoint cannot be resumed',
  '--no-save-rng': 'nothing: such a checkpoint cannot be resumed',
  '--async-save': 'nothing: the pipeline reads the torch format',
  '--use-dist-ckpt': 'nothing: the pipeline reads the torch format',
  '--exit-duration-in-mins': 'train.iterationsPerRun',
  '--num-layers': 'model.sizes.layers',
  '--hidden-size': 'model.sizes.hidden',
  '--ffn-hidden-size': 'model.sizes.ffn',
  '--num-attention-heads': 'model.sizes.heads',
  '--num-query-groups': 'model.sizes.groups',
  '--kv-channels': 'model.sizes.headDim',
  '--padded-vocab-size': 'model.sizes.vocab',
  '--max-position-embeddings': 'model.sizes.maxPositions',
  '--untie-embeddings-and-output-weights': 'model.sizes.tied',
  '--num-experts': 'model.sizes.moe.experts',
  '--moe-router-topk': 'model.sizes.moe.topk',
  '--moe-ffn-hidden-size': 'model.sizes.moe.ffn',
  '--finetune': 'model.init',
  '--no-load-optim': 'model.init',
  '--no-load-rng': 'model.init',
  '--ckpt-format': 'nothing: the pipeline reads the torch format',
  '--exit-on-missing-checkpoint': 'nothing: it is always given',
  '--exit-signal-handler': 'nothing: it is always given',
};

export const extraArgs = z
  .record(
    z.string(),
    z.union(
      [z.string(), z.number(), z.boolean(), z.array(z.union([z.string(), z.number()]))],
      'a text, a number, a list of these, or true for a flag without a value',
    ),
    'an object of flags and their values',
  )
  .superRefine((flags, context) => {
    for (const [flag, value] of Object.entries(flags)) {
      if (!FLAG.test(flag))
        context.addIssue({ code: 'custom', path: [flag], message: 'a flag such as "--recompute-granularity"' });
      else if (OWNED[flag])
        context.addIssue({ code: 'custom', path: [flag], message: `no such flag here; use ${OWNED[flag]}` });
      else if ([value].flat().some((one) => /^--?[A-Za-z]/.test(String(one))))
        context.addIssue({ code: 'custom', path: [flag], message: 'values only: another flag has a line of its own' });
    }
  });
