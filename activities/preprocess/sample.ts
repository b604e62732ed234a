/**
 * Texts drawn over a whole input while it is encoded, each text with the same chance, whatever there is of them: what the
 * fast path is checked with. Which ones depends on the input alone, so that another attempt draws the same.
 */
import type { Excerpts, Joint, Sampled } from './encode.js';
import { stringOf, type Text } from './rows.js';

export interface Sample {
  /** A text and its ids, which are copied if they are kept. Encodes, if the text is long, to find its way in them. */
  offer(text: Text, ids: Int32Array): void;
  /** A place at which a text was cut that is too long to be kept. */
  offerJoint(joint: Joint): void;
  /** To be asked when no document is open. */
  texts(): Sampled[];
}

const SIZE = 64;
/** Of a text that is longer an excerpt of about this many characters is taken. */
const LONGEST = 4096;

export function createSample(excerpts: Excerpts): Sample {
  const kept: (Sampled | Joint)[] = [];
  const below = pseudoRandom();
  let offered = 0;

  /** The place for what is offered next, if it is drawn: the n-th is with a chance of `SIZE` in n. */
  function draw(): number | undefined {
    offered += 1;
    const place = offered <= SIZE ? offered - 1 : below(offered);
    return place < SIZE ? place : undefined;
  }

  function jointIn(text: Text, ids: Int32Array): Joint {
    const utf8 = typeof text === 'string' ? Buffer.from(text) : text;
    return excerpts.jointIn(utf8, ids, below(utf8.length));
  }

  return {
    offer(text, ids) {
      const place = draw();
      if (place === undefined) return;
      kept[place] = text.length <= LONGEST ? { text: stringOf(text), ids: ids.slice() } : jointIn(text, ids);
    },
    offerJoint(joint) {
      const place = draw();
      if (place !== undefined) kept[place] = joint;
    },
    texts: () => kept.map((one) => ('text' in one ? one : (excerpts.excerptAt(one) ?? { text: around(one) }))),
  };
}

/** Where no place is near to cut it out at, it is encoded by itself, without what was cut off at its ends. */
const around = ({ left, right }: Joint): string =>
  new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat([left, right])).replaceAll('\ufffd', '');

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
