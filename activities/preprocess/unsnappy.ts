/** Snappy in constant memory: libraries want the whole output at once, which is too much where a page is one long text. */

/** Compressors look back 64 KiB at most, though the format would let them look back further. */
const WINDOW = 2 ** 20;
const OUTPUT = 2 ** 20;

export async function* unsnappy(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let input: Buffer = Buffer.alloc(0);
  let at = 0;
  const portions = source[Symbol.asyncIterator]();
  /** Makes sure of so many bytes from `at` on, or tells that the input is over. */
  const have = async (count: number): Promise<boolean> => {
    while (input.length - at < count) {
      const next = await portions.next();
      if (next.done) return false;
      input = at < input.length ? Buffer.concat([input.subarray(at), next.value]) : next.value;
      at = 0;
    }
    return true;
  };
  const need = async (count: number) => {
    if (!(await have(count))) throw new Error('snappy: the data end too early');
  };
  const number = async (bytes: number): Promise<number> => {
    await need(bytes);
    const value = input.readUIntLE(at, bytes);
    at += bytes;
    return value;
  };

  let left = 0;
  for (let shift = 0, more = true; more; shift += 7) {
    const byte = await number(1);
    left += (byte & 0x7f) * 2 ** shift;
    more = byte >= 0x80;
  }
  const output = Buffer.alloc(WINDOW + OUTPUT);
  let [from, to] = [0, 0];
  /** Room for so many bytes; what was given out before the window is forgotten. */
  function* room(count: number): Generator<Buffer> {
    if (to + count <= output.length) return;
    if (to > from) yield Buffer.from(output.subarray(from, to));
    const kept = Math.min(WINDOW, to);
    output.copyWithin(0, to - kept, to);
    [from, to] = [kept, kept];
  }
  while (await have(1)) {
    const tag = input[at++]!;
    const kind = tag & 3;
    if (kind === 0) {
      const short = tag >> 2;
      let length = (short < 60 ? short : await number(short - 59)) + 1;
      left -= length;
      while (length > 0) {
        await need(1);
        const count = Math.min(length, input.length - at, OUTPUT);
        yield* room(count);
        input.copy(output, to, at, at + count);
        [at, to, length] = [at + count, to + count, length - count];
      }
      continue;
    }
    const length = kind === 1 ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1;
    const offset = kind === 1 ? ((tag >> 5) << 8) + (await number(1)) : await number(kind === 2 ? 2 : 4);
    yield* room(length);
    if (offset === 0 || offset > to) throw new Error(`snappy: a copy from ${offset} bytes back is not possible`);
    left -= length;
    for (let i = 0; i < length; i++, to++) output[to] = output[to - offset]!;
  }
  if (left !== 0) throw new Error('snappy: the data do not have the length that they say');
  if (to > from) yield output.subarray(from, to);
}
