/**
 * The merges: which two tokens become one, and in which order of preference (rank). An open hash table of one word a
 * merge, left token (21 bits), right token (21), rank (21), so that a lookup is one load; ids of merged tokens apart.
 */
import { reserve } from './memory';

@inline
export const NONE: u32 = 0xffffffff;
const EMPTY: u64 = 0xffffffffffffffff;

let slots: usize = 0;
let mask: u32 = 0;
let merged: usize = 0;
/** Id of the first merge's token where each next one has the next id, as in nearly all vocabularies; else NONE. A snapshot has it. */
const firstMerged: usize = reserve(4);
/** Token of each single byte. */
export const byteTokens: usize = reserve(256 * 4);
/** Rank of each two bytes: most first looks are for these. */
const bytePairs: usize = reserve(0x10000 * 4);
/**
 * A Bloom filter (one hash) of the pairs that merge. Most that are asked for do not, and unlike the table this is small
 * enough to stay in a processor's own cache.
 */
const PRESENT_BITS: u32 = 20;
const present: usize = reserve((1 << PRESENT_BITS) >> 3);

export function reserveMerges(slotBits: u32, count: u32): void {
  mask = (1 << slotBits) - 1;
  slots = reserve((<usize>mask + 1) << 3);
  merged = reserve(<usize>count << 2);
}

export function clearMerges(): void {
  memory.fill(slots, 0xff, (<usize>mask + 1) << 3);
}

@inline
function hashOf(pair: u64): u64 {
  return pair * 0x9e3779b97f4a7c15;
}

@inline
function slotOf(hash: u64): u32 {
  return <u32>(hash >> 40) & mask;
}

/** False when the pair has a rank already: the host then does not trust the table. */
export function addMerge(left: u32, right: u32, rank: u32, id: u32): bool {
  const pair = (<u64>left << 21) | <u64>right;
  const hash = hashOf(pair);
  let slot = slotOf(hash);
  for (;;) {
    const entry = load<u64>(slots + (<usize>slot << 3));
    if (entry == EMPTY) break;
    if (entry >> 21 == pair) return false;
    slot = (slot + 1) & mask;
  }
  store<u64>(slots + (<usize>slot << 3), (pair << 21) | <u64>rank);
  store<u32>(merged + (<usize>rank << 2), id);
  if (rank == 0) store<u32>(firstMerged, id);
  else if (load<u32>(firstMerged) + rank != id) store<u32>(firstMerged, NONE);
  const at = present + presentByte(hash);
  store<u8>(at, load<u8>(at) | (<u8>1 << presentBit(hash)));
  return true;
}

/** Once all merges and byte tokens are there. */
export function fillBytePairs(): void {
  for (let left = 0; left < 256; left++)
    for (let right = 0; right < 256; right++)
      store<u32>(bytePairs + (<usize>((left << 8) | right) << 2), rankOf(byteToken(left), byteToken(right)));
}

@inline
export function byteToken(byte: u32): u32 {
  return load<u32>(byteTokens + (<usize>byte << 2));
}

@inline
export function rankOfBytes(left: u32, right: u32): u32 {
  return load<u32>(bytePairs + (<usize>((left << 8) | right) << 2));
}

@inline
function presentByte(hash: u64): usize {
  return <usize>(hash >> (64 - PRESENT_BITS + 3));
}

@inline
function presentBit(hash: u64): u8 {
  return <u8>(hash >> (64 - PRESENT_BITS)) & 7;
}

@inline
export function rankOf(left: u32, right: u32): u32 {
  const pair = (<u64>left << 21) | <u64>right;
  const hash = hashOf(pair);
  if (((load<u8>(present + presentByte(hash)) >> presentBit(hash)) & 1) == 0) return NONE;
  let slot = slotOf(hash);
  let entry = load<u64>(slots + (<usize>slot << 3));
  while (entry >> 21 != pair) {
    if (entry == EMPTY) return NONE;
    slot = (slot + 1) & mask;
    entry = load<u64>(slots + (<usize>slot << 3));
  }
  return <u32>entry & 0x1fffff;
}

@inline
export function mergedId(rank: u32): u32 {
  const first = load<u32>(firstMerged);
  return first == NONE ? load<u32>(merged + (<usize>rank << 2)) : first + rank;
}
