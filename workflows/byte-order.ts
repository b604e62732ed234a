/** Order of names by their UTF-8 bytes, which is that of code points, and what Python and other languages call sorted. Pure. */
export function bytewise(a: string, b: string): number {
  const end = Math.min(a.length, b.length);
  for (let i = 0; i < end; i++) {
    const [left, right] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (left !== right) return place(left) - place(right);
  }
  return a.length - b.length;
}

/** Halves of surrogate pairs, which stand for what is above all other characters, behind U+E000–FFFF. */
const place = (unit: number): number => (unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit);
