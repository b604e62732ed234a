/** The elements of one JSON array, which may be larger than memory: found by counting brackets, parsed by others. */
import { createGrowing, type LongText } from './long-text.js';
import { openBytes } from './open-bytes.js';
import type { ByteRange } from './rows.js';

export interface Element {
  content: Buffer | LongText;
  /** Counted from the first of the whole array. */
  index: number;
}

const [SPACE, QUOTE, BACKSLASH, COMMA, OPEN, CLOSE, OPEN_OBJECT, CLOSE_OBJECT] = Buffer.from(' "\\,[]{}');
const isSpace = (byte: number): boolean => byte === SPACE || (byte >= 9 && byte <= 13);

/** Elements that begin in a part of the file; returns how many began before its end. */
export async function* elementsOfArray(
  path: string,
  range: ByteRange,
  scratch: (name: string) => string,
): AsyncGenerator<{ elements: Element[]; bytes: number }, number, undefined> {
  const source = openBytes(path);
  const growing = createGrowing(() => scratch('element'));
  let state = 'before' as 'before' | 'expecting' | 'inside' | 'between' | 'after';
  let [depth, inString, escaped] = [0, false, false];
  let [index, at, wanted] = [0, 0, false];
  let isFirst = true;
  try {
    for await (const portion of source.portions) {
      const elements: Element[] = [];
      let start = 0;
      const take = async (end: number) => {
        if (wanted) {
          await growing.append(portion.subarray(start, end));
          elements.push({ content: await growing.take(), index });
        }
        index += 1;
      };
      let i = at === 0 && portion.indexOf('\ufeff') === 0 ? 3 : 0;
      for (; i < portion.length; i++) {
        const byte = portion[i]!;
        if (inString) {
          if (escaped) escaped = false;
          else if (byte === BACKSLASH) escaped = true;
          else if (byte === QUOTE) {
            inString = false;
            if (depth === 0) {
              await take(i + 1);
              state = 'between';
            }
          }
          continue;
        }
        if (state === 'inside') {
          if (byte === QUOTE) inString = true;
          else if (byte === OPEN || byte === OPEN_OBJECT) depth += 1;
          else if (depth > 0 && (byte === CLOSE || byte === CLOSE_OBJECT)) {
            depth -= 1;
            if (depth === 0) {
              await take(i + 1);
              state = 'between';
            }
          } else if (depth === 0 && (byte === COMMA || byte === CLOSE || isSpace(byte))) {
            await take(i);
            state = byte === COMMA ? 'expecting' : byte === CLOSE ? 'after' : 'between';
            isFirst = false;
          }
          continue;
        }
        if (isSpace(byte)) continue;
        if (state === 'before' && byte === OPEN) state = 'expecting';
        else if (state === 'expecting' && byte === CLOSE && isFirst) state = 'after';
        else if (state === 'between' && byte === COMMA) state = 'expecting';
        else if (state === 'between' && byte === CLOSE) state = 'after';
        else if (state === 'expecting' && byte !== COMMA && byte !== CLOSE) {
          [state, start, isFirst] = ['inside', i, false];
          wanted = at + i >= range.from && at + i < range.to;
          if (at + i >= range.to) {
            if (elements.length) yield { elements, bytes: source.read() };
            return index;
          }
          inString = byte === QUOTE;
          depth = byte === OPEN || byte === OPEN_OBJECT ? 1 : 0;
        } else
          throw new Error(
            `after ${index} elements of the array, ${JSON.stringify(String.fromCharCode(byte))} is not expected`,
          );
      }
      if (state === 'inside' && wanted) await growing.append(portion.subarray(start));
      at += portion.length;
      if (elements.length) yield { elements, bytes: source.read() };
    }
    if (state !== 'after') throw new Error(`the array is not closed: after ${index} elements the file ends`);
    return index;
  } finally {
    await growing.discard();
  }
}
