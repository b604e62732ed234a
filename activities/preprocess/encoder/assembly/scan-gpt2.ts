/**
 * The pre-tokenizer of GPT-2:
 *
 *   's|'t|'re|'ve|'m|'ll|'d | ?\p{L}+ | ?\p{N}+ | ?[^\s\p{L}\p{N}]+ | \s+(?!\S) | \s+
 *
 * Every character begins some alternative, so matches lie side by side.
 */
import { classAt, LETTER, lengthOf, NUMBER, OTHER, skipLetters, SPACE } from './characters';
import { encodePreToken } from './pre-token';
import { isSpace, skipClass } from './runs';

const QUOTE: u32 = 0x27;
const BLANK: u32 = 0x20;

export function scanGpt2(from: usize, end: usize): void {
  let p = from;
  while (p < end) {
    const first = <u32>load<u8>(p);
    let kind = classAt(p);
    let after = p + lengthOf(first);
    let stop: usize = 0;
    if (first == BLANK && after < end) {
      const next = classAt(after);
      if (!isSpace(next)) {
        kind = next;
        after += lengthOf(load<u8>(after));
      }
    } else if (first == QUOTE) {
      stop = contraction(p, end);
    }
    if (stop == 0) {
      if (kind == LETTER) stop = skipLetters(after, end);
      else if (kind == NUMBER || kind == OTHER) stop = skipClass(after, end, kind);
      else stop = skipSpaces(p, end);
    }
    encodePreToken(p, stop);
    p = stop;
  }
}

/**
 * Whether a pre-token always ends between characters of these classes. Of spaces the last goes with what comes next, which
 * the end of a text would change: there is no boundary after any.
 */
export function isBoundaryOfGpt2(left: u32, right: u32): bool {
  if (left == LETTER || left == NUMBER) return right != left;
  return left == OTHER && right >= SPACE;
}

/** End of the contraction that begins at this quote, else 0. */
function contraction(p: usize, end: usize): usize {
  if (p + 1 >= end) return 0;
  const first = <u32>load<u8>(p, 1);
  // s t m d
  if (first == 0x73 || first == 0x74 || first == 0x6d || first == 0x64) return p + 2;
  if (p + 2 >= end) return 0;
  const second = <u32>load<u8>(p, 2);
  // re ve ll
  if (second == 0x65 && (first == 0x72 || first == 0x76)) return p + 3;
  if (second == 0x6c && first == 0x6c) return p + 3;
  return 0;
}

/** All of these spaces but the last, which the next pre-token begins with or which is one by itself. */
function skipSpaces(from: usize, end: usize): usize {
  let p = from;
  let last = from;
  while (p < end && isSpace(classAt(p))) {
    last = p;
    p += lengthOf(load<u8>(p));
  }
  return p < end && last > from ? last : p;
}
