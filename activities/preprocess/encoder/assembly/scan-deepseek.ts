/**
 * The pre-tokenizer of DeepSeek V3: a text is first cut around \p{N}{1,3}, then around [一-龥぀-ゟ゠-ヿ]+, and each part is
 * matched by itself, so that a part's end is like a text's, with
 *
 *   [!-/:-@[-`{-~][A-Za-z]+ | [^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+ | ?[\p{P}\p{S}]+[\r\n]* | \s*[\r\n]+ | \s+(?!\S) | \s+
 *
 * Some characters (controls, unassigned ones) begin no alternative; those between two matches are a pre-token together.
 *
 * Of the classes, LETTER is [\p{L}\p{M}] here, PUNCTUATION is [\p{P}\p{S}], and those in the second cut's ranges have HAN.
 */
import { classAt, HAN, LETTER, lengthOf, NEWLINE, NUMBER, OTHER, PUNCTUATION, skipLetters, SPACE } from './characters';
import { encodePreToken } from './pre-token';
import { isSpace, skipClass, skipNewlines, skipNumbers } from './runs';

const BLANK: u32 = 0x20;
const MOST_DIGITS: u32 = 3;

export function scanDeepSeek(from: usize, end: usize): void {
  let p = from;
  while (p < end) {
    const stop = preTokenEnd(p, end);
    encodePreToken(p, stop);
    p = stop;
  }
}

/**
 * Whether a pre-token always ends between characters of these classes. Cuts come before everything, so that they are
 * boundaries whatever is beside them; else as in scan-qwen.ts.
 */
export function isBoundaryOfDeepSeek(left: u32, right: u32): bool {
  if (left == NUMBER || right == NUMBER) return left != right;
  if ((left & HAN) != (right & HAN)) return true;
  if (left == LETTER || left == (LETTER | HAN)) return right != left;
  if (left == PUNCTUATION) return right == SPACE;
  return left == NEWLINE && !isSpace(right);
}

@inline
function preTokenEnd(p: usize, end: usize): usize {
  const first = <u32>load<u8>(p);
  const kind = classAt(p);
  const after = p + lengthOf(first);
  if (kind == LETTER) return skipLetters(after, end);
  if (kind == (LETTER | HAN)) return skipClass(after, end, kind);
  if (kind == NUMBER) return skipNumbers(after, end, MOST_DIGITS - 1);
  if (kind == PUNCTUATION) {
    if (first < 0x80 && after < end && isAsciiLetter(load<u8>(after))) return skipAsciiLetters(after, end);
    return skipNewlines(skipClass(after, end, PUNCTUATION), end);
  }
  if (kind == (PUNCTUATION | HAN)) return skipClass(after, end, kind);
  if (!isSpace(kind)) return skipOthers(p, end, kind);
  if (kind != NEWLINE && after < end) {
    const next = classAt(after);
    if (next == LETTER) return skipLetters(after, end);
    if (first == BLANK && next == PUNCTUATION) return skipNewlines(skipClass(after, end, PUNCTUATION), end);
  }
  return skipSpaces(p, end);
}

@inline
function isAsciiLetter(byte: u32): bool {
  return (byte | 0x20) - 0x61 < 26;
}

function skipAsciiLetters(from: usize, end: usize): usize {
  let p = from;
  while (p < end && isAsciiLetter(load<u8>(p))) p++;
  return p;
}

/** Characters that begin no match, but for the last of them before letters, which begins theirs. */
function skipOthers(from: usize, end: usize, kind: u32): usize {
  const letters = LETTER | (kind & HAN);
  let p = from;
  let last = from;
  while (p < end && classAt(p) == kind) {
    last = p;
    p += lengthOf(load<u8>(p));
  }
  if (p == end || classAt(p) != letters) return p;
  return last > from ? last : skipClass(p, end, letters);
}

/**
 * Up to the last newline of these spaces; without one, all but the last, which the next pre-token begins with: all, where
 * the text is cut behind them.
 */
function skipSpaces(from: usize, end: usize): usize {
  let p = from;
  let last = from;
  let newlines: usize = 0;
  let kind: u32 = OTHER;
  while (p < end) {
    kind = classAt(p);
    if (!isSpace(kind)) break;
    last = p;
    p += lengthOf(load<u8>(p));
    if (kind == NEWLINE) newlines = p;
  }
  if (newlines != 0) return newlines;
  const isCut = p == end || kind == NUMBER || (kind & HAN) != 0;
  return !isCut && last > from ? last : p;
}
