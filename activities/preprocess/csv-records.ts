/** Where records of a CSV file end, and what their fields are. The rules are those of pandas' C parser. */
import { createGrowing, type LongText } from './long-text.js';
import { openBytes } from './open-bytes.js';
import type { ByteRange } from './rows.js';

const MARK = Buffer.from('\ufeff');
const [QUOTE, COMMA, SPACE, TAB, CR, LF] = Buffer.from('", \t\r\n');

/** `line` and `blank`: nothing so far, or spaces and tabs only; `cr` and `blank cr`: what comes next may belong to the line's end. */
type State = 'line' | 'blank' | 'blank cr' | 'start' | 'plain' | 'quoted' | 'closing' | 'cr';

/** Goes through bytes, keeping what the next ones need to know. */
function createScanner() {
  let state: State = 'line';
  let wasBlank = false;
  const isBlank = () => state === 'line' || state === 'blank' || state === 'blank cr';
  const over = (end: number): number => {
    wasBlank = isBlank();
    state = 'line';
    return end;
  };
  return {
    isQuoted: () => state === 'quoted',
    /** Whether what was read last ends a line. */
    isEnded: () => state === 'cr' || state === 'line',
    /** Whether there is nothing to be read in the line at hand, or in the one that ended last. */
    isBlank,
    wasBlank: () => wasBlank,
    /** Position after the next record or blank line, or -1 when it does not end here. */
    nextEnd(bytes: Buffer, from: number): number {
      for (let i = from; i < bytes.length; i++) {
        if (state === 'quoted') {
          const quote = bytes.indexOf(QUOTE!, i);
          if (quote < 0) return -1;
          [i, state] = [quote, 'closing'];
          continue;
        }
        const byte = bytes[i]!;
        if (state === 'cr') return over(byte === LF ? i + 1 : i);
        // After a blank line pandas takes the comma for a part of its end.
        if (state === 'blank cr') return over(byte === LF || byte === COMMA ? i + 1 : i);
        if (byte === LF) return over(i + 1);
        if (byte === CR) state = isBlank() ? 'blank cr' : 'cr';
        else if (byte === COMMA) state = 'start';
        else if (byte === QUOTE && state !== 'plain' && state !== 'blank') state = 'quoted';
        else if ((byte === SPACE || byte === TAB) && isBlank()) state = 'blank';
        else state = 'plain';
      }
      return -1;
    },
  };
}

export interface Records {
  /** Whole records with their ends and blank lines between them, or a long one. */
  content: Buffer | LongText;
  bytes: number;
  isHeader: boolean;
  /** Not for the last one of a file that has no end of its line. */
  isEnded: boolean;
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
      let given = position === 0 ? markLength(portion) : 0;
      let ready = given;
      const give = async (end: number): Promise<Records> => {
        await growing.append(portion.subarray(given, end));
        given = end;
        const records = { content: await growing.take(), bytes: source.read(), isHeader, isEnded: true };
        isHeader = false;
        return records;
      };
      for (let end = scanner.nextEnd(portion, given); end >= 0; end = scanner.nextEnd(portion, end)) {
        const wanted = isWanted();
        const alone = isHeader || growing.bytes > 0;
        at = position + end;
        if (!wanted) given = end;
        else if (alone && scanner.wasBlank()) {
          await growing.discard();
          given = end;
        } else if (alone) yield await give(end);
        ready = end;
        if (!isHeader && at >= range.to) break;
      }
      if (ready > given) yield await give(ready);
      if (!isHeader && at >= range.to) return;
      if (isWanted()) await growing.append(portion.subarray(given));
      position += portion.length;
    }
    if (scanner.isQuoted()) throw new Error('the last quote is not closed');
    if (growing.bytes && !scanner.isBlank())
      yield { content: await growing.take(), bytes: source.read(), isHeader, isEnded: scanner.isEnded() };
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
    const from = position === 0 ? markLength(portion) : 0;
    for (let end = scanner.nextEnd(portion, from); end >= 0; end = scanner.nextEnd(portion, end)) {
      if (at >= to) return Math.max(0, count);
      if (!scanner.wasBlank()) count += 1;
      at = position + end;
    }
    position += portion.length;
  }
  return Math.max(0, count + (at < to && !scanner.isBlank() ? 1 : 0));
}

/** Of a byte order mark at the beginning of a file, which is no part of the first field. */
const markLength = (portion: Buffer): number => (portion.subarray(0, 3).equals(MARK) ? MARK.length : 0);

/** Fields of the records of a text; a field is `undefined` when it is empty without quotes. */
export function fieldsOf(text: string): (string | undefined)[][] {
  const records: (string | undefined)[][] = [];
  for (let at = afterBlankLines(text, 0); at < text.length; at = afterBlankLines(text, at)) {
    const record: (string | undefined)[] = [];
    for (let goesOn = true; goesOn;) {
      const { value, end } = fieldAt(text, at);
      record.push(value);
      goesOn = text[end] === ',';
      at = text[end] === '\r' && text[end + 1] === '\n' ? end + 2 : end + 1;
    }
    records.push(record);
  }
  return records;
}

/** The position after lines of nothing but spaces and tabs. */
function afterBlankLines(text: string, from: number): number {
  for (let [start, at] = [from, from]; ; start = at) {
    while (text[at] === ' ' || text[at] === '\t') at += 1;
    if (at >= text.length) return at;
    const end = text[at++];
    if (end === '\r' && (text[at] === '\n' || text[at] === ',')) at += 1;
    else if (end !== '\r' && end !== '\n') return start;
  }
}

const UNQUOTED = /[^,\r\n]*/y;

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
  UNQUOTED.lastIndex = at;
  const [rest] = UNQUOTED.exec(text) ?? [''];
  return { value: quoted === undefined ? rest || undefined : quoted + rest, end: at + rest.length };
}
