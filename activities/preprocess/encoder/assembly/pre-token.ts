/** One pre-token to ids. */
import { lengthOf, readCodePoint } from './characters';
import { encodeAs, encodeLong, encodeShort, encodeWaiting } from './cache';
import { output, outputLength, setOutputLength } from './memory';
import { isAscii, mergeBytes } from './merge';
import { NONE } from './merges';
import { charToken, mayCut, mayJoin } from './pieces';
import { wholeOf } from './wholes';

@inline
export function encodePreToken(p: usize, end: usize): void {
  const n = <u32>(end - p);
  if (n < 16) encodeShort(p, n);
  else encodeLengthy(p, n);
}

/**
 * Scripts without spaces make one pre-token of a whole clause, and no clause comes twice. Cut where no piece of the
 * vocabulary lies across, it falls into parts of a few characters, which do.
 */
function encodeLengthy(p: usize, n: u32): void {
  if (isAscii(p, n)) return encodeLong(p, n);
  const end = p + n;
  let start = p;
  let at = p;
  let code = readCodePoint(p);
  for (;;) {
    at += lengthOf(load<u8>(at));
    if (at >= end) break;
    const next = readCodePoint(at);
    if (!mayJoin(code, next) && !mayCut(load<u8>(at - 1), load<u8>(at), next)) {
      encodePart(start, <u32>(at - start), code);
      start = at;
    }
    code = next;
  }
  if (start > p) encodePart(start, <u32>(end - start), code);
  else encodeLong(p, n);
}

/** `last` is the part's last character: its only one, when the part is no longer than that. */
@inline
function encodePart(p: usize, n: u32, last: u32): void {
  if (n == 3 && load<u8>(p) >= 0xe0) {
    const id = charToken(last);
    if (id != NONE) return encodeAs(id);
  }
  // What is remembered of these bytes is what they are as a whole pre-token.
  if (wholeOf(p, n) != NONE) encodeMerged(p, n);
  else if (n < 16) encodeShort(p, n);
  else encodeLong(p, n);
}

function encodeMerged(p: usize, n: u32): void {
  encodeWaiting();
  setOutputLength(outputLength + mergeBytes(p, n, output + (<usize>outputLength << 2)));
}
