/**
 * Unicode's quick check (UAX #15): a text is NFC if no character of it can change or combine and its combining marks are
 * in canonical order. The tables are asked of npm `tokenizers` (see unicode.ts), and what fails goes to its normaliser.
 */
import { classAt, flagsOf, lengthOf, readCodePoint, UNSTABLE } from './characters';
import { reserve } from './memory';

/** Marks are all below it; what is unstable above counts as changing. */
const MARKS_END: u32 = 0x20000;
@inline
const CHANGES: u32 = 0xff;
/** Of an unstable character: its place in canonical order from 1 on, or CHANGES. */
const orders: usize = reserve(MARKS_END);

export function setOrder(codePoint: u32, order: u32): void {
  store<u8>(orders + codePoint, order);
}

export function isSurelyNfc(from: usize, end: usize): bool {
  let p = from;
  let previous: u32 = 0;
  while (p < end) {
    if (p + 16 <= end) {
      const wide = i8x16.bitmask(v128.load(p));
      if (wide == 0) {
        p += 16;
        previous = 0;
        continue;
      }
      const ascii = ctz(wide);
      if (ascii > 0) {
        p += ascii;
        previous = 0;
      }
    }
    const code = readCodePoint(p);
    p += lengthOf(load<u8>(p));
    if ((flagsOf(code) & UNSTABLE) == 0) {
      previous = 0;
      continue;
    }
    const order = code < MARKS_END ? <u32>load<u8>(orders + code) : CHANGES;
    if (order == CHANGES || order < previous) return false;
    previous = order;
  }
  return true;
}
