/** The lines of a part of a file: many short ones together, a long one by itself. */
import { createGrowing, type LongText } from './long-text.js';
import { openBytes } from './open-bytes.js';
import type { ByteRange } from './rows.js';

const LF = 10;
const CR = 13;

export interface LinesOptions {
  path: string;
  range: ByteRange;
  scratch(name: string): string;
  /** A carriage return, alone or before a line feed, ends a line as well. */
  carriageReturns: boolean;
}

export interface Lines {
  /** Whole lines with their ends (the last of a file need not have one), or a long one without. */
  content: Buffer | LongText;
  /** Bytes of the file that were read. */
  bytes: number;
}

export async function* wholeLines(options: LinesOptions): AsyncGenerator<Lines, void, undefined> {
  const { path, range, scratch, carriageReturns } = options;
  // The byte before decides whether a line begins here.
  const start = Math.max(0, range.from - 1);
  const source = openBytes(path, start);
  const line = createGrowing(() => scratch('line'));
  let skipping = range.from > 0;
  let held: Buffer = Buffer.alloc(0);
  /** Where the line begins that is next to be given out. */
  let at = start;
  try {
    for await (const portion of source.portions) {
      let bytes = held.length ? Buffer.concat([held, portion]) : portion;
      // A carriage return at the end may be half of a line end.
      const whole = carriageReturns && bytes.at(-1) === CR ? bytes.length - 1 : bytes.length;
      [held, bytes] = [Buffer.from(bytes.subarray(whole)), bytes.subarray(0, whole)];
      if (skipping) {
        const end = firstEnd(bytes, 0, carriageReturns);
        at += end?.after ?? bytes.length;
        if (!end) continue;
        skipping = false;
        bytes = bytes.subarray(end.after);
      }
      if (at >= range.to) return;
      const end = firstEnd(bytes, 0, carriageReturns);
      if (!end) {
        await line.append(bytes);
        continue;
      }
      if (line.bytes) {
        at += line.bytes + end.after;
        await line.append(bytes.subarray(0, end.before));
        const content = await line.take();
        yield { content: Buffer.isBuffer(content) ? withEnd(content) : content, bytes: source.read() };
        bytes = bytes.subarray(end.after);
        if (at >= range.to) return;
      }
      let last = lastEnd(bytes, carriageReturns);
      if (at + last > range.to) last = firstEnd(bytes, range.to - at - 1, carriageReturns)!.after;
      if (last > 0) yield { content: bytes.subarray(0, last), bytes: source.read() };
      at += last;
      if (at >= range.to) return;
      if (last < bytes.length) await line.append(bytes.subarray(last));
    }
    if (skipping || at >= range.to) return;
    if (held.length) {
      const content = line.bytes ? await line.take() : held;
      yield { content: Buffer.isBuffer(content) ? withEnd(content) : content, bytes: source.read() };
    } else if (line.bytes) yield { content: await line.take(), bytes: source.read() };
  } finally {
    await line.discard();
  }
}

const withEnd = (line: Buffer): Buffer => Buffer.concat([line, Buffer.of(LF)]);

/** Where the first line end from `from` on begins and is over. */
function firstEnd(bytes: Buffer, from: number, carriageReturns: boolean) {
  const lf = bytes.indexOf(LF, from);
  const cr = carriageReturns ? bytes.subarray(0, lf < 0 ? bytes.length : lf).indexOf(CR, from) : -1;
  if (cr >= 0) return { before: cr, after: bytes[cr + 1] === LF ? cr + 2 : cr + 1 };
  return lf < 0 ? undefined : { before: lf, after: lf + 1 };
}

const lastEnd = (bytes: Buffer, carriageReturns: boolean): number =>
  Math.max(bytes.lastIndexOf(LF), carriageReturns ? bytes.lastIndexOf(CR) : -1) + 1;

/** Lines that begin before a position. */
export async function countLines(path: string, to: number, carriageReturns: boolean): Promise<number> {
  if (to <= 0) return 0;
  let count = 1;
  let at = 0;
  let before: number | undefined;
  for await (const portion of openBytes(path).portions) {
    for (const byte of portion) {
      if (at === to) return count;
      if (before === LF || (carriageReturns && before === CR && byte !== LF)) count += 1;
      before = byte;
      at += 1;
    }
  }
  return count;
}
