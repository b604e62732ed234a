/** Ends of runs of characters of one kind, which the pre-tokenizers' patterns are made of. */
import { classAt, lengthOf, NEWLINE, NUMBER, SPACE } from './characters';

/** End of the characters of this class that begin at `from`, if any. */
export function skipClass(from: usize, end: usize, kind: u32): usize {
  let p = from;
  while (p < end && classAt(p) == kind) p += lengthOf(load<u8>(p));
  return p;
}

export function skipNumbers(from: usize, end: usize, most: u32): usize {
  let p = from;
  for (let i: u32 = 0; i < most && p < end && classAt(p) == NUMBER; i++) p += lengthOf(load<u8>(p));
  return p;
}

@inline
export function skipNewlines(from: usize, end: usize): usize {
  let p = from;
  while (p < end && (load<u8>(p) == 10 || load<u8>(p) == 13)) p++;
  return p;
}

@inline
export function isSpace(kind: u32): bool {
  return kind == SPACE || kind == NEWLINE;
}
