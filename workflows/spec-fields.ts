/** The fields of a run file: types, defaults and what each expects, in the words of the error message. */
import { z } from 'zod';
import { extraArgs, FLAG } from './extra-args.js';
import { DURATION, milliseconds } from './duration.js';
import { globProblem, isGlob } from './glob.js';
import { PRESETS } from './presets.js';
import { MACHINES, RELEASES } from './releases.js';

/** What a name may be made of, since it becomes part of paths, ids and task queues. */
export const NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$/;
const duration = (from: string, to: string) => {
  const fits = (value: string) => milliseconds(value) >= milliseconds(from) && milliseconds(value) <= milliseconds(to);
  const expected = 'a duration such as "90s", "10m" or "1.5h"';
  return z
    .string(expected)
    .regex(DURATION, { error: expected, abort: true })
    .refine(fits, `a duration from "${from}" to "${to}"`);
};
const NAME_IS = 'letters, digits, ".", "_" and "-", 128 at most, beginning and ending with a letter or digit';
const name = z.string(NAME_IS).regex(NAME, NAME_IS);
const count = (min: number, max = 1_000_000_000) =>
  z.int(`a whole number from ${min}`).min(min, `a whole number from ${min}`).max(max, `at most ${max}`);

/** Failures of one cause that a run lives through. */
const ofCause = z.strictObject({
  aDay: count(0, 10_000).optional().describe('With more failures of this cause within a day the run gives up'),
  aRun: count(0, 10_000)
    .optional()
    .describe('With more failures of this cause in all the run gives up; without it: no limit'),
});
const ofNodes = ofCause.extend({
  aNode: count(1, 1_000)
    .optional()
    .describe('So often one node may be to blame for it within a day until another takes its place'),
});

const nameIn = (url: string): string => url.replace(/[?#].*$/s, '').replace(/^.*\//s, '');
function decodes(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

const MOST_OF_SOURCE = 4096;
/** Parameters that open an address to whoever reads it, as of links that S3, OBS, OSS, GCS or Azure have signed. */
const OPENS =
  /[?&][\w.-]*(token|signature|password|passwd|secret|credential|api[-_]?key|access[-_]?key(_?id)?)=|[?&](sig|auth)=/i;

const SOURCE_IS =
  'hf://owner/name[@revision][/glob], modelscope://owner/name[@revision][/glob], https://host/path, s3://bucket/glob or file:///path (of a file, a directory, or a glob)';

/** `hf://owner/name@revision/glob`, `modelscope://…`, `https://…`, `s3://bucket/…` and `file:///…`; everything else is refused by name. */
const source = z.string(SOURCE_IS).superRefine((value, context) => {
  // A pattern is held against every name of a listing, by a node that has other things to do as well.
  if (value.length > MOST_OF_SOURCE)
    return context.addIssue({ code: 'custom', message: `an address of ${MOST_OF_SOURCE} characters at most` });
  // A run file is kept in histories and shown to everybody who may look.
  if (/^\w+:\/\/[^/]*@/.test(value) || OPENS.test(value))
    return context.addIssue({
      code: 'custom',
      message:
        'an address without a password, token or signature in it: these belong in the environment of the node workers',
    });
  if (/[\p{Cc}\p{Cf}]/u.test(value))
    return context.addIssue({ code: 'custom', message: 'an address without characters that nobody sees' });
  if (value.split('/').includes('..')) return context.addIssue({ code: 'custom', message: 'an address without ".."' });
  if (/\s/.test(value))
    return context.addIssue({ code: 'custom', message: 'an address without white space (%20 in https://)' });
  if (value.startsWith('http') && !decodes(nameIn(value)))
    return context.addIssue({
      code: 'custom',
      message: 'an address whose file name is UTF-8 in percent-encoding ("%" itself is %25)',
    });
  const problem = !value.startsWith('http') && isGlob(value) ? globProblem(value) : undefined;
  if (problem !== undefined)
    return context.addIssue({ code: 'custom', message: `a pattern that can be matched: this has a ${problem}` });
  if (/^(hf|modelscope):\/\/[\w.-]+\/[\w.-]+(@[\w.-]+)?(\/[^\s]+)?$/.test(value)) return;
  if (/^s3:\/\/[a-z0-9][a-z0-9.-]+(\/[^\s]+)?$/.test(value)) return;
  if (/^https?:\/\/[^\s/]+\/[^\s]+$/.test(value)) return;
  if (/^file:\/\/\/[^\s]+$/.test(value)) return;
  context.addIssue({ code: 'custom', message: SOURCE_IS });
});

const DESTINATION_IS = 'file:///directory or s3://bucket/prefix, without a pattern';
const destination = z
  .string(DESTINATION_IS)
  .regex(/^(s3:\/\/[a-z0-9][a-z0-9.-]+(\/[^\s*?[{#]+)?|file:\/\/\/[^\s*?[{#]+)$/, DESTINATION_IS)
  .refine((value) => !value.split('/').includes('..'), 'an address without ".."');

const sizes = z.strictObject({
  layers: count(1, 1024).describe('Transformer layers (--num-layers)'),
  hidden: count(8).describe('Width of what goes from layer to layer (--hidden-size)'),
  ffn: count(8).describe('Width inside the dense MLP of a layer (--ffn-hidden-size)'),
  heads: count(1, 4096).describe('Attention heads (--num-attention-heads)'),
  groups: count(1, 4096).describe('Key and value heads, each for as many queries (--num-query-groups)'),
  headDim: count(2, 4096).describe('Width of one attention head (--kv-channels)'),
  vocab: count(256).describe("Rows of the embedding, the tokenizer's tokens and padding (--padded-vocab-size)"),
  maxPositions: count(1).describe('Longest sequence that there are positions for (--max-position-embeddings)'),
  tied: z.boolean().default(false).describe('Whether the output layer has the weights of the embedding'),
  ropeBase: count(1).default(1_000_000).describe('Base of the rotary position embedding (--rotary-base)'),
  moe: z
    .strictObject({
      experts: count(2, 4096).describe('Experts of a layer (--num-experts)'),
      topk: count(1, 256).describe('Experts that a token goes to (--moe-router-topk)'),
      ffn: count(8).describe('Width inside one expert'),
      sharedFfn: count(8)
        .optional()
        .describe('Width inside the experts that every token goes to; without it there are none'),
    })
    .optional(),
});

const parallel = z.strictObject({
  tp: count(1, 1024).default(1).describe('Ranks that share each layer (tensor parallel)'),
  pp: count(1, 1024).default(1).describe('Stages that the layers are spread over (pipeline parallel)'),
  cp: count(1, 1024).default(1).describe('Ranks that share each sequence (context parallel)'),
  ep: count(1, 1024).default(1).describe('Ranks that the experts are spread over (expert parallel)'),
  etp: count(1, 1024).optional().describe('Ranks that share each expert; without it: as tp'),
  layersPerVirtualStage: count(1, 1024)
    .optional()
    .describe('Layers of a piece, where each stage has several that take turns; without it: one piece a stage'),
  noopLayers: z
    .array(count(0, 4096))
    .min(1, 'at least one layer')
    .optional()
    .describe('Places that hold no layer, so that layers and these fill all stages alike (--noop-layers)'),
});

const gate = z.strictObject(
  {
    timeout: duration('1s', '90d').default('24h').describe('How long the run waits for an approve'),
    default: z
      .enum(['proceed', 'stop'], '"proceed" or "stop"')
      .default('stop')
      .describe('What happens when nobody says anything'),
  },
  'an object such as {"timeout": "24h", "default": "stop"}',
);

const FEWER = '"wait", or {"atLeast": a number of nodes from 1, "after": a duration such as "10s"}';
const fewerNodes = z.union(
  [z.literal('wait'), z.strictObject({ atLeast: count(1), after: duration('1s', '1d').default('10s') })],
  FEWER,
);

const hubToken = (base: string) => {
  const expected = `the name of an environment variable such as ${base}_TEAM_A`;
  return z.string(expected).regex(new RegExp(`^${base}(_[A-Z0-9]+)*$`), expected);
};

export const runFile = z.strictObject({
  series: name
    .optional()
    .describe(
      "Runs with the same one continue each other's checkpoints. Without it: the schedule's id, else the workflow's",
    ),
  model: z.strictObject({
    preset: z
      .enum(PRESETS, `one of ${PRESETS.join(', ')}`)
      .optional()
      .describe('A model whose sizes are known, and mostly its layout too; else sizes says them'),
    sizes: sizes.optional(),
    weights: source
      .optional()
      .describe('What training starts from with init "pretrained", and where the tokenizer is taken from'),
    init: z
      .enum(['random', 'pretrained'], '"random" or "pretrained"')
      .default('random')
      .describe('What the first run of the series starts from'),
    convert: z
      .enum(['offline', 'online'], '"offline" or "online"')
      .default('offline')
      .describe(
        'offline: pretrained weights are converted, proven and kept before the first launch. online: the trainer converts them itself, at each launch until there is a checkpoint (--enable-hf2mg-convert)',
      ),
  }),
  tokenizer: z
    .strictObject({
      source: source.optional().describe('Without it: where the weights are'),
      type: z
        .literal('PretrainedFromHF', '"PretrainedFromHF"')
        .default('PretrainedFromHF')
        .describe('The kind that the trainer is told (--tokenizer-type)'),
    })
    .default({ type: 'PretrainedFromHF' }),
  dataset: z.strictObject({
    source: source.describe('Files with the texts: parquet, arrow, csv, JSON or JSON lines, or text'),
    handler: z
      .literal('GeneralPretrainHandler', '"GeneralPretrainHandler"')
      .default('GeneralPretrainHandler')
      .describe('How rows become documents: the one handler for pretraining (--handler-name)'),
    keys: z
      .array(name, 'a list of text columns, such as ["text"]')
      .min(1, 'at least one text column')
      .refine((keys) => new Set(keys).size === keys.length, 'each column once')
      .default(['text'])
      .describe('Columns whose texts become a dataset, one for each'),
    trainKey: name.optional().describe('The one of keys that is trained on; without it the first'),
    appendEod: z.boolean().default(false).describe('An end-of-document token after each text'),
    whenGrown: z
      .enum(['refuse', 'newSeries'], '"refuse" or "newSeries"')
      .default('refuse')
      .describe(
        'Where the data is not what the series was trained with, as when it has grown: "refuse" ends the run, "newSeries" trains on it as <series>.data-<digest>, from the beginning',
      ),
  }),
  tokens: z
    .strictObject({
      huggingface: hubToken('HF_TOKEN').optional().describe("Of hf:// sources; without it the node's HF_TOKEN"),
      modelscope: hubToken('MODELSCOPE_API_TOKEN')
        .optional()
        .describe("Of modelscope:// sources; without it the node's MODELSCOPE_API_TOKEN"),
    })
    .optional()
    .describe('Which of the environment variables of node workers opens what is gated: their names, never the tokens'),
  preprocess: z
    .strictObject({
      engine: z
        .enum(['native', 'mindspeed'], '"native" or "mindspeed"')
        .default('native')
        .describe("mindspeed: the checkout's own preprocess_data.py, a process a file; the bytes are the same"),
      shards: z
        .union([z.literal('auto'), count(1, 10_000)], '"auto" or a whole number from 1')
        .default('auto')
        .describe('Parts that are preprocessed by themselves, over all nodes, and merged in order'),
      compat: z
        .literal('mindspeed', '"mindspeed", or nothing')
        .optional()
        .describe('Read files as preprocess_data.py does, also where that leaves some out'),
      skipBadRows: count(0).default(0).describe('Rows that may be left out before the run ends instead'),
      keepShards: z
        .boolean()
        .default(false)
        .describe('Keep the fetched text and the shards on the nodes, beside the dataset that is made of them'),
    })
    .prefault({}),
  cluster: z.strictObject({
    pool: name.default('default').describe('Whose nodes the run leases: those whose PRETRAIN_POOL is the same'),
    nodes: count(1, 2000).describe('Nodes that train'),
    spares: count(0, 100)
      .default(0)
      .describe("Nodes that stand by to take a lost one's place; a run begins when it has these as well"),
    devicesPerNode: count(1, 64).describe('Ranks on a node'),
    priority: count(0, 10).default(0).describe("In the pool's line; an hour of waiting is worth one"),
    soak: name.optional().describe('The node that this run is to try out, in quarantine or not: that one and no other'),
    machine: z
      .enum(MACHINES, `one of ${MACHINES.join(', ')}`)
      .default('A2')
      .describe('The generation of Atlas servers that a recommended layout is for'),
    collectiveTest: z
      .boolean()
      .default(false)
      .describe('Try collectives between the nodes in pairs before a launch, and name who fails or is slow'),
    sharedStorage: z
      .union([z.literal('auto'), z.boolean()], '"auto", true or false')
      .default('auto')
      .describe('Whether nodes share storage is found out; true or false is refused where they find otherwise'),
  }),
  /** Without it the preset's own for the machine, else all 1. */
  parallel: parallel.optional(),
  train: z.strictObject({
    backend: z
      .enum(['mcore', 'fsdp2'], '"mcore" or "fsdp2"')
      .default('mcore')
      .describe(
        'mcore: pretrain_gpt.py. fsdp2: train_fsdp2.py of 26.0.0 and 26.1.0, from text, on nodes that share no storage',
      ),
    iterations: count(1).describe('Total of the series; fixes the plan of the learning rate'),
    iterationsPerRun: count(1)
      .optional()
      .describe('A run ends at a planned checkpoint when it has trained so many; without it: all'),
    globalBatch: count(1).describe('Samples an iteration, over all nodes'),
    microBatch: count(1).optional().describe("Samples at a time on a rank; without it: the preset's, else 1"),
    seqLength: count(1).describe('Tokens of a sample (--seq-length)'),
    saveInterval: count(1).describe('Iterations between checkpoints'),
    keepCheckpoints: count(1, 10_000).default(2).describe('Newest complete ones that stay on every node'),
    keepEvery: count(1)
      .optional()
      .describe('Iterations divisible by this are never removed; a multiple of saveInterval'),
    replicas: count(0, 10).default(1).describe('Copies of each checkpoint shard on other nodes'),
    extraArgs: extraArgs
      .default({})
      .describe('Flags of pretrain_gpt.py that no field owns; false takes a default away'),
  }),
  mindspeed: z
    .strictObject({
      release: z
        .enum(RELEASES, `one of ${RELEASES.join(', ')}`)
        .default('26.0.0')
        .describe('Of the checkout on the nodes: flags, converter and environment follow it'),
      addedFlags: z
        .array(z.string().regex(FLAG, 'a flag such as "--our-own"'))
        .default([])
        .describe('Flags that this checkout has beyond its release'),
    })
    .prefault({}),
  /** The trained model in Hugging Face format, when the last iteration of the series is trained. */
  export: z
    .strictObject(
      {
        huggingface: z.literal(true, 'true').default(true).describe('In Hugging Face format, the one there is'),
        to: destination
          .optional()
          .describe(
            'file:///directory on the node that exports, or s3://bucket/prefix; without it the model stays there',
          ),
        at: z.literal('end', '"end"').default('end').describe('When the last iteration of the series is trained'),
      },
      'an object such as {} or {"to": "s3://bucket/prefix"}',
    )
    .optional(),
  /** Where the run waits for somebody's `approve`. */
  gates: z.strictObject({ train: gate.optional(), export: gate.optional() }).default({}),
  recovery: z
    .strictObject({
      /** Where absent, what suits so many devices: workflows/failure-limits.ts. */
      maxFailures: count(0, 10_000)
        .optional()
        .describe('With more failures in all the run gives up; without it: what suits so many devices'),
      limits: z
        .strictObject({
          withoutProgress: count(1, 100)
            .optional()
            .describe('At so many failures in a row without a newer checkpoint the run gives up'),
          // A node that is lost is always replaced, and what the user has to change is no node's fault.
          ...{ node: ofCause.optional(), user: ofCause.optional() },
          ...{ hardware: ofNodes.optional(), network: ofNodes.optional(), environment: ofNodes.optional() },
          ...{ leftover: ofNodes.optional(), numeric: ofNodes.optional(), hang: ofNodes.optional() },
          unknown: ofNodes.optional(),
        })
        .default({}),
      fewerNodes: fewerNodes
        .default('wait')
        .describe(
          'Where a node is lost and neither a spare nor the pool makes up for it: "wait", or go on with fewer when none has come "after" so long',
        ),
      heartbeat: duration('1s', '5m').default('10s').describe('A watcher that is silent for longer is lost'),
      agentAway: duration('1s', '1h')
        .default('10s')
        .describe("How long a node's worker may be away until its machine is asked by a peer"),
      agentGrace: duration('0s', '1d').default('2m').describe('How long a worker may be away whose machine answers'),
      lease: duration('5s', '30d').default('30m').describe('A node that hears from nobody for so long ends its ranks'),
      stopGrace: duration('0s', '1h')
        .optional()
        .describe(
          'How long ranks may take to save when they are stopped; without it three times what a save is assumed to take (`plan` prints that), and 20 s at least',
        ),
      hangAfter: z
        .union([z.literal('off'), duration('1s', '1d')], '"off", or a duration such as "90s"')
        .default('60s')
        .describe('Silence of all ranks that counts as a hang, and never less than five steps'),
      startWithin: duration('10s', '7d')
        .default('30m')
        .describe('How long each phase before the first iteration may take'),
    })
    .prefault({}),
});

/** A run file whose fields are each right by themselves, defaults filled in. */
export type RunFile = z.infer<typeof runFile>;
