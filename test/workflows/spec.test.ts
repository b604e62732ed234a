/** Run files: what is filled in, and that every wrong one gets one answer that names every wrong field. */
import { describe, expect, it } from 'vitest';
import { milliseconds } from '../../workflows/duration.js';
import { describeProblems, parseRunSpec, runName } from '../../workflows/spec.js';

type Json = Record<string, unknown>;

const SIZES = { layers: 2, hidden: 64, ffn: 128, heads: 4, groups: 2, headDim: 16, vocab: 512, maxPositions: 128 };

const good = (): Json => ({
  model: { preset: 'qwen3-tiny' },
  tokenizer: { source: 'hf://Qwen/Qwen3-8B@abc123' },
  dataset: { source: 'hf://lsb/enwiki20230101@abc123/data/*.parquet' },
  cluster: { nodes: 2, devicesPerNode: 1 },
  parallel: { pp: 2 },
  train: { iterations: 20, globalBatch: 4, seqLength: 128, saveInterval: 10 },
});

/** A good run file with some fields changed; `undefined` takes a field away. */
function changed(changes: Record<string, unknown>): Json {
  const file = structuredClone(good());
  for (const [path, value] of Object.entries(changes)) {
    const keys = path.split('/');
    const last = keys.pop()!;
    let at = file;
    for (const key of keys) at = (at[key] ??= {}) as Json;
    if (value === undefined) delete at[last];
    else at[last] = value;
  }
  return file;
}

const problemsOf = (input: unknown): string[] => {
  const result = parseRunSpec(input, 'run');
  return 'problems' in result ? result.problems.map(({ path }) => path) : [];
};

describe('a good run file', () => {
  it('gets every default, the sizes of its preset and its series from the id', () => {
    const result = parseRunSpec(good(), 'nightly');
    expect('spec' in result && result.spec).toMatchObject({
      series: 'nightly',
      model: { init: 'random' },
      dataset: { keys: ['text'], appendEod: false },
      cluster: { pool: 'default', spares: 0, sharedStorage: 'auto' },
      parallel: { tp: 1, pp: 2, cp: 1, ep: 1 },
      train: { microBatch: 1, keepCheckpoints: 2, replicas: 1, extraArgs: {} },
      recovery: { limits: {}, lease: '30m' },
      sizes: { layers: 4, hidden: 64 },
    });
  });

  it.each([
    [
      'sizes instead of a preset',
      {
        'model/preset': undefined,
        'model/sizes': SIZES,
      },
    ],
    [
      'no tokenizer where the weights have one',
      { tokenizer: undefined, 'model/weights': 'hf://a/b', 'model/init': 'pretrained' },
    ],
    ['fewer nodes in need', { 'parallel/pp': 1, recovery: { fewerNodes: { atLeast: 1 } } }],
    ['a file as source', { 'dataset/source': 'file:///data/wiki.jsonl' }],
    ['a file name in percent-encoding', { 'dataset/source': 'https://host/a%20b%25.jsonl?of=%ZZ' }],
    ['ModelScope as a source', { 'dataset/source': 'modelscope://a/b@master/data/*.parquet' }],
    ['patterns as a source', { 'dataset/source': 's3://bucket/{one,two}/**/[a-z]?.jsonl' }],
    [
      'flags of the trainer',
      { 'train/extraArgs': { '--lr': '1e-4', '--bf16': false, '--recompute-granularity': 'full' } },
    ],
  ])('may have %s', (_, changes) => expect(problemsOf(changed(changes))).toEqual([]));
});

describe('a bad run file is answered with every bad field', () => {
  it.each<[string, unknown, string[]]>([
    ['nothing', undefined, ['(input)']],
    ['a string', 'run.json', ['(input)']],
    ['a list', [good()], ['(input)']],
    ['an empty object', {}, ['model', 'dataset', 'cluster', 'train']],
    ['an unknown field', changed({ modle: {} }), ['modle']],
    ['an unknown field inside another', changed({ 'train/iteration': 5 }), ['train.iteration']],
    ['a field without a name', changed({ '': 1 }), ['""']],
    ['an unknown preset', changed({ 'model/preset': 'qwen9' }), ['model.preset']],
    [
      'preset and sizes',
      changed({
        'model/sizes': SIZES,
      }),
      ['model'],
    ],
    ['neither preset nor sizes', changed({ 'model/preset': undefined }), ['model']],
    ['a source of an unknown kind', changed({ 'dataset/source': 'ftp://host/file' }), ['dataset.source']],
    ['a source that leaves its root', changed({ 'dataset/source': 'file:///data/../etc/passwd' }), ['dataset.source']],
    ['pretrained without weights', changed({ 'model/init': 'pretrained' }), ['model.weights']],
    ['random weights that are converted online', changed({ 'model/convert': 'online' }), ['model.convert']],
    ['no tokenizer at all', changed({ tokenizer: undefined }), ['tokenizer.source']],
    ['no text column', changed({ 'dataset/keys': [] }), ['dataset.keys']],
    [
      'rows left out by an engine that cannot',
      changed({ preprocess: { engine: 'mindspeed', skipBadRows: 1 } }),
      ['preprocess.skipBadRows'],
    ],
    [
      'files cut by an engine that cannot',
      changed({ preprocess: { engine: 'mindspeed', shards: 4 } }),
      ['preprocess.shards'],
    ],
    ['an unknown engine', changed({ preprocess: { engine: 'spark' } }), ['preprocess.engine']],
    ['a training column that is not read', changed({ 'dataset/trainKey': 'body' }), ['dataset.trainKey']],
    ['no nodes', changed({ 'cluster/nodes': 0 }), ['cluster.nodes']],
    ['a number as text', changed({ 'cluster/devicesPerNode': '8' }), ['cluster.devicesPerNode']],
    ['half a node', changed({ 'cluster/nodes': 1.5 }), ['cluster.nodes']],
    ['a pool with a slash', changed({ 'cluster/pool': 'a/b' }), ['cluster.pool']],
    ['a series that leaves its directory', changed({ series: '../other' }), ['series']],
    ['a layout that does not divide the world', changed({ 'parallel/pp': 4 }), ['parallel']],
    [
      'a layout that divides neither the world nor the heads',
      changed({ 'parallel/tp': 3 }),
      ['parallel', 'parallel.tp'],
    ],
    [
      'layers that the stages do not divide',
      changed({ 'cluster/nodes': 3, 'parallel/pp': 3, 'train/globalBatch': 3 }),
      ['parallel.pp'],
    ],
    [
      'a batch that the replicas do not divide',
      changed({ 'parallel/pp': 1, 'train/globalBatch': 3 }),
      ['train.globalBatch'],
    ],
    ['longer sequences than positions', changed({ 'train/seqLength': 4096 }), ['train.seqLength']],
    ['no save before the end', changed({ 'train/saveInterval': 21 }), ['train.saveInterval']],
    ['a gate before an export that is not asked for', changed({ gates: { export: {} } }), ['export']],
    ['an export to a pattern', changed({ export: { to: 's3://models/*' } }), ['export.to']],
    ['a kept iteration that is never saved', changed({ 'train/keepEvery': 15 }), ['train.keepEvery']],
    ['a run longer than its series', changed({ 'train/iterationsPerRun': 30 }), ['train.iterationsPerRun']],
    ['more copies than other nodes', changed({ 'train/replicas': 2 }), ['train.replicas']],
    ['a flag that a field owns', changed({ 'train/extraArgs': { '--save': '/tmp' } }), ['train.extraArgs.--save']],
    ['a flag that is none', changed({ 'train/extraArgs': { 'lr; rm': 1 } }), ['train.extraArgs.lr; rm']],
    [
      'flags that the release does not have, one beside one that is none',
      changed({ 'train/extraArgs': { '--recompute-granularty': 'full', '--seed': 'x', 'lr; rm': 1 } }),
      ['train.extraArgs.lr; rm', 'train.extraArgs.--recompute-granularty', 'train.extraArgs.--seed'],
    ],
    [
      'a second flag among the values',
      changed({ 'train/extraArgs': { '--lr': ['1', '--save', '/etc'] } }),
      ['train.extraArgs.--lr'],
    ],
    [
      'a size of the model as a flag',
      changed({ 'train/extraArgs': { '--num-layers': 7 } }),
      ['train.extraArgs.--num-layers'],
    ],
    [
      'a pattern that cannot be matched',
      changed({ 'dataset/source': 'hf://a/b@main/[z-a].parquet', 'tokenizer/source': 's3://bucket/{one,two' }),
      ['tokenizer.source', 'dataset.source'],
    ],
    ['a password in a source', changed({ 'dataset/source': 'https://me:secret@host/a.jsonl' }), ['dataset.source']],
    ['a token in a source', changed({ 'dataset/source': 'https://host/a.jsonl?token=hf_x' }), ['dataset.source']],
    ...[
      'https://b.s3.amazonaws.com/a.jsonl?X-Amz-Expires=9&X-Amz-Signature=0a',
      'https://b.obs.cn-north-4.myhuaweicloud.com/a.jsonl?AccessKeyId=x&Signature=y',
      'https://a.blob.core.windows.net/c/a.jsonl?sv=2024&sig=y',
    ].map((link): [string, object, string[]] => [
      `a link that is signed, ${link}`,
      changed({ 'dataset/source': link }),
      ['dataset.source'],
    ]),
    ['a character that nobody sees', changed({ 'dataset/source': 'file:///data/a\u200b.jsonl' }), ['dataset.source']],
    ['a pattern without end', changed({ 'dataset/source': `hf://a/b/${'*a'.repeat(5000)}` }), ['dataset.source']],
    ['a NUL', changed({ 'dataset/source': 'file:///data/a\0.jsonl' }), ['dataset.source']],
    ['a file name that does not decode', changed({ 'dataset/source': 'http://host/%ZZ.jsonl' }), ['dataset.source']],
    ['a repository that leaves the hub', changed({ 'dataset/source': 'hf://a/b@main/../../c' }), ['dataset.source']],
    ['the same column twice', changed({ 'dataset/keys': ['text', 'text'] }), ['dataset.keys']],
    [
      'more experts at once than there are',
      changed({ 'model/preset': undefined, 'model/sizes': { ...SIZES, moe: { experts: 4, topk: 5, ffn: 64 } } }),
      ['model.sizes.moe.topk'],
    ],
    [
      'heads that rotation cannot halve',
      changed({ 'model/preset': undefined, 'model/sizes': { ...SIZES, headDim: 15 } }),
      ['model.sizes.headDim'],
    ],
    ['a watcher that is never silent', changed({ recovery: { heartbeat: '0s' } }), ['recovery.heartbeat']],
    ['fewer nodes than none', changed({ recovery: { fewerNodes: { atLeast: 0 } } }), ['recovery.fewerNodes.atLeast']],
    ['fewer nodes that are as many', changed({ recovery: { fewerNodes: { atLeast: 2 } } }), ['recovery.fewerNodes']],
    [
      'fewer nodes than the stages take',
      changed({ recovery: { fewerNodes: { atLeast: 1 } } }),
      ['recovery.fewerNodes'],
    ],
    [
      'fewer nodes where something is cut by data-parallel rank',
      changed({
        'parallel/pp': 1,
        'train/extraArgs': { '--data-parallel-random-init': true },
        recovery: { fewerNodes: { atLeast: 1 } },
      }),
      ['recovery.fewerNodes'],
    ],
    ['a lease without end', changed({ recovery: { lease: '99999d' } }), ['recovery.lease']],
    ['a lease that a restart outlasts', changed({ recovery: { lease: '15s' } }), ['recovery.lease']],
    ['a duration without a unit', changed({ recovery: { lease: '30' } }), ['recovery.lease']],
    [
      'limits of no cause, below none, and of nodes where no node is to blame',
      changed({ recovery: { limits: { cosmic: {}, hang: { aDay: -1 }, network: { aNode: 0 }, user: { aNode: 2 } } } }),
      [
        'recovery.limits.user.aNode',
        'recovery.limits.network.aNode',
        'recovery.limits.hang.aDay',
        'recovery.limits.cosmic',
      ],
    ],
    ['a node that is to be tried out among others', changed({ 'cluster/soak': 'n07' }), ['cluster.soak']],
    [
      'a node that is to be tried out for a moment',
      changed({ 'cluster/soak': 'n07', 'cluster/nodes': 1, 'parallel/pp': 1 }),
      ['cluster.soak'],
    ],
    [
      'five mistakes',
      changed({ 'model/preset': 'x', 'dataset/source': 'x', 'cluster/nodes': -1, 'train/iterations': 'many', more: 1 }),
      ['model.preset', 'dataset.source', 'cluster.nodes', 'train.iterations', 'more'],
    ],
  ])('%s', (_, input, fields) => expect(problemsOf(input)).toEqual(fields));

  it('in words that say what was there and what was expected', () => {
    const result = parseRunSpec(changed({ 'train/globalBatch': 3, 'parallel/pp': 1 }), 'run');
    expect('problems' in result && describeProblems(result.problems)).toBe(
      'The run file has 1 problem:\n  train.globalBatch: expected a multiple of microBatch·dp = 1·2 = 2, got 3',
    );
  });

  it.each<[string, unknown, string]>([
    ['train/global_batch', 4, 'no field of this name, but one of backend, iterations, iterationsPerRun, globalBatch'],
    ['recovery/patience', '1h', 'no field of this name, but one of maxFailures, limits, fewerNodes, heartbeat'],
    ['shedule', '0 2 * * *', 'no field of this name, but one of series, model, tokenizer, dataset'],
    ['recovery/lease', 30, 'a duration such as "90s", "10m" or "1.5h"'],
    ['dataset/keys', 'text', 'a list of text columns, such as ["text"]'],
    ['dataset/source', ['a.parquet'], 'hf://owner/name[@revision][/glob], '],
    ['series', 7, 'letters, digits, ".", "_" and "-"'],
    ['export', true, 'an object such as {} or {"to": "s3://bucket/prefix"}'],
    ['gates', { train: '24h' }, 'an object such as {"timeout": "24h", "default": "stop"}'],
    ['train/extraArgs', { '--save': '/ckpt' }, 'no such flag here: the pipeline decides it'],
    ['train/extraArgs', { '--train-iters': 5 }, 'no such flag here; use train.iterations'],
  ])('in words that say what it might be: %s %j', (path, value, expected) => {
    const result = parseRunSpec(changed({ [path]: value }), 'run');
    expect('problems' in result && result.problems).toMatchObject([
      { expected: expect.stringContaining(expected) as string },
    ]);
  });

  it('also when only the workflow id cannot name a series', () => {
    expect(parseRunSpec(good(), 'a/b')).toMatchObject({ problems: [{ path: 'series', value: '"a/b"' }] });
  });
});

it.each([
  ['nightly-2026-11-24T01:00:00Z', 'nightly-2026-11-24T01_00_00Z'],
  ['..', undefined],
  ['a'.repeat(129), undefined],
])('the workflow id %s names the run %s', (id, name) => expect(runName(id)).toBe(name));

it.each([
  ['500ms', 500],
  ['90s', 90_000],
  ['1.5h', 5_400_000],
  ['2d', 172_800_000],
])('%s is %d milliseconds', (text, expected) => expect(milliseconds(text)).toBe(expected));
