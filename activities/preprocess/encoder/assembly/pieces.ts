/**
 * What is known about the vocabulary's pieces across character boundaries. Two facts make other scripts than Latin fast,
 * and both are exact:
 *
 * - Where no piece of the vocabulary lies across a boundary, no merge does either, and both sides can be encoded apart.
 * - Where only pieces of whole characters do, a character's bytes merge among themselves before it merges with its
 *   neighbour, so that the merging may start from the character's own token instead of its bytes. The host names the
 *   characters for which this holds: their bytes alone merge to one token, by merges that rank before any that uses it.
 *
 * The tables err on one side only: a piece that is not there costs time, a missing one would cost exactness.
 */
import { readCodePoint } from './characters';
import { reserve } from './memory';
import { NONE } from './merges';

/** Token of each character below U+10000 that merges to one token by itself, else NONE. */
const charTokens: usize = reserve(0x10000 * 4);
/** Byte pairs at a boundary inside a piece that cuts a character: 1 always, 2 if the next character is in `cutBefore`. */
const cutPairs: usize = reserve(0x10000);
const cutBefore: usize = reserve(0x10000);
/** A Bloom filter (one hash) of the characters that are neighbours in some piece of whole characters. */
const NEIGHBOUR_BITS: u32 = 20;
const neighbours: usize = reserve((1 << NEIGHBOUR_BITS) >> 3);

export function clearPieces(): void {
  memory.fill(charTokens, 0xff, 0x10000 * 4);
}

export function setCharToken(codePoint: u32, id: u32): void {
  store<u32>(charTokens + (<usize>codePoint << 2), id);
}

@inline
export function charToken(codePoint: u32): u32 {
  return codePoint > 0xffff ? NONE : load<u32>(charTokens + (<usize>codePoint << 2));
}

@inline
function cutBeforeSlot(byte: u32, codePoint: u32): usize {
  return cutBefore + (((codePoint * 0x9e3b + byte) * 0x85ebca6b) >> 16);
}

/** A piece that cuts a character has these bytes at a boundary; the character after it, when the piece has it whole. */
export function addCutPair(left: u32, right: u32, next: u32): void {
  const at = cutPairs + ((left << 8) | right);
  store<u8>(at, load<u8>(at) | (next == NONE ? 1 : 2));
  if (next != NONE) store<u8>(cutBeforeSlot(left, next), 1);
}

@inline
function neighbourHash(left: u32, right: u32): u32 {
  return ((left * 0x9e3779b1) ^ (right * 0x85ebca6b)) * 0xc2b2ae35 >> (32 - NEIGHBOUR_BITS);
}

export function addNeighbours(left: u32, right: u32): void {
  const hash = neighbourHash(left, right);
  const at = neighbours + (hash >> 3);
  store<u8>(at, load<u8>(at) | (<u8>1 << <u8>(hash & 7)));
}

/** Whether some piece that cuts a character may lie across the boundary between these. */
@inline
export function mayCut(lastByte: u32, firstByte: u32, next: u32): bool {
  const kind = load<u8>(cutPairs + ((lastByte << 8) | firstByte));
  return kind != 0 && ((kind & 1) != 0 || load<u8>(cutBeforeSlot(lastByte, next)) != 0);
}

/** Whether some piece of whole characters may have these two as neighbours. */
@inline
export function mayJoin(left: u32, right: u32): bool {
  const hash = neighbourHash(left, right);
  return ((load<u8>(neighbours + (hash >> 3)) >> <u8>(hash & 7)) & 1) != 0;
}

/** Whether surely no piece lies across the boundary between the characters at these places. */
export function isBetweenPieces(left: usize, right: usize): bool {
  const next = readCodePoint(right);
  return !mayJoin(readCodePoint(left), next) && !mayCut(load<u8>(right - 1), load<u8>(right), next);
}
