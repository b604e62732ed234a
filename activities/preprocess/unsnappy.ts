/** Snappy in constant memory: libraries want the whole output at once, which is too much where a page is one long text. */

/** Compressors look back 64 KiB at most, though the format would let them look back further. */
const WINDOW = 2 ** 20;
const OUTPUT = 2 ** 20;

/** Tag and offset of a copy, or tag and length of a literal. */
const LONGEST_HEAD = 5;
const LONGEST_COPY = 64;

/**
 * Awaits once a portion: elements are a few bytes long, and there are millions of them. What it gives is gone with the
 * next: memory outside of V8's heap is given back too late when there is much of it.
 */
export async function* unsnappy(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const portions = source[Symbol.asyncIterator]();
  const output = Buffer.alloc(WINDOW + OUTPUT);
  let input: Buffer = Buffer.alloc(0);
  let at = 0;
  let isOver = false;
  /** Output that was not given out yet. */
  let [from, to] = [0, 0];
  /** Bytes of the literal at hand that are still to be copied. */
  let literal = 0;

  const more = async () => {
    // The next portion may come in the memory of this one.
    const rest = Buffer.from(input.subarray(at));
    const next = await portions.next();
    isOver = next.done === true;
    input = next.done ? rest : rest.length > 0 ? Buffer.concat([rest, next.value]) : next.value;
    at = 0;
  };
  const number = (bytes: number): number => {
    if (at + bytes > input.length) throw new Error('snappy: the data end too early');
    const value = input.readUIntLE(at, bytes);
    at += bytes;
    return value;
  };
  const hasHead = () => input.length - at >= LONGEST_HEAD || (isOver && at < input.length);

  while (!hasHead() && !isOver) await more();
  let left = 0;
  for (let shift = 0, goesOn = true; goesOn; shift += 7) {
    const byte = number(1);
    left += (byte & 0x7f) * 2 ** shift;
    goesOn = byte >= 0x80;
  }

  /** Elements until input or output is used up. */
  function decode(): void {
    while (hasHead() && output.length - to >= LONGEST_COPY) {
      if (literal > 0) {
        const count = Math.min(literal, input.length - at, output.length - to);
        input.copy(output, to, at, at + count);
        [at, to, literal] = [at + count, to + count, literal - count];
        continue;
      }
      const tag = input[at++]!;
      const kind = tag & 3;
      if (kind === 0) {
        const short = tag >> 2;
        literal = (short < 60 ? short : number(short - 59)) + 1;
        left -= literal;
        continue;
      }
      const length = kind === 1 ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1;
      const offset = kind === 1 ? ((tag >> 5) << 8) + number(1) : number(kind === 2 ? 2 : 4);
      if (offset === 0 || offset > to) throw new Error(`snappy: a copy from ${offset} bytes back is not possible`);
      left -= length;
      for (let i = 0; i < length; i++, to++) output[to] = output[to - offset]!;
    }
  }

  for (;;) {
    decode();
    if (output.length - to < LONGEST_COPY) {
      yield output.subarray(from, to);
      output.copyWithin(0, to - WINDOW, to);
      [from, to] = [WINDOW, WINDOW];
    } else if (!isOver) await more();
    else break;
  }
  if (literal > 0) throw new Error('snappy: the data end too early');
  if (left !== 0) throw new Error('snappy: the data do not have the length that they say');
  if (to > from) yield output.subarray(from, to);
}
