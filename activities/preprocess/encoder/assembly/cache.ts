/**
 * Pre-tokens that were encoded before. Words repeat so much that this answers nearly all of a text. An open hash table of
 * 32 bytes an entry (key, number of ids, ids) and an arena for what does not fit there; when either is full all is
 * forgotten, which costs little, bounds memory and follows a corpus whose subject changes.
 */
import { output, outputLength, pushId, reserve, setOutputLength } from './memory';
import { encodeWhole } from './wholes';

/** Longer pre-tokens hardly repeat. */
const LONGEST: u32 = 255;
/** Keys of hashed pre-tokens bear this where others bear their length, 15 at most. */
const HASHED: u64 = 0xff << 56;

let entries: usize = 0;
let mask: u32 = 0;
let used: u32 = 0;
let most: u32 = 0;
let arena: usize = 0;
let arenaUsed: u32 = 0;
let arenaSize: u32 = 0;

export function reserveCache(bits: u32, arenaBytes: u32): void {
  mask = (1 << bits) - 1;
  most = <u32>((<u64>mask * 5) >> 3);
  entries = reserve((<usize>mask + 1) << 5);
  arenaSize = arenaBytes;
  arena = reserve(arenaBytes);
}

export function clearCache(): void {
  memory.fill(entries, 0, (<usize>mask + 1) << 5);
  used = 0;
  arenaUsed = 0;
}

/**
 * Pre-tokens that wait for their turn, 24 bytes each: two words of key, first slot, place in the input; or an id, and a zero
 * where no key has one. Looked up one by one, each would wait for memory alone.
 */
const WAITING: u32 = 64;
const WAITING_SIZE: usize = 24;
const waiting: usize = reserve(<usize>WAITING * WAITING_SIZE);
let waitingCount: u32 = 0;

/** Appends, in its turn, the ids of a pre-token of fewer than 16 bytes, which are their own key. */
@inline
export function encodeShort(p: usize, n: u32): void {
  let low = load<u64>(p);
  let high: u64 = 0;
  if (n < 8) low &= (<u64>1 << (<u64>n << 3)) - 1;
  else high = load<u64>(p, 8) & ((<u64>1 << (<u64>(n - 8) << 3)) - 1);
  high |= <u64>n << 56;
  let hash = (low ^ (high * 0xff51afd7ed558ccd)) * 0x9e3779b97f4a7c15;
  hash ^= hash >> 32;
  wait(low, high, <u32>hash & mask, p);
}

/** Appends an id, in its turn. */
@inline
export function encodeAs(id: u32): void {
  wait(<u64>id, 0, 0, 0);
}

@inline
function wait(low: u64, high: u64, slot: u32, p: usize): void {
  const at = waiting + <usize>waitingCount * WAITING_SIZE;
  store<u64>(at, low);
  store<u64>(at, high, 8);
  store<u32>(at, slot, 16);
  store<u32>(at, <u32>p, 20);
  if (++waitingCount == WAITING) encodeWaiting();
}

/** To be called before the output is looked at, or appended to by others. */
export function encodeWaiting(): void {
  const end = waiting + <usize>waitingCount * WAITING_SIZE;
  waitingCount = 0;
  let keys: u64 = 0;
  for (let at = waiting; at < end; at += WAITING_SIZE) keys |= load<u64>(entries + (<usize>load<u32>(at, 16) << 5), 8);
  // Never so: it keeps the loads, which are what the round above is for.
  if (keys == 1) unreachable();
  for (let at = waiting; at < end; at += WAITING_SIZE) encodeNext(at);
}

@inline
function encodeNext(at: usize): void {
  const low = load<u64>(at);
  const high = load<u64>(at, 8);
  if (high == 0) {
    pushId(<u32>low);
    return;
  }
  let slot = load<u32>(at, 16);
  for (;;) {
    const entry = entries + (<usize>slot << 5);
    const key = load<u64>(entry, 8);
    if (key == high && load<u64>(entry) == low) {
      appendIds(entry);
      return;
    }
    if (key == 0) break;
    slot = (slot + 1) & mask;
  }
  encodeShortAnew(load<u32>(at, 20), <u32>(high >> 56), low, high, slot);
}

@inline
function appendIds(entry: usize): void {
  const to = output + (<usize>outputLength << 2);
  const count = load<u32>(entry, 16);
  if (count <= 3) {
    // Three at once, used or not: there is padding behind the output.
    store<u64>(to, load<u64>(entry, 20));
    store<u32>(to, load<u32>(entry, 28), 8);
  } else {
    memory.copy(to, arena + load<u32>(entry, 20), <usize>count << 2);
  }
  setOutputLength(outputLength + count);
}

function encodeShortAnew(p: usize, n: u32, low: u64, high: u64, slot: u32): void {
  const to = output + (<usize>outputLength << 2);
  const count = encodeWhole(p, n, to);
  setOutputLength(outputLength + count);
  const entry = entries + (<usize>slot << 5);
  if (count <= 3) {
    if (!hasRoom(0)) return;
    store<u64>(entry, load<u64>(to), 20);
    store<u32>(entry, load<u32>(to, 8), 28);
  } else {
    if (!hasRoom(count << 2)) return;
    store<u32>(entry, arenaUsed, 20);
    memory.copy(arena + arenaUsed, to, <usize>count << 2);
    arenaUsed += count << 2;
  }
  store<u64>(entry, low);
  store<u64>(entry, high, 8);
  store<u32>(entry, count, 16);
}

/** Counts an entry more; else forgets all, after which the slot that was found is no longer the right one. */
function hasRoom(bytes: u32): bool {
  if (used >= most || arenaUsed + bytes > arenaSize) {
    clearCache();
    return false;
  }
  used++;
  return true;
}

/** Appends the ids of a pre-token of 16 bytes or more: found by a hash, compared with the bytes in the arena. */
export function encodeLong(p: usize, n: u32): void {
  encodeWaiting();
  const to = output + (<usize>outputLength << 2);
  if (n > LONGEST) {
    setOutputLength(outputLength + encodeWhole(p, n, to));
    return;
  }
  let hash: u64 = <u64>n * 0x9e3779b97f4a7c15;
  for (let i: u32 = 0; i + 8 <= n; i += 8) hash = mix(hash, load<u64>(p + i));
  if (n & 7) hash = mix(hash, load<u64>(p + n - 8));
  hash ^= hash >> 32;
  const key = HASHED | <u64>n;
  let slot = <u32>hash & mask;
  for (;;) {
    const entry = entries + (<usize>slot << 5);
    const other = load<u64>(entry, 8);
    if (other == key && load<u64>(entry) == hash) {
      const count = load<u32>(entry, 16);
      const ids = arena + load<u32>(entry, 20);
      if (memory.compare(ids + (<usize>count << 2), p, n) == 0) {
        memory.copy(to, ids, <usize>count << 2);
        setOutputLength(outputLength + count);
        return;
      }
    }
    if (other == 0) break;
    slot = (slot + 1) & mask;
  }
  const count = encodeWhole(p, n, to);
  setOutputLength(outputLength + count);
  const bytes = ((count << 2) + n + 3) & ~3;
  if (!hasRoom(bytes)) return;
  const entry = entries + (<usize>slot << 5);
  memory.copy(arena + arenaUsed, to, <usize>count << 2);
  memory.copy(arena + arenaUsed + (count << 2), p, n);
  store<u64>(entry, hash);
  store<u64>(entry, key, 8);
  store<u32>(entry, count, 16);
  store<u32>(entry, arenaUsed, 20);
  arenaUsed += bytes;
}

@inline
function mix(hash: u64, word: u64): u64 {
  const mixed = (hash ^ word) * 0xff51afd7ed558ccd;
  return mixed ^ (mixed >> 29);
}
