/** Which changes of a run file its series cannot take, which it can, and what a person is told. */
import { describe, expect, it } from 'vitest';
import { factsAbout } from '../../workflows/release-flags.js';
import {
  DATA,
  FIXED_FLAGS,
  followOn,
  identityOf,
  LISTING,
  PLAN_CHOICE,
  PLAN_FLAGS,
  seriesOn,
} from '../../workflows/series-identity.js';
import { refusalOf, withSettings } from '../../workflows/settings.js';
import { specOf } from '../support/run-files.js';

const sizes = {
  ...{ layers: 4, hidden: 64, ffn: 192, heads: 4, groups: 2, headDim: 16, vocab: 4096, maxPositions: 512 },
  moe: { experts: 8, topk: 2, ffn: 64 },
};
const file = {
  series: 's',
  model: { sizes },
  tokenizer: { source: 'hf://Qwen/Qwen3-8B@one' },
  dataset: { source: 'hf://a/wiki@one/*.parquet', keys: ['text', 'title'] },
  cluster: { nodes: 4, devicesPerNode: 2 },
  parallel: { tp: 1, pp: 2, ep: 2 },
  train: {
    ...{ iterations: 60, globalBatch: 8, seqLength: 128, saveInterval: 10, replicas: 0 },
    extraArgs: { '--lr': '1e-3', '--seed': 7 } as Record<string, unknown>,
  },
};
type File = typeof file;

/** The run file with some sections changed, on a series that was trained with the one above. */
function changed(changes: { [Section in keyof File]?: object }, isComplete = true) {
  const next = Object.fromEntries(
    Object.entries(file).map(([section, value]) => {
      const change = changes[section as keyof File];
      return [section, change ? { ...(value as object), ...change } : value];
    }),
  );
  const spec = specOf(next);
  return followOn(identityOf(specOf(file)), identityOf(spec), spec, isComplete);
}
const withFlags = (flags: object) => changed({ train: { extraArgs: { ...file.train.extraArgs, ...flags } } });

describe('a series', () => {
  it.each([
    ['the model', { model: { sizes: { ...sizes, layers: 8 } } }, 'model.sizes.layers was 4 and is 8'],
    [
      'its experts',
      { model: { sizes: { ...sizes, moe: { ...sizes.moe, topk: 1 } } } },
      'model.sizes.moe.topk was 2 and is 1',
    ],
    [
      'where weights are from',
      { model: { sizes, init: 'pretrained', weights: 'hf://a/b' } },
      'model.init was "random" and is "pretrained"; model.weights was not there and is "hf://a/b"',
    ],
    ['the pipeline', { parallel: { tp: 1, pp: 1, ep: 2 } }, 'parallel.pp was 2 and is 1'],
    ["the experts' layout", { parallel: { tp: 1, pp: 2, ep: 4 } }, 'parallel.ep was 2 and is 4'],
    [
      'stages',
      { parallel: { pp: 2, ep: 2, layersPerVirtualStage: 1 } },
      'parallel.layersPerVirtualStage was not there and is 1',
    ],
    ['the batch', { train: { ...file.train, globalBatch: 16 } }, 'train.globalBatch was 8 and is 16'],
    ['the length of sequences', { train: { ...file.train, seqLength: 256 } }, 'train.seqLength was 128 and is 256'],
    [
      'the tokenizer',
      { tokenizer: { source: 'hf://Qwen/Qwen2-7B@one' } },
      'tokenizer.source was "hf://Qwen/Qwen3-8B" and is "hf://Qwen/Qwen2-7B"',
    ],
    ['ends of documents', { dataset: { ...file.dataset, appendEod: true } }, 'dataset.appendEod was false and is true'],
  ])('does not take a change of %s', (_, changes, expected) => {
    expect(changed(changes).refusal).toBe(`${expected}. Give what is named its old value, or use another series`);
  });

  it('does not take another seed, split or precision from extraArgs', () => {
    const { refusal } = withFlags({ '--seed': 8, '--split': '90,10,0', '--bf16': false });
    expect(refusal).toContain('train.extraArgs.--seed was "7" and is "8"');
    expect(refusal).toContain('train.extraArgs.--split was "100,0,0" and is "90,10,0"');
    expect(refusal).toContain('train.extraArgs.--bf16 was true and is not there');
  });

  it.each([
    ['more nodes, and so more data parallelism', { cluster: { nodes: 8, devicesPerNode: 2, spares: 1 } }],
    [
      'another interval between saves',
      { train: { ...file.train, saveInterval: 5, iterationsPerRun: 20, replicas: 1 } },
    ],
    ['the same number written otherwise', { train: { ...file.train, extraArgs: { '--lr': 0.001, '--seed': '7' } } }],
    [
      'flags that make training faster',
      { train: { ...file.train, extraArgs: { ...file.train.extraArgs, '--recompute-granularity': 'full' } } },
    ],
  ])('takes %s without a word', (_, changes) => {
    expect(changed(changes)).toMatchObject({ notes: [] });
    expect(changed(changes).refusal).toBeUndefined();
  });

  it('takes another place or column of the data and another revision of the tokenizer, and says so', () => {
    const { refusal, notes } = changed({
      dataset: { ...file.dataset, source: 'hf://a/wiki@two/*.parquet', trainKey: 'title' },
      tokenizer: { source: 'hf://Qwen/Qwen3-8B@two' },
    });
    expect(refusal).toBeUndefined();
    expect(notes).toEqual([
      'tokenizer.source revision was "one" and is "two"',
      'dataset.source was "hf://a/wiki@one/*.parquet" and is "hf://a/wiki@two/*.parquet"',
      'dataset.trainKey was "text" and is "title"',
    ]);
  });

  it('takes the other layout that a preset has on another machine for the change that it is', () => {
    const preset = (machine: string) => {
      const { parallel: _, ...rest } = file;
      return specOf({
        ...rest,
        model: { preset: 'qwen3-8b' },
        cluster: { nodes: 1, devicesPerNode: 16, machine },
        train: { iterations: 60, globalBatch: 128, seqLength: 128, saveInterval: 10 },
      });
    };
    const { refusal } = followOn(identityOf(preset('A2')), identityOf(preset('A3')), preset('A3'));
    expect(refusal).toMatch(/^parallel\.tp was 1 and is 2; parallel\.pp was 2 and is 1\./);
  });
});

describe('data that is not what the series was trained with', () => {
  const on = (dataset: object, isComplete = true) => {
    const spec = specOf({ ...file, dataset: { ...file.dataset, ...dataset } });
    const trained = (pair: string) => ({ ...identityOf(spec), [DATA]: pair, [LISTING]: pair });
    return followOn(trained('aaaaaaaaaaaa'), trained('bbbbbbbbbbbb'), spec, isComplete);
  };

  it('is refused, since the order of samples depends on it, with both ways out', () => {
    expect(on({}).refusal).toMatch(
      /^dataset pair was "a+" and is "b+"\. The data of dataset\.source is not what it was, and the order of samples depends on it\. Give .* another series; with dataset\.whenGrown "newSeries"/,
    );
  });

  it('is a series of its own where the run file says so, by its bytes, whichever series of the kind comes before', () => {
    expect(on({ whenGrown: 'newSeries' })).toMatchObject({ instead: { series: 's.data-bbbbbbbbbbbb' } });
    expect(seriesOn('s.data-bbbbbbbbbbbb', 'cccccccccccc')).toBe('s.data-cccccccccccc');
  });

  it('does not matter where no checkpoint is complete', () => {
    expect(on({}, false)).toMatchObject({ notes: [] });
    expect(on({}, false).refusal).toBeUndefined();
  });
});

describe('the plan of the learning rate', () => {
  const longer = { ...file.train, iterations: 120 };
  const choose = (choice: 'keep' | 'recompute') =>
    changed({ train: { ...longer, extraArgs: { ...file.train.extraArgs, [PLAN_CHOICE[choice]]: true } } });

  it('is not changed by the total without a word of what is to hold', () => {
    expect(changed({ train: longer }).refusal).toMatch(
      /^train\.iterations was 60 and is 120\. Give .* add to train\.extraArgs "--use-checkpoint-\S+": true \(.*\) or "--override-opt_param-scheduler": true \(/,
    );
    expect(withFlags({ '--lr': '2e-3' }).refusal).toMatch(/^train\.extraArgs\.--lr was "1e-3" and is "2e-3"\./);
  });

  it('may be a new one, which then is the one to be followed', () => {
    const { refusal, identity } = choose('recompute');
    expect([refusal, identity['train.iterations']]).toEqual([undefined, 120]);
  });

  it('may be the old one in a longer run, and stays it in the checkpoint', () => {
    const { refusal, identity } = choose('keep');
    expect([refusal, identity['train.iterations']]).toEqual([undefined, 60]);
  });

  it('does not matter where no checkpoint with one is complete', () => {
    expect(changed({ train: longer }, false).refusal).toBeUndefined();
  });
});

describe('checkpoints and settings', () => {
  it('of an older release, which say nothing, or not all, are taken as they are', () => {
    const spec = specOf(file);
    const now = identityOf(spec);
    expect(followOn(undefined, now, spec)).toEqual({ identity: now, notes: [] });
    expect(followOn({ 'parallel.pp': 2 }, now, spec)).toEqual({ identity: now, notes: [] });
  });

  it.each(FIXED_FLAGS)('%s is refused in the settings of a paused run as well', (flag) => {
    expect(refusalOf({ extraArgs: { [flag]: 'x' } }, file, 10)).toContain(`settings.extraArgs.${flag}`);
  });

  it.each(PLAN_FLAGS)('%s needs a choice there, and with it goes on', (flag) => {
    const { type, choices } = factsAbout(flag)!;
    const value = choices?.at(-1) ?? (type === 'int' ? 5 : flag === '--min-lr' ? '1e-9' : '0.5');
    // Megatron takes one kind of warm-up.
    const beside = flag === '--lr-warmup-iters' ? { '--lr-warmup-fraction': false } : {};
    const settings = { extraArgs: { ...beside, [flag]: value } };
    expect(refusalOf(settings, file, 10)).toContain('settings.schedule');
    const spec = specOf(withSettings(file, { ...settings, schedule: 'recompute' }, 10));
    expect(followOn(identityOf(specOf(file)), identityOf(spec), spec).refusal).toBeUndefined();
  });

  it('whatever a paused run may go on with is not refused afterwards', () => {
    const settings = {
      ...{ saveInterval: 5, spares: 1, iterations: 120, schedule: 'keep' as const },
      extraArgs: { '--clip-grad': 0.5, '--recompute-granularity': 'full' },
    };
    expect(refusalOf(settings, file, 10)).toBeUndefined();
    const spec = specOf(withSettings(file, settings, 10));
    const { refusal, notes } = followOn(identityOf(specOf(file)), identityOf(spec), spec);
    expect(refusal).toBeUndefined();
    expect(notes).toEqual(['train.extraArgs.--clip-grad was "1.0" and is "0.5"']);
  });
});
