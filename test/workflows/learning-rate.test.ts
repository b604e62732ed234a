/** A learning rate that Megatron would refuse on every rank is refused in the run file. */
import { describe, expect, it } from 'vitest';
import { learningRateComplaints } from '../../workflows/learning-rate.js';
import { parseRunSpec } from '../../workflows/spec.js';
import { readFileSync } from 'node:fs';
import { root } from '../../workers/config.js';

describe('a learning rate', () => {
  it.each<[string, object]>([
    ['of the examples', {}],
    ["of one's own", { '--lr': 1e-4, '--min-lr': '1e-5' }],
    ['that does not fall', { '--lr': 1e-4, '--min-lr': 1e-4 }],
    ['that is zero', { '--lr': 0, '--min-lr': 0 }],
    ["that falls to Megatron's own end", { '--lr': 1e-9, '--min-lr': false }],
    ['that warms up for some iterations', { '--lr-warmup-iters': 100, '--lr-warmup-fraction': false }],
    ['that does not warm up', { '--lr-warmup-iters': 0 }],
    ['that is none, which is another complaint', { '--lr': 'fast', '--min-lr': [1, 2], '--lr-warmup-iters': true }],
  ])('%s is taken', (_, flags) => expect(learningRateComplaints(flags, {})).toEqual([]));

  it.each<[string, object, string, string]>([
    ['below zero', { '--lr': -1, '--min-lr': false }, '--lr', 'a number from 0'],
    ['that falls below zero', { '--min-lr': '-1e-9' }, '--min-lr', 'a number from 0'],
    ['that falls upwards', { '--lr': '1e-5', '--min-lr': 1e-4 }, '--min-lr', 'at most --lr = 1e-5'],
    [
      'below the end of the examples',
      { '--lr': 1e-8 },
      '--lr',
      'at least --min-lr = 1.25e-7, or a lower --min-lr beside it',
    ],
    [
      'that warms up twice',
      { '--lr-warmup-iters': 100 },
      '--lr-warmup-iters',
      'none beside --lr-warmup-fraction = 0.01, which "--lr-warmup-fraction": false takes away',
    ],
  ])('%s is refused', (_, flags, flag, expected) =>
    expect(learningRateComplaints(flags, {})).toEqual([{ path: `train.extraArgs.${flag}`, expected }]),
  );

  it('may warm up for some iterations where the preset has no fraction of its own', () => {
    expect(learningRateComplaints({ '--lr-warmup-iters': 100 }, { '--lr-warmup-fraction': false })).toEqual([]);
  });
});

it('one answer a flag: the run file says what of them is wrong', () => {
  const file = JSON.parse(readFileSync(`${root}/infra/runs/qwen3-tiny.json`, 'utf8')) as { train: object };
  const extraArgs = {
    '--lr': -1,
    '--min-lr': 1,
    '--lr-warmup-iters': 5,
    '--lr-warmup-fraction': 0.1,
    '--mock-data': true,
  };
  const parsed = parseRunSpec({ ...file, train: { ...file.train, extraArgs } }, 'run');
  expect('problems' in parsed && parsed.problems).toEqual([
    expect.objectContaining({
      path: 'train.extraArgs.--mock-data',
      expected: 'no such flag here; use dataset: made-up tokens would stand in its place',
    }),
    expect.objectContaining({ path: 'train.extraArgs.--lr', expected: 'a number from 0' }),
    expect.objectContaining({ path: 'train.extraArgs.--lr-warmup-iters' }),
  ]);
});
