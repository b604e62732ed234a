/** `train.extraArgs`: flags of one's own for the training script, beside those that the run file's other fields decide. */
import { z } from 'zod';

/** `--recompute-granularity`, and of `train_fsdp2.py` `--section.name`. */
export const FLAG = /^--[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_]+)?$/;

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

/** Of `train_fsdp2.py`, the same. */
const FSDP2: Record<string, string> = {
  '--model.model_name_or_path': 'model.weights',
  '--model.train_from_scratch': 'model.init',
  '--model.model_id': 'model.preset',
  '--model.init_model_with_meta_device': 'model.preset: random weights would be published ones, without a word',
  '--model.tokenizer_name_or_path': 'model.weights',
  ...Object.fromEntries(
    ['hf', 'ms', 'om'].map((hub) => [`--model.${hub}_hub_token`, 'nothing: a secret is never in a run file']),
  ),
  '--data.dataset': 'dataset',
  '--data.data_manager_type': 'nothing: pretraining reads tokens',
  '--data.cutoff_len': 'train.seqLength',
  '--data.append_eod': 'dataset.appendEod',
  '--data.reset_attention_mask': 'dataset.appendEod: one without the other trains across documents',
  '--data.no_shared_storage': 'cluster.sharedStorage',
  '--data.data_shared_file_system': 'cluster.sharedStorage',
  '--parallel.fsdp_size': 'cluster: it is the world',
  '--parallel.tp_size': 'nothing: fsdp_size must be the world',
  '--parallel.cp_size': 'nothing: no example splits sequences',
  '--parallel.ep_size': 'parallel.ep',
  '--parallel.ep_fsdp_size': 'parallel.ep',
  '--training.stage': 'nothing: it is pretraining',
  '--training.output_dir': 'nothing: the pipeline decides it',
  '--training.max_steps': 'train.iterations',
  '--training.per_device_train_batch_size': 'train.microBatch',
  '--training.gradient_accumulation_steps': 'train.globalBatch',
  '--training.save_steps': 'train.saveInterval',
  '--training.save_total_limit': 'train.keepCheckpoints',
  '--training.save_only_model': 'nothing: such a checkpoint cannot be resumed',
  '--training.save_hf_weights': 'export',
  '--training.resume_from_checkpoint': 'nothing: the newest complete checkpoint is resumed',
};

/** Flags that the pipeline itself sets, and the run-file field that decides them. */
const OWNED: Record<string, string> = {
  ...LAYOUT,
  ...FSDP2,
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
  '--enable-hf2mg-convert':
    'model.convert: where weights are converted at every launch, none goes on from a checkpoint',
  '--model-type-hf': 'model.convert',
  '--mg-save-dir': 'nothing: the pipeline decides it',
  '--mg-cache-dir': 'nothing: the pipeline decides it',
  ...Object.fromEntries(
    ['--enable-mg2hf-convert', '--only-convert-last-checkpoint', '--hf-save-dir', '--hf-cfg-dir'].map((flag) => [
      flag,
      'export',
    ]),
  ),
  '--no-shared-storage': 'cluster.sharedStorage',
  '--train-samples': 'train.iterations',
  ...Object.fromEntries(
    // They are read with pickle, which runs what is in them.
    ['pretrained-checkpoint', 'bert-load', 'ict-load', 'lora-load', 'ref-model', 'reward-model', 'embedding-path']
      .concat('block-data-path')
      .map((flag) => [`--${flag}`, 'model.weights: what another checkpoint holds would be run']),
  ),
  '--yaml-cfg': 'a line for each flag: such a file would stand in the place of all of them',
  '--tokenizer-kwargs': 'nothing: the tokenizer is what its files say',
  '--trust-remote-code': 'nothing: no code is fetched with a tokenizer',
  '--master-addr': 'nothing: the pipeline decides it',
  '--master-port': 'nothing: the pipeline decides it',
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
  '--make-vocab-size-divisible-by': 'model.sizes.vocab',
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

const insteadOf = (owner: string): string =>
  owner.startsWith('nothing: ') ? owner.replace('nothing', '') : `; use ${owner}`;

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
        context.addIssue({ code: 'custom', path: [flag], message: `no such flag here${insteadOf(OWNED[flag])}` });
      else if ([value].flat().some((one) => /\p{Cc}/u.test(String(one))))
        context.addIssue({ code: 'custom', path: [flag], message: 'values without control characters' });
      else if ([value].flat().some((one) => /^--?[A-Za-z]/.test(String(one))))
        context.addIssue({ code: 'custom', path: [flag], message: 'values only: another flag has a line of its own' });
    }
  });
