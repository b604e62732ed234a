/** What the host may call; activities/preprocess/encoder/wasm.ts names and types it. Offsets are from the input's start. */
import { addAdded as addAddedAt, findAdded as findAddedAt, foundEnd, foundId, isInside, reserveAdded } from './added';
import { encodeWaiting, reserveCache } from './cache';
import { classAt, classOf, COMPOSES, flagsOf, HAN, lengthOf, LETTER, readCodePoint, UNSTABLE } from './characters';
import { input, output, reserve } from './memory';
import { mergeFromBytes } from './merge';
import { byteTokens, clearMerges, reserveMerges } from './merges';
import { isSurelyNfc } from './nfc';
import { clearPieces, isBetweenPieces } from './pieces';
import { isBoundaryOfDeepSeek, scanDeepSeek } from './scan-deepseek';
import { isBoundaryOfGpt2, scanGpt2 } from './scan-gpt2';
import { isBoundaryOfQwen, scanQwen } from './scan-qwen';
import { addWhole as addWholeAt, longestWhole, reserveWholes } from './wholes';

export { clearOutput, input, inputCapacity, layOut, output, outputLength, pushId, tablesStart } from './memory';
export { classes } from './characters';
export { addMerge, fillBytePairs } from './merges';
export { addCutPair, addNeighbours, setCharToken } from './pieces';
export { clearCache } from './cache';
export { setOrder } from './nfc';

export let tablesEnd: usize = 0;
/** Whose pre-tokenizer, in the order of activities/preprocess/encoder/splitter.ts. */
let splitter: u32 = 0;
const LLAMA3: u32 = 1;
const GPT2: u32 = 2;
const DEEPSEEK: u32 = 3;
/** Of Qwen's, and of Llama 3's. */
let mostDigits: u32 = 1;

/** First of all; after it the tables are either filled one by one or written from a snapshot. */
export function prepare(
  slotBits: u32,
  merges: u32,
  addedBytes: u32,
  addedTokens: u32,
  onlyFirst: i32,
  splitsAs: u32,
  wholeBits: u32,
  wholeBytes: u32,
  cacheBits: u32,
  arenaBytes: u32,
): void {
  splitter = splitsAs;
  mostDigits = splitsAs == LLAMA3 ? 3 : 1;
  reserveMerges(slotBits, merges);
  reserveAdded(addedBytes, addedTokens, onlyFirst);
  reserveWholes(wholeBits, wholeBytes);
  tablesEnd = reserve(0);
  reserveCache(cacheBits, arenaBytes);
  clearMerges();
  clearPieces();
}

export function setByteToken(byte: u32, id: u32): void {
  store<u32>(byteTokens + (<usize>byte << 2), id);
}

/** From the input's first bytes. */
export function addAdded(list: u32, length: u32, id: u32): void {
  addAddedAt(list, input, length, id);
}

/** From the input's first bytes. */
export function addWhole(length: u32, id: u32): bool {
  return addWholeAt(input, length, id);
}

/** The one token that the input's first bytes merge to, else -1. */
export function onlyToken(length: u32): i32 {
  return mergeFromBytes(input, length, output) == 1 ? load<i32>(output) : -1;
}

export function isNfc(from: u32, to: u32): bool {
  return isSurelyNfc(input + from, input + to);
}

export function findAdded(lists: u32, from: u32, to: u32): u32 {
  return <u32>(findAddedAt(lists, input + from, input + to) - input);
}

export function addedEnd(): u32 {
  return foundEnd - <u32>input;
}

export function addedId(): u32 {
  return foundId;
}

/** Appends the ids of a text that is normalised and has no added token. */
export function encode(from: u32, to: u32): void {
  if (splitter == GPT2) scanGpt2(input + from, input + to);
  else if (splitter == DEEPSEEK) scanDeepSeek(input + from, input + to);
  else scanQwen(input + from, input + to, mostDigits);
  encodeWaiting();
}

function isBoundary(left: u32, right: u32): bool {
  if (splitter == GPT2) return isBoundaryOfGpt2(left, right);
  if (splitter == DEEPSEEK) return isBoundaryOfDeepSeek(left, right);
  return isBoundaryOfQwen(left, right);
}

/**
 * The last place in the input where a text may be cut in two that are encoded apart, else 0: a boundary that no
 * alternative of the pre-tokenizer goes across whatever comes before or after (none looks back), that lies in no added
 * token, and that normalisation does not go across. Within a run of letters, one that no merge goes across.
 */
export function lastCut(length: u32): u32 {
  let at = input + length;
  // The last character may lack bytes, so that nothing is known of it: no cut before it either.
  const last = at;
  let next: u32 = UNSTABLE;
  while (at > input) {
    let p = at - 1;
    while (p > input && (load<u8>(p) & 0xc0) == 0x80) p--;
    const flags = flagsOf(readCodePoint(p));
    if (
      (flags & UNSTABLE) == 0 &&
      (next & (UNSTABLE | COMPOSES)) == 0 &&
      (isBoundary(classOf(flags), classOf(next)) || isInsideWord(p, at, last)) &&
      !isInside(load<u8>(at - 1), load<u8>(at))
    )
      return <u32>(at - input);
    next = at == last ? UNSTABLE : flags;
    at = p;
  }
  return 0;
}

/**
 * Whether `at` lies in a run of letters that is one pre-token, and that no merge goes across. Only letters of ASCII, such as
 * those of a contraction, end a pre-token before others. Neither side may be a piece that its merges do not make.
 */
function isInsideWord(left: usize, at: usize, end: usize): bool {
  const kind = classAt(left);
  if ((kind & ~HAN) != LETTER || load<u8>(at - 1) < 0x80 || at + MOST_BYTES > end || classAt(at) != kind) return false;
  return isBetweenPieces(left, at) && (longestWhole() == 0 || isFarInside(at, end, kind, longestWhole()));
}

/** Bytes of a character, and of a contraction. */
const MOST_BYTES: usize = 4;

/** Whether so many bytes, and those of a contraction, on both sides are letters of this class. */
function isFarInside(at: usize, end: usize, kind: u32, bytes: u32): bool {
  const room = <usize>bytes + MOST_BYTES;
  let p = at;
  while (at - p <= room) {
    if (p == input) return false;
    p--;
    while (p > input && (load<u8>(p) & 0xc0) == 0x80) p--;
    if (classAt(p) != kind) return false;
  }
  p = at;
  while (p - at <= room) {
    if (p + MOST_BYTES > end || classAt(p) != kind) return false;
    p += lengthOf(load<u8>(p));
  }
  return true;
}
