/**
 * Where a tokenizer ignores merges for whole words (`ignore_merges`), a pre-token that is a piece of the vocabulary becomes
 * that piece. Nearly always its merges make the same: here are the pieces for which they do not. They stand for whole
 * pre-tokens only, never for a part of one.
 */
import { reserve } from './memory';
import { mergeBytes } from './merge';
import { NONE } from './merges';

/** Length of the longest piece; in memory, so that a snapshot has it. */
const longest: usize = reserve(4);
/** An open hash table of places among the records, 0 where there is none. */
let slots: usize = 0;
let mask: u32 = 0;
/** A record is length, id, and the bytes. */
let records: usize = 0;
let recordsUsed: u32 = 4;
let recordsSize: u32 = 0;
let count: u32 = 0;

/** No pieces at all: no bits. */
export function reserveWholes(slotBits: u32, bytes: u32): void {
  mask = (1 << slotBits) - 1;
  slots = reserve((<usize>mask + 1) << 2);
  recordsSize = bytes;
  records = reserve(bytes);
  recordsUsed = 4;
  count = 0;
}

/** False when there is no room: the host then does not trust the table. */
export function addWhole(p: usize, n: u32, id: u32): bool {
  const size = (8 + n + 3) & ~3;
  // At most half of the slots, so that a look is short, and ends.
  if (recordsUsed + size > recordsSize || ++count > mask >> 1) return false;
  let slot = slotOf(p, n);
  while (load<u32>(slots + (<usize>slot << 2)) != 0) slot = (slot + 1) & mask;
  store<u32>(slots + (<usize>slot << 2), recordsUsed);
  const record = records + recordsUsed;
  store<u32>(record, n);
  store<u32>(record, id, 4);
  memory.copy(record + 8, p, n);
  recordsUsed += size;
  store<u32>(longest, max(load<u32>(longest), n));
  return true;
}

export function longestWhole(): u32 {
  return load<u32>(longest);
}

/** Told apart by length and first eight bytes: there are few. */
@inline
function slotOf(p: usize, n: u32): u32 {
  let first = load<u64>(p);
  if (n < 8) first &= (<u64>1 << (<u64>n << 3)) - 1;
  return <u32>(((first ^ <u64>n) * 0x9e3779b97f4a7c15) >> 40) & mask;
}

/** Id of the piece that these bytes are as a whole pre-token, though their merges make something else; else NONE. */
@inline
export function wholeOf(p: usize, n: u32): u32 {
  return mask == 0 ? NONE : lookUp(p, n);
}

function lookUp(p: usize, n: u32): u32 {
  let slot = slotOf(p, n);
  let at = load<u32>(slots + (<usize>slot << 2));
  while (at != 0) {
    const record = records + at;
    if (load<u32>(record) == n && memory.compare(record + 8, p, n) == 0) return load<u32>(record, 4);
    slot = (slot + 1) & mask;
    at = load<u32>(slots + (<usize>slot << 2));
  }
  return NONE;
}

/** Writes the ids of a whole pre-token at `to`; their number. */
export function encodeWhole(p: usize, n: u32, to: usize): u32 {
  const id = wholeOf(p, n);
  if (id == NONE) return mergeBytes(p, n, to);
  store<u32>(to, id);
  return 1;
}
