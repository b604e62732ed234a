/** Where records of a CSV file end, and what their fields are. The rules are those of pandas' C parser. */
import { createGrowing, type LongText } from './long-text.js';
import { openBytes } from './open-bytes.js';
import type { ByteRange } from './rows.js';

const [QUOTE, COMMA] = Buffer.from('",');
const LF = 10;

type State = 'start' | 'plain' | 'quoted' | 'closing';

/** Goes through bytes, keeping what the next ones need to know. */
function createScanner() {
  let state: State = 'start';
  return {
    isQuoted: () => state === 'quoted',
    /** Position after the next record, or -1 when it does not end here. */
    nextEnd(bytes: Buffer, from: number): number {
      for (let i = from; i < bytes.length; i++) {
        if (state === 'quoted') {
          const quote = bytes.indexOf(QUOTE!, i);
          if (quote < 0) return -1;
          [i, state] = [quote, 'closing'];
          continue;
        }
        const byte = bytes[i]!;
        if (byte === LF) {
          state = 'start';
          return i + 1;
        }
        if (byte === COMMA) state = 'start';
        else if (byte === QUOTE && state !== 'plain') state = 'quoted';
        else state = 'plain';
      }
      return -1;
    },
  };
}

export interface Records {
  /** Whole records with their ends, or a long one. */
  content: Buffer | LongText;
  bytes: number;
  isHeader: boolean;
}

/** The header, and the records that begin in a part of the file; what is before has to be gone through for its quotes. */
export async function* recordsOf(
  path: string,
  range: ByteRange,
  scratch: (name: string) => string,
): AsyncGenerator<Records, void, undefined> {
  const source = openBytes(path);
  const scanner = createScanner();
  const growing = createGrowing(() => scratch('record'));
  let isHeader = true;
  /** Where the record begins that comes next. */
  let at = 0;
  let position = 0;
  const isWanted = () => isHeader || at >= range.from;
  try {
    for await (const portion of source.portions) {
      let given = 0;
      let ready = 0;
      const give = async (end: number): Promise<Records> => {
        await growing.append(portion.subarray(given, end));
        given = end;
        const records = { content: await growing.take(), bytes: source.read(), isHeader };
        isHeader = false;
        return records;
      };
      for (let end = scanner.nextEnd(portion, 0); end >= 0; end = scanner.nextEnd(portion, end)) {
        const wanted = isWanted();
        const alone = isHeader || growing.bytes > 0;
        at = position + end;
        if (!wanted) given = end;
        else if (alone) yield await give(end);
        ready = end;
        if (!isHeader && at >= range.to) break;
      }
      if (ready > given) yield await give(ready);
      if (!isHeader && at >= range.to) return;
      if (isWanted()) await growing.append(portion.subarray(given));
      position += portion.length;
    }
    if (scanner.isQuoted()) throw new Error('the last quote is not closed');
    if (growing.bytes) yield { content: await growing.take(), bytes: source.read(), isHeader };
  } finally {
    await growing.discard();
  }
}

/** Records that begin before a position, the header and blank lines not counted. */
export async function countRecords(path: string, to: number): Promise<number> {
  const scanner = createScanner();
  let count = -1;
  let [at, position] = [0, 0];
  for await (const portion of openBytes(path).portions) {
    for (let end = scanner.nextEnd(portion, 0); end >= 0; end = scanner.nextEnd(portion, end)) {
      if (at >= to) return Math.max(0, count);
      const isBlank = /^\r?\n$/.test(portion.toString('latin1', Math.max(0, at - position), end));
      if (!isBlank) count += 1;
      at = position + end;
    }
    position += portion.length;
  }
  return Math.max(0, count + (at < position && at < to ? 1 : 0));
}

/** Fields of the records of a text; a field is `undefined` when it is empty without quotes. */
export function fieldsOf(text: string): (string | undefined)[][] {
  const records: (string | undefined)[][] = [];
  let record: (string | undefined)[] = [];
  let at = 0;
  while (at < text.length) {
    const { value, end } = fieldAt(text, at);
    record.push(value);
    at = end + 1;
    if (text[end] === ',') {
      // A comma at the very end is followed by an empty field.
      if (at < text.length) continue;
      record.push(undefined);
    }
    if (record.length > 1 || record[0] !== undefined) records.push(record);
    record = [];
  }
  return records;
}

/** The field that begins at a position, and where its comma or line end is. */
function fieldAt(text: string, from: number): { value: string | undefined; end: number } {
  let at = from;
  let quoted: string | undefined;
  if (text[at] === '"') {
    quoted = '';
    for (;;) {
      const quote = text.indexOf('"', at + 1);
      const close = quote < 0 ? text.length : quote;
      quoted += text.slice(at + 1, close);
      at = close + 1;
      if (text[at] !== '"') break;
      quoted += '"';
    }
  }
  const comma = text.indexOf(',', at);
  const line = lineEnd(text, at);
  const end = comma < 0 || comma > line ? line : comma;
  const rest = text.slice(at, end < text.length && text[end] === '\n' && text[end - 1] === '\r' ? end - 1 : end);
  const value = quoted === undefined ? rest || undefined : quoted + rest;
  return { value, end };
}

function lineEnd(text: string, from: number): number {
  const end = text.indexOf('\n', from);
  return end < 0 ? text.length : end;
}
