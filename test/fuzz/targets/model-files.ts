import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import fc from 'fast-check';
import { readTokenizer } from '../../../activities/preprocess/encoder/read-tokenizer.js';
import { tensorsIn } from '../../../activities/safetensors.js';
import { modelsIn } from '../../../activities/torch-file.js';
import { root } from '../../../workers/config.js';
import { mutated, mutatedJson } from '../mutate.js';
import type { Target } from '../target.js';

/** A directory for a door, there while it is open. */
function ownDirectory(name: string) {
  let dir: string | undefined;
  return {
    put(file: string, bytes: Buffer | string): string {
      dir ??= mkdtempSync(join(tmpdir(), `fuzz-${name}-`));
      mkdirSync(dir, { recursive: true });
      writeFileSync(join(dir, file), bytes);
      return dir;
    },
    close() {
      if (dir) rmSync(dir, { recursive: true, force: true });
      dir = undefined;
      return Promise.resolve();
    },
  };
}

/** An error of ours says which file it is about; one that a runtime throws at nonsense does not. */
function isClear(error: unknown, dir: string): boolean {
  if (error instanceof ApplicationFailure) return true;
  return error instanceof Error && error.constructor === Error && error.message.includes(dir);
}

const torch = ownDirectory('torch');
const saved = ['mp_rank_00_000.pt', 'mp_rank_00_001.pt'].map((name) =>
  readFileSync(join(root, 'test/fixtures/golden/convert/two-layers-pp2', name)),
);

/** A file of `torch.save`: its tensors, or why it is none. */
export const torchFile: Target<Buffer> = {
  name: 'torch-file',
  inputs: mutated(saved),
  async check(bytes) {
    const dir = torch.put('model.pt', bytes);
    try {
      for (const model of Object.values(await modelsIn(join(dir, 'model.pt'))))
        for (const { shape } of Object.values(model))
          if (!shape.every((length) => Number.isSafeInteger(length) && length >= 0)) throw new TypeError(shape.join());
    } catch (error) {
      if (!isClear(error, dir)) throw error;
    }
  },
  close: torch.close,
};

const header = JSON.stringify({
  __metadata__: { format: 'pt' },
  a: { dtype: 'BF16', shape: [2, 2], data_offsets: [0, 8] },
  b: { dtype: 'F32', shape: [1], data_offsets: [8, 12] },
});
const length = Buffer.alloc(8);
length.writeBigUInt64LE(BigInt(header.length));
const tensors = ownDirectory('safetensors');

/** A file of safetensors: names and shapes, or why it is none. */
export const safetensors: Target<Buffer> = {
  name: 'safetensors',
  inputs: mutated([Buffer.concat([length, Buffer.from(header), Buffer.alloc(12)])]),
  async check(bytes) {
    const dir = tensors.put('model.safetensors', bytes);
    try {
      const { shapes } = await tensorsIn(dir);
      for (const shape of Object.values(shapes))
        if (!(Array.isArray(shape) && shape.every((length) => Number.isSafeInteger(length) && length >= 0)))
          throw new TypeError(`shape ${JSON.stringify(shape)}`);
    } catch (error) {
      if (!isClear(error, dir)) throw error;
    }
  },
  close: tensors.close,
};

const TOKENIZER = {
  version: '1.0',
  added_tokens: [
    { id: 4, content: '<|end|>', single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
  ],
  normalizer: null,
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
  post_processor: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false, use_regex: true },
  decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
  model: { type: 'BPE', dropout: null, vocab: { a: 0, b: 1, ab: 2, c: 3 }, merges: ['a b'], ignore_merges: false },
};
const CONFIG = {
  tokenizer_class: 'Qwen2Tokenizer',
  eos_token: '<|end|>',
  pad_token: { content: '<|end|>', __type: 'AddedToken' },
  additional_special_tokens: ['<|x|>'],
  added_tokens_decoder: { 4: { content: '<|end|>', special: true, lstrip: false, rstrip: false, normalized: false } },
  add_prefix_space: false,
};
const tokenizers = ownDirectory('tokenizer');
const jsonOf = (value: unknown): Buffer => Buffer.from(JSON.stringify(value) ?? '');
const like = (seed: object): fc.Arbitrary<Buffer> =>
  fc.oneof(fc.constant(jsonOf(seed)), mutatedJson([seed]).map(jsonOf), mutated([jsonOf(seed)]));

/** A tokenizer's directory: what is made of its files, or which of them is none. */
export const tokenizer: Target<Buffer[]> = {
  name: 'tokenizer',
  inputs: fc.tuple(like(TOKENIZER), like(CONFIG), like({ eos_token: '<|end|>' }), like({ '<|end|>': 4 })),
  async check([json, config, map, older]) {
    const files = { 'tokenizer.json': json, 'tokenizer_config.json': config, 'special_tokens_map.json': map };
    let dir = '';
    for (const [name, bytes] of Object.entries({ ...files, 'added_tokens.json': older }))
      dir = tokenizers.put(name, bytes!);
    try {
      const made = await readTokenizer(dir);
      if (!Buffer.isBuffer(made?.json)) throw new TypeError('no tokenizer');
    } catch (error) {
      if (!isClear(error, dir)) throw error;
    }
  },
  close: tokenizers.close,
};
