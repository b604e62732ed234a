/** What the host may call; activities/preprocess/encoder/wasm.ts names and types it. Offsets are from the input's start. */
import { addAdded as addAddedAt, findAdded as findAddedAt, foundEnd, foundId, isInside, reserveAdded } from './added';
import { reserveCache } from './cache';
import { COMPOSES, flagsOf, LETTER, readCodePoint, UNSTABLE } from './characters';
import { input, output, reserve } from './memory';
import { mergeFromBytes } from './merge';
import { byteTokens, clearMerges, reserveMerges } from './merges';
import { isSurelyNfc } from './nfc';
import { clearPieces, isBetweenPieces } from './pieces';
import { isBoundary, scanQwen } from './scan-qwen';

export { clearOutput, input, inputCapacity, layOut, output, outputLength, pushId, tablesStart } from './memory';
export { classes } from './characters';
export { addMerge, fillBytePairs } from './merges';
export { addCutPair, addNeighbours, setCharToken } from './pieces';
export { clearCache } from './cache';
export { setOrder } from './nfc';

export let tablesEnd: usize = 0;
let mostDigits: u32 = 1;

/** First of all; after it the tables are either filled one by one or written from a snapshot. */
export function prepare(
  slotBits: u32,
  merges: u32,
  addedBytes: u32,
  addedTokens: u32,
  onlyFirst: i32,
  digits: u32,
  cacheBits: u32,
  arenaBytes: u32,
): void {
  mostDigits = digits;
  reserveMerges(slotBits, merges);
  reserveAdded(addedBytes, addedTokens, onlyFirst);
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
  scanQwen(input + from, input + to, mostDigits);
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
      (isBoundary(flags & 7, next & 7) || ((flags & 7) == LETTER && (next & 7) == LETTER && isBetweenPieces(p, at))) &&
      !isInside(load<u8>(at - 1), load<u8>(at))
    )
      return <u32>(at - input);
    next = at == last ? UNSTABLE : flags;
    at = p;
  }
  return 0;
}
