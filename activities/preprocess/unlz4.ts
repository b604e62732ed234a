/** An LZ4 block in constant memory, for the reason of unsnappy.ts. */

/** A match reaches 65,535 bytes back at most. */
const WINDOW = 2 ** 16;
const OUTPUT = 2 ** 20;

/** Between blocks that may copy from one another. */
export const BLOCK_END = Buffer.alloc(0);

type State = 'token' | 'literals' | 'literal' | 'offset' | 'matches' | 'match';

/** What it gives is gone with the next. */
export async function* unlz4(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const portions = source[Symbol.asyncIterator]();
  const output = Buffer.alloc(WINDOW + OUTPUT);
  let input: Buffer = Buffer.alloc(0);
  let at = 0;
  /** Output that was not given out yet. */
  let [from, to] = [0, 0];
  let state = 'token' as State;
  let [literals, matches, offset, offsetBytes] = [0, 0, 0, 0];

  function match(): void {
    if (offset === 0 || offset > to) throw new Error(`LZ4: a copy from ${offset} bytes back is not possible`);
    const count = Math.min(matches, output.length - to);
    for (let i = 0; i < count; i++, to++) output[to] = output[to - offset]!;
    matches -= count;
    if (matches === 0) state = 'token';
  }

  function literal(): void {
    const count = Math.min(literals, input.length - at, output.length - to);
    input.copy(output, to, at, at + count);
    [at, to, literals] = [at + count, to + count, literals - count];
    if (literals === 0) state = 'offset';
  }

  /** Until input or output is used up: a sequence may be cut anywhere. */
  function decode(): void {
    while (to < output.length) {
      if (state === 'match') {
        match();
        continue;
      }
      if (at === input.length) return;
      switch (state) {
        case 'token': {
          const token = input[at++]!;
          [literals, matches, offset, offsetBytes] = [token >> 4, (token & 15) + 4, 0, 0];
          state = literals === 15 ? 'literals' : literals > 0 ? 'literal' : 'offset';
          break;
        }
        case 'literals': {
          const more = input[at++]!;
          literals += more;
          if (more < 255) state = 'literal';
          break;
        }
        case 'literal':
          literal();
          break;
        case 'offset':
          offset += input[at++]! << (8 * offsetBytes++);
          if (offsetBytes === 2) state = matches === 19 ? 'matches' : 'match';
          break;
        case 'matches': {
          const more = input[at++]!;
          matches += more;
          if (more < 255) state = 'match';
        }
      }
    }
  }

  /** The last sequence has no match. */
  function endBlock(): void {
    if (state !== 'offset' || offsetBytes > 0) throw new Error('LZ4: the data end too early');
    state = 'token';
  }

  let isBetween = false;
  for (;;) {
    decode();
    if (to === output.length) {
      yield output.subarray(from, to);
      output.copyWithin(0, to - WINDOW, to);
      [from, to] = [WINDOW, WINDOW];
      continue;
    }
    const next = await portions.next();
    if (next.done) break;
    isBetween = next.value === BLOCK_END;
    if (isBetween) endBlock();
    else [input, at] = [next.value, 0];
  }
  if (!isBetween) endBlock();
  if (to > from) yield output.subarray(from, to);
}
