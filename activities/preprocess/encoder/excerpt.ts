/**
 * Of a long text an excerpt, with the ids that it was given as a part of that text: encoded by itself, it would not show
 * what goes wrong only within a text.
 */
import type { FastEncoder } from './fast.js';
import { createIds } from './ids.js';
import type { Encoded } from './oracle.js';

/** Bytes on each side of a joint. */
const REACH = 2048;
/** And on both together at least, to be worth comparing. */
const LEAST = 256;
/** How far back a place to cut is looked for. */
const BACK = 2 ** 16;
/** Normalisation makes three bytes of one at most, and each id stands for one at least. */
const MOST_IDS = 3 * REACH;

/** A place in a text at which it may be cut, what is on both sides of it, and the ids of that and of more. */
export interface Joint {
  left: Uint8Array;
  right: Uint8Array;
  before: Int32Array;
  after: Int32Array;
  /** Whether `right` goes to the end of the text. */
  isEnd: boolean;
}

/** What an encoder of the fast path tells of long texts; not while a document is open. */
export interface Excerpts {
  /** A joint in a text that has these ids, not far before a byte of it. */
  jointIn(text: Uint8Array, ids: Int32Array, byte: number): Joint;
  /** What is around it, to be compared; nothing where there is no other place near at which the text may be cut. */
  excerptAt(joint: Joint): Encoded | undefined;
}

export const excerptsOf = (fast: FastEncoder): Excerpts => ({
  jointIn: (text, ids, byte) => jointIn(fast, text, ids, byte),
  excerptAt: (joint) => excerptAt(fast, joint),
});

/** The last joint before that byte; the beginning of the text where none is near. */
function jointIn(fast: FastEncoder, utf8: Uint8Array, ids: Int32Array, byte: number): Joint {
  const near = charactersFrom(utf8, Math.max(0, byte - BACK));
  const cut = fast.lastCut(utf8.subarray(near, byte));
  const at = cut > 0 ? near + cut : 0;
  const index = fast.prefix.length + countOf(fast, utf8.subarray(0, at));
  return {
    // Of a Buffer, `slice` would be no copy.
    left: new Uint8Array(utf8.subarray(Math.max(0, at - REACH), at)),
    right: new Uint8Array(utf8.subarray(at, at + REACH)),
    before: ids.slice(Math.max(fast.prefix.length, index - MOST_IDS), index),
    after: ids.slice(index, Math.min(index + MOST_IDS, ids.length - fast.suffix.length)),
    isEnd: at + REACH >= utf8.length,
  };
}

/** From a place to cut on the left of a joint to one on its right. */
function excerptAt(fast: FastEncoder, { left, right, before, after, isEnd }: Joint): Encoded | undefined {
  const first = left.subarray(firstCut(fast, left));
  const second = right.subarray(0, isEnd ? right.length : fast.lastCut(right));
  if (first.length + second.length < LEAST) return undefined;
  const [from, to] = [Math.max(0, before.length - countOf(fast, first)), countOf(fast, second)];
  return {
    text: Buffer.concat([first, second]).toString('utf8'),
    ids: [...fast.prefix, ...before.subarray(from), ...after.subarray(0, to), ...fast.suffix],
  };
}

/** One that leaves something on its right, if there is. */
function firstCut(fast: FastEncoder, left: Uint8Array): number {
  const start = charactersFrom(left, 0);
  for (const end of [start + Math.floor((left.length - start) / 2), left.length]) {
    const cut = fast.lastCut(left.subarray(start, end));
    if (cut > 0) return start + cut;
  }
  return left.length;
}

/** Where the next character begins. */
function charactersFrom(utf8: Uint8Array, from: number): number {
  let at = from;
  while (at < utf8.length && (utf8[at]! & 0xc0) === 0x80) at += 1;
  return at;
}

/** Ids of a part of a text. */
function countOf(fast: FastEncoder, utf8: Uint8Array): number {
  let count = -fast.prefix.length - fast.suffix.length;
  fast.encodeBytes(utf8, (ids) => void (count += ids.length));
  return count;
}

/** Tells of the joints between the pieces that a document is encoded in. */
export interface Seams {
  begin(piece: Uint8Array, isLast: boolean): void;
  ids(ids: Int32Array): void;
  end(): void;
}

export function watchSeams(take: (joint: Joint) => void): Seams {
  let before: Pick<Joint, 'left' | 'before'> | undefined;
  let [head, tail, isEnd]: [Uint8Array, Uint8Array, boolean] = [new Uint8Array(), new Uint8Array(), false];
  const [first, last] = [createIds(), createIds()];
  return {
    begin(piece, isLast) {
      [head, tail] = [piece.slice(0, REACH), piece.slice(Math.max(0, piece.length - REACH))];
      isEnd = isLast && piece.length <= REACH;
      first.clear();
      last.clear();
    },
    ids(ids) {
      first.append(ids.subarray(0, MOST_IDS - first.length));
      if (last.length + ids.length > 8 * MOST_IDS) {
        const kept = last.view().slice(-MOST_IDS);
        last.clear();
        last.append(kept);
      }
      last.append(ids.length > MOST_IDS ? ids.subarray(ids.length - MOST_IDS) : ids);
    },
    end() {
      if (before) take({ ...before, right: head, after: first.view().slice(), isEnd });
      before = { left: tail, before: last.view().slice(-MOST_IDS) };
    },
  };
}
