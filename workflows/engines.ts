/** Who makes datasets, by the version of the bytes that each makes: part of every key that stands for such bytes. */
import type { RunSpec } from './spec.js';

/** Raise one when the same input makes other bytes: what was made before is then made anew. */
export const ENGINES = { native: 'native-5', mindspeed: 'mindspeed-1' } as const;

/**
 * All that decides the bytes of a dataset, or whether it may be used, but for its files. Pure.
 *
 * @param checkout digest of the checkout's programs, where it is known: its own preprocessor is one of them
 */
export function madeWith({ dataset, preprocess, sizes, mindspeed }: RunSpec, tokenizer: string, checkout?: string) {
  const { keys, appendEod, handler } = dataset;
  const { engine, compat, skipBadRows } = preprocess;
  return {
    ...{ tokenizer, keys, appendEod, handler, engine: ENGINES[engine] },
    // Token ids were held against it.
    vocabulary: sizes.vocab,
    ...(engine === 'mindspeed' && { release: mindspeed.release, ...(checkout !== undefined && { checkout }) }),
    ...(compat && { compat }),
    ...(skipBadRows > 0 && { skipBadRows }),
  };
}
