/**
 * Linear memory, by hand: tables that live as long as the module, then the areas of one call, which may grow.
 * There is no allocator and no garbage: what is bounded here bounds the encoder's memory.
 */

/** Loads of 16 bytes may begin at the last byte of an area. */
export const PADDING: usize = 64;

let top: usize = __heap_base;

function need(end: usize): void {
  const pages = <i32>((end + 0xffff) >>> 16) - memory.size();
  if (pages > 0 && memory.grow(pages) < 0) unreachable();
}

/** Space that is kept for good; zeroed. */
export function reserve(bytes: usize): usize {
  const start = (top + 63) & ~(<usize>63);
  top = start + bytes + PADDING;
  need(top);
  return start;
}

/** Start of everything that a snapshot of the tables holds; see `tablesEnd`. */
export const tablesStart: usize = (__heap_base + 63) & ~(<usize>63);

/** The text to encode, and its ids. A text of n bytes has at most n ids. */
export let input: usize = 0;
export let inputCapacity: u32 = 0;
export let output: usize = 0;
export let outputLength: u32 = 0;
/** Working space of one merge, last in memory because a long pre-token needs much of it. */
export let scratch: usize = 0;

/** Lays out the areas anew, for texts of up to so many bytes. Their content is lost. */
export function layOut(bytes: u32): void {
  if (input == 0) input = (top + 63) & ~(<usize>63);
  inputCapacity = bytes;
  output = (input + bytes + PADDING + 63) & ~(<usize>63);
  scratch = (output + (<usize>bytes << 2) + PADDING + 63) & ~(<usize>63);
  need(scratch + 4096);
  outputLength = 0;
}

export function needScratch(bytes: usize): void {
  need(scratch + bytes + PADDING);
}

export function clearOutput(): void {
  outputLength = 0;
}

@inline
export function setOutputLength(length: u32): void {
  outputLength = length;
}

export function pushId(id: u32): void {
  store<u32>(output + (<usize>outputLength << 2), id);
  outputLength++;
}
