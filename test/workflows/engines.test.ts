/** What a dataset that is there already must have been made with, to be taken for the one that is wanted. */
import { expect, it } from 'vitest';
import { convertedDir } from '../../workflows/convert-command.js';
import { ENGINES, madeWith } from '../../workflows/engines.js';
import { presets } from '../../workflows/presets.js';
import { specOf } from '../support/run-files.js';

interface Changes {
  vocab?: number;
  preprocess?: object;
  release?: string;
}
const spec = ({ vocab = 4096, preprocess = {}, release = '26.0.0' }: Changes = {}) =>
  specOf({
    model: { sizes: { ...presets['qwen3-tiny'], vocab } },
    tokenizer: { source: 'hf://a/tokenizer' },
    dataset: { source: 'hf://a/data/*.parquet' },
    preprocess,
    cluster: { nodes: 1, devicesPerNode: 1 },
    train: { iterations: 20, globalBatch: 4, seqLength: 128, saveInterval: 10, replicas: 0 },
    mindspeed: { release },
  });

it('is made by the version that the preprocessor itself writes beside its datasets', () => {
  expect(madeWith(spec(), 't').engine).toBe(ENGINES.native);
});

it('is looked through again for a model whose vocabulary is smaller', () => {
  expect(madeWith(spec({ vocab: 256 }), 't')).not.toEqual(madeWith(spec(), 't'));
});

it("is made anew by the checkout's own preprocessor where release or programs differ, and by the native one not", () => {
  const own = { preprocess: { engine: 'mindspeed' } };
  const first = madeWith(spec(own), 't', 'one');
  expect(madeWith(spec(own), 't', 'two')).not.toEqual(first);
  expect(madeWith(spec({ ...own, release: '26.1.0' }), 't', 'one')).not.toEqual(first);
  expect(madeWith(spec({ release: '26.1.0' }), 't', 'two')).toEqual(madeWith(spec(), 't', 'one'));
});

it('of weights is the converter of one release', () => {
  const dirs = ['2.1.0', '26.0.0', '26.1.0'].map((release) => convertedDir('k', spec({ release })));
  expect(new Set(dirs).size).toBe(3);
});
