/**
 * Texts drawn over a whole input while it is encoded, each text with the same chance, whatever there is of them: what the
 * fast path is checked with. Which ones depends on the input alone, so that another attempt draws the same.
 */
import type { Sampled } from './encode.js';
import { stringOf, type Text } from './rows.js';

export interface Sample {
  /** A text and its ids, which are copied if they are kept. */
  offer(text: Text, ids: Int32Array): void;
  /** A part of a text that is too long to be kept. */
  offerPart(utf8: Uint8Array): void;
  texts(): Sampled[];
}

const SIZE = 64;
/** Of a longer text a part of this many characters is taken, and encoded by itself. */
const LONGEST = 4096;

export function createSample(): Sample {
  const kept: Sampled[] = [];
  const below = pseudoRandom();
  let offered = 0;

  /** The place for what is offered next, if it is drawn: the n-th is with a chance of `SIZE` in n. */
  function draw(): number | undefined {
    offered += 1;
    const place = offered <= SIZE ? offered - 1 : below(offered);
    return place < SIZE ? place : undefined;
  }

  return {
    offer(offered, ids) {
      const place = draw();
      if (place === undefined) return;
      const text = stringOf(offered);
      kept[place] = text.length <= LONGEST ? { text, ids: ids.slice() } : { text: partOf(text, below) };
    },
    offerPart(utf8) {
      const place = draw();
      if (place === undefined) return;
      const from = below(Math.max(1, utf8.length - LONGEST));
      // What was cut at the ends is no character.
      const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(utf8.subarray(from, from + LONGEST));
      kept[place] = { text: text.replaceAll('\ufffd', '') };
    },
    texts: () => kept,
  };
}

function partOf(text: string, below: (n: number) => number): string {
  const from = below(text.length - LONGEST + 1);
  const isLow = (at: number) => /^[\udc00-\udfff]/.test(text.charAt(at));
  return text.slice(isLow(from) ? from + 1 : from, isLow(from + LONGEST) ? from + LONGEST - 1 : from + LONGEST);
}

/** Marsaglia's xorshift; from 0 up to but not including n. */
function pseudoRandom(): (n: number) => number {
  let state = 0x9e3779b9;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return Math.floor(((state >>> 0) / 2 ** 32) * n);
  };
}
