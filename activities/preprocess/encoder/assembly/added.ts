/**
 * Added tokens (`<|im_end|>`), which are cut out of a text before anything else: leftmost first, the longest of those
 * that begin together. Two lists, as Hugging Face has them: those looked for in the raw text, and those in the
 * normalised text that lies between them.
 */
import { reserve } from './memory';

/** Of each byte, the lists (bits) that have a token which begins with it; and the same of two bytes, in one table. */
const firsts: usize = reserve(256);
const firstPairs: usize = reserve(0x10000);
/** Two bytes that are neighbours inside some token. */
const insides: usize = reserve(0x10000 >> 3);

let records: usize = 0;
let recordsUsed: u32 = 0;
let count: u32 = 0;
/** The one byte that all tokens begin with, for which one can look in sixteen bytes at once; else -1. */
let onlyFirst: i32 = -1;

export let foundEnd: u32 = 0;
export let foundId: u32 = 0;

/** A record is list, length, id, and the bytes. */
export function reserveAdded(bytes: u32, tokens: u32, first: i32): void {
  records = reserve(bytes);
  count = tokens;
  onlyFirst = first;
  recordsUsed = 0;
}

/** The longest first. */
export function addAdded(list: u32, p: usize, length: u32, id: u32): void {
  const record = records + recordsUsed;
  store<u32>(record, list);
  store<u32>(record, length, 4);
  store<u32>(record, id, 8);
  memory.copy(record + 12, p, length);
  recordsUsed += (12 + length + 3) & ~3;
  const first = <u32>load<u8>(p);
  mark(firsts + first, list);
  for (let second: u32 = 0; second < 256; second++)
    if (length == 1 || second == <u32>load<u8>(p, 1)) mark(firstPairs + ((first << 8) | second), list);
  for (let i: u32 = 0; i + 1 < length; i++) {
    const pair = (<u32>load<u8>(p + i) << 8) | <u32>load<u8>(p + i, 1);
    mark(insides + (pair >> 3), 1 << (pair & 7));
  }
}

function mark(at: usize, bits: u32): void {
  store<u8>(at, load<u8>(at) | bits);
}

/** Whether a token may have these two bytes inside, so that a text must not be cut between them. */
export function isInside(left: u32, right: u32): bool {
  const pair = (left << 8) | right;
  return ((load<u8>(insides + (pair >> 3)) >> <u8>(pair & 7)) & 1) != 0;
}

/** Where the next token of these lists begins, else `end`; leaves where it ends and its id. */
export function findAdded(lists: u32, from: usize, end: usize): usize {
  let p = from;
  while (p < end) {
    if (onlyFirst >= 0 && p + 16 <= end) {
      const hits = i8x16.bitmask(i8x16.eq(v128.load(p), i8x16.splat(<i8>onlyFirst)));
      if (hits == 0) {
        p += 16;
        continue;
      }
      p += ctz(hits);
    }
    const first = <u32>load<u8>(p);
    if ((load<u8>(firsts + first) & lists) != 0) {
      const second = p + 1 < end ? <u32>load<u8>(p, 1) : 0;
      if ((load<u8>(firstPairs + ((first << 8) | second)) & lists) != 0 && matches(lists, p, end)) return p;
    }
    p++;
  }
  return end;
}

function matches(lists: u32, p: usize, end: usize): bool {
  let record = records;
  for (let i: u32 = 0; i < count; i++) {
    const length = load<u32>(record, 4);
    if ((load<u32>(record) & lists) != 0 && p + length <= end && memory.compare(p, record + 12, length) == 0) {
      foundEnd = <u32>(p + length);
      foundId = load<u32>(record, 8);
      return true;
    }
    record += (12 + length + 3) & ~3;
  }
  return false;
}
