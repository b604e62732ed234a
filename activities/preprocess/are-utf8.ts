/** Whether bytes that come in portions, cut anywhere, are UTF-8. No string is made of them. */
import { isUtf8 } from 'node:buffer';

export async function areUtf8(portions: AsyncIterable<Buffer>): Promise<boolean> {
  /** Of a character that a portion ended within. */
  let begun = Buffer.alloc(0);
  for await (const portion of portions) {
    let from = 0;
    if (begun.length > 0) {
      from = Math.min(lengthOf(begun[0]!) - begun.length, portion.length);
      begun = Buffer.concat([begun, portion.subarray(0, from)]);
      if (begun.length < lengthOf(begun[0]!)) continue;
      if (!isUtf8(begun)) return false;
    }
    const end = Math.max(from, wholeEnd(portion));
    if (!isUtf8(portion.subarray(from, end))) return false;
    begun = Buffer.from(portion.subarray(end));
  }
  return begun.length === 0;
}

/** Bytes of the character that begins with this one. */
const lengthOf = (first: number): number => (first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4);

/** Where the last character that is there as a whole ends. */
function wholeEnd(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const length = lengthOf(bytes[bytes.length - back]!);
    if (length > 1) return length > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}
