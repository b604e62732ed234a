/**
 * The pre-tokenizer of Qwen2, Qwen3 and Llama 3, which differ only in how many digits may stand together:
 *
 *   (?i:'s|'t|'re|'ve|'m|'ll|'d) | [^\r\n\p{L}\p{N}]?\p{L}+ | \p{N}{1,most} | ?[^\s\p{L}\p{N}]+[\r\n]* | \s*[\r\n]+
 *   | \s+(?!\S) | \s+
 *
 * Every character begins some alternative, so matches lie side by side, and the alternatives are told apart by the
 * classes of a character and its successor.
 */
import { classAt, LETTER, lengthOf, NEWLINE, NUMBER, OTHER, skipLetters, SPACE } from './characters';
import { encodePreToken } from './pre-token';
import { skipClass, skipNewlines, skipNumbers } from './runs';

const QUOTE: u32 = 0x27;
const BLANK: u32 = 0x20;

export function scanQwen(from: usize, end: usize, mostDigits: u32): void {
  let p = from;
  while (p < end) {
    const first = <u32>load<u8>(p);
    const kind = classAt(p);
    const after = p + lengthOf(first);
    let stop: usize;
    if (kind == LETTER) stop = skipLetters(after, end);
    else if (kind == NUMBER) stop = skipNumbers(after, end, mostDigits - 1);
    else stop = first == QUOTE ? contraction(p, end) : 0;
    if (stop == 0) {
      const next = after < end ? classAt(after) : SPACE;
      if (kind != NEWLINE && next == LETTER) stop = skipLetters(after + lengthOf(load<u8>(after)), end);
      else if (kind == OTHER || (first == BLANK && next == OTHER)) stop = skipNewlines(skipClass(after, end, OTHER), end);
      else stop = skipSpaces(p, end);
    }
    encodePreToken(p, stop);
    p = stop;
  }
}

/**
 * Whether a pre-token always ends between characters of these classes. Letters and numbers are followed by nothing else
 * in any alternative, other characters by newlines only; and of spaces that end in newlines all are taken at once.
 */
export function isBoundaryOfQwen(left: u32, right: u32): bool {
  if (left == LETTER || left == NUMBER) return right != left;
  if (left == OTHER) return right == SPACE;
  return left == NEWLINE && right < SPACE;
}

/** End of the contraction that begins at this quote, else 0. */
function contraction(p: usize, end: usize): usize {
  if (p + 1 >= end) return 0;
  const raw = <u32>load<u8>(p, 1);
  const first = raw | 0x20;
  // s t m d
  if (first == 0x73 || first == 0x74 || first == 0x6d || first == 0x64) return p + 2;
  if (p + 2 >= end) return 0;
  // Long s (U+017F), which a case-insensitive match takes for an s.
  if (raw == 0xc5 && load<u8>(p, 2) == 0xbf) return p + 3;
  const second = <u32>load<u8>(p, 2) | 0x20;
  // re ve ll
  if (second == 0x65 && (first == 0x72 || first == 0x76)) return p + 3;
  if (second == 0x6c && first == 0x6c) return p + 3;
  return 0;
}

/** Up to the last newline of these spaces; without one, all but the last, which the next pre-token begins with. */
function skipSpaces(from: usize, end: usize): usize {
  let p = from;
  let last = from;
  let newlines: usize = 0;
  while (p < end) {
    const kind = classAt(p);
    if (kind < SPACE) break;
    last = p;
    p += lengthOf(load<u8>(p));
    if (kind == NEWLINE) newlines = p;
  }
  if (newlines != 0) return newlines;
  return p < end && last > from ? last : p;
}
