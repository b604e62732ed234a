/** What the pre-tokenizer and the normalizer ask of a character, one byte a code point; filled by the host. */
import { reserve } from './memory';

@inline
export const OTHER: u32 = 0;
@inline
export const LETTER: u32 = 1;
@inline
export const NUMBER: u32 = 2;
@inline
export const SPACE: u32 = 3;
/** CR or LF, which are spaces as well. */
@inline
export const NEWLINE: u32 = 4;
/** Only where the host tells it apart from OTHER: see scan-deepseek.ts. */
@inline
export const PUNCTUATION: u32 = 5;
/** Beside LETTER, PUNCTUATION or OTHER, only there as well. */
@inline
export const HAN: u32 = 8;
/** Bits of a class. */
@inline
const CLASS: u32 = 15;
/** Combines or reorders, so that a text with it may not be NFC: see nfc.ts. */
@inline
export const UNSTABLE: u32 = 16;
/** Some character combines with this one before it. */
@inline
export const COMPOSES: u32 = 32;

export const classes: usize = reserve(0x110000);

// A character as it is read: code point, what classes says, and length in bytes, in one register.
@inline
export function readCodePoint(p: usize): u32 {
  const first = <u32>load<u8>(p);
  if (first < 0x80) return first;
  if (first < 0xe0) return ((first & 31) << 6) | (load<u8>(p, 1) & 63);
  if (first < 0xf0) return ((first & 15) << 12) | ((<u32>load<u8>(p, 1) & 63) << 6) | (load<u8>(p, 2) & 63);
  return (
    ((first & 7) << 18) |
    ((<u32>load<u8>(p, 1) & 63) << 12) |
    ((<u32>load<u8>(p, 2) & 63) << 6) |
    (load<u8>(p, 3) & 63)
  );
}

/** Bytes of the character that begins with this byte. */
@inline
export function lengthOf(first: u32): u32 {
  return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

@inline
export function flagsOf(codePoint: u32): u32 {
  return <u32>load<u8>(classes + codePoint);
}

@inline
export function classOf(flags: u32): u32 {
  return flags & CLASS;
}

@inline
export function classAt(p: usize): u32 {
  return classOf(flagsOf(readCodePoint(p)));
}

/** End of the letters that begin at p, if any. */
@inline
export function skipLetters(from: usize, end: usize): usize {
  let p = from;
  while (p < end) {
    // Sixteen bytes at once: most words end within them.
    const lower = v128.or(v128.load(p), i8x16.splat(0x20));
    const letters = i8x16.bitmask(i8x16.lt_u(i8x16.sub(lower, i8x16.splat(0x61)), i8x16.splat(26)));
    const count = ctz(~letters);
    p += count;
    if (count == 16) continue;
    if (p >= end) break;
    const first = <u32>load<u8>(p);
    if (first < 0x80 || classAt(p) != LETTER) return p;
    p += lengthOf(first);
    // Scripts of several bytes a letter come in runs.
    while (p < end) {
      const next = <u32>load<u8>(p);
      if (next < 0x80) break;
      if (classAt(p) != LETTER) return p;
      p += lengthOf(next);
    }
  }
  return min(p, end);
}
