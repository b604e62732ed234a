/** Byte pair encoding of one pre-token: always the lowest rank first, the leftmost of equals, as Hugging Face's does. */
import { lengthOf, readCodePoint } from './characters';
import { needScratch, scratch } from './memory';
import { byteToken, mergedId, NONE, rankOf, rankOfBytes } from './merges';
import { charToken, mayCut } from './pieces';

/** Up to so many tokens, looking through all ranks at each step is quicker than keeping a heap. */
const FEW: u32 = 96;

/** Writes the ids of n bytes at `to`; their number. */
export function mergeBytes(p: usize, n: u32, to: usize): u32 {
  if (n == 1) {
    store<u32>(to, byteToken(load<u8>(p)));
    return 1;
  }
  if (n <= FEW && isAscii(p, n)) {
    let left = <u32>load<u8>(p);
    for (let i: u32 = 0; i < n; i++) {
      store<u32>(to + (<usize>i << 2), byteToken(left));
      if (i + 1 == n) break;
      const right = <u32>load<u8>(p + i, 1);
      store<u32>(scratch + (<usize>i << 2), rankOfBytes(left, right));
      left = right;
    }
    return mergeFew(to, n);
  }
  const count = seed(p, n, to);
  if (count > FEW) return mergeMany(to, count);
  for (let i: u32 = 0; i + 1 < count; i++) {
    const at = to + (<usize>i << 2);
    store<u32>(scratch + (<usize>i << 2), rankOf(load<u32>(at), load<u32>(at, 4)));
  }
  return mergeFew(to, count);
}

/** From single bytes, whatever they are: for the host to prove what starting from characters rests on. */
export function mergeFromBytes(p: usize, n: u32, to: usize): u32 {
  for (let i: u32 = 0; i < n; i++) store<u32>(to + (<usize>i << 2), byteToken(load<u8>(p + i)));
  return mergeMany(to, n);
}

@inline
export function isAscii(p: usize, n: u32): bool {
  let i: u32 = 0;
  for (; i + 8 <= n; i += 8) if (load<u64>(p + i) & 0x8080808080808080) return false;
  for (; i < n; i++) if (load<u8>(p + i) & 0x80) return false;
  return true;
}

/** Whole characters where pieces.ts shows that to be the same, else bytes. */
function seed(p: usize, n: u32, to: usize): u32 {
  let count: u32 = 0;
  let i: u32 = 0;
  let code = readCodePoint(p);
  let length = lengthOf(load<u8>(p));
  let isCutLeft = false;
  while (i < n) {
    const next = i + length;
    let isCutRight = false;
    let nextCode: u32 = 0;
    let nextLength: u32 = 0;
    if (next < n) {
      const first = <u32>load<u8>(p + next);
      nextCode = readCodePoint(p + next);
      nextLength = lengthOf(first);
      isCutRight = mayCut(load<u8>(p + next - 1), first, nextCode);
    }
    const id = length == 1 || isCutLeft || isCutRight ? NONE : charToken(code);
    if (id != NONE) {
      store<u32>(to + (<usize>count << 2), id);
      count++;
    } else {
      for (let k = i; k < next; k++, count++) store<u32>(to + (<usize>count << 2), byteToken(load<u8>(p + k)));
    }
    i = next;
    code = nextCode;
    length = nextLength;
    isCutLeft = isCutRight;
  }
  return count;
}

/** Tokens in place, the rank of each with its right neighbour in scratch. */
function mergeFew(tokens: usize, n: u32): u32 {
  const ranks = scratch;
  let count = n;
  while (count > 1) {
    let best: u32 = NONE;
    let at: u32 = 0;
    for (let i: u32 = 0; i + 1 < count; i++) {
      const rank = load<u32>(ranks + (<usize>i << 2));
      if (rank < best) {
        best = rank;
        at = i;
      }
    }
    if (best == NONE) break;
    const id = mergedId(best);
    const token = tokens + (<usize>at << 2);
    const rank = ranks + (<usize>at << 2);
    store<u32>(token, id);
    count--;
    for (let i = <usize>(at + 1) << 2, end = <usize>count << 2; i < end; i += 4) {
      store<u32>(tokens + i, load<u32>(tokens + i, 4));
      store<u32>(ranks + i, load<u32>(ranks + i, 4));
    }
    if (at > 0) store<u32>(rank - 4, rankOf(load<u32>(token - 4), id));
    if (at + 1 < count) store<u32>(rank, rankOf(id, load<u32>(token, 4)));
  }
  return count;
}

/** A heap of (rank, position) and tokens in a doubly linked list: n log n for runs of any length. */
function mergeMany(tokens: usize, n: u32): u32 {
  const bytes = <usize>n << 2;
  // A merge takes one entry off the heap and puts at most two on it, and there are fewer than n merges.
  needScratch(bytes * 2 + (<usize>n << 4));
  const next = scratch;
  const previous = scratch + bytes;
  const heap = previous + bytes;
  let size: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const at = <usize>i << 2;
    store<u32>(next + at, i + 1 < n ? i + 1 : NONE);
    store<u32>(previous + at, i - 1);
    if (i + 1 == n) break;
    const rank = rankOf(load<u32>(tokens + at), load<u32>(tokens + at, 4));
    if (rank != NONE) size = push(heap, size, (<u64>rank << 32) | <u64>i);
  }
  while (size > 0) {
    const entry = load<u64>(heap);
    size = pop(heap, size);
    const at = <usize>(<u32>entry) << 2;
    const left = load<u32>(tokens + at);
    const right = load<u32>(next + at);
    // Entries are not taken out when a neighbour merges: such a one no longer has the rank it was put in for.
    if (left == NONE || right == NONE) continue;
    const rank = <u32>(entry >> 32);
    const rightAt = <usize>right << 2;
    if (rankOf(left, load<u32>(tokens + rightAt)) != rank) continue;
    const id = mergedId(rank);
    store<u32>(tokens + at, id);
    store<u32>(tokens + rightAt, NONE);
    const after = load<u32>(next + rightAt);
    store<u32>(next + at, after);
    if (after != NONE) {
      store<u32>(previous + (<usize>after << 2), <u32>entry);
      const found = rankOf(id, load<u32>(tokens + (<usize>after << 2)));
      if (found != NONE) size = push(heap, size, (<u64>found << 32) | (entry & 0xffffffff));
    }
    const before = load<u32>(previous + at);
    if (before != NONE) {
      const found = rankOf(load<u32>(tokens + (<usize>before << 2)), id);
      if (found != NONE) size = push(heap, size, (<u64>found << 32) | <u64>before);
    }
  }
  let count: u32 = 0;
  for (let i: u32 = 0; i != NONE; i = load<u32>(next + (<usize>i << 2)), count++)
    store<u32>(tokens + (<usize>count << 2), load<u32>(tokens + (<usize>i << 2)));
  return count;
}

@inline
function push(heap: usize, size: u32, entry: u64): u32 {
  let i = size;
  while (i > 0) {
    const parent = (i - 1) >> 1;
    const value = load<u64>(heap + (<usize>parent << 3));
    if (value <= entry) break;
    store<u64>(heap + (<usize>i << 3), value);
    i = parent;
  }
  store<u64>(heap + (<usize>i << 3), entry);
  return size + 1;
}

@inline
function pop(heap: usize, size: u32): u32 {
  const left = size - 1;
  const entry = load<u64>(heap + (<usize>left << 3));
  let i: u32 = 0;
  for (;;) {
    let child: u32 = 2 * i + 1;
    if (child >= left) break;
    let value = load<u64>(heap + (<usize>child << 3));
    if (child + 1 < left) {
      const other = load<u64>(heap + (<usize>child << 3), 8);
      if (other < value) {
        value = other;
        child++;
      }
    }
    if (value >= entry) break;
    store<u64>(heap + (<usize>i << 3), value);
    i = child;
  }
  store<u64>(heap + (<usize>i << 3), entry);
  return left;
}
