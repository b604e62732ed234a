/** Files of lines: JSON objects, or plain text. A row is a line, so that its number is what an editor shows. */
import { isUtf8 } from 'node:buffer';
import { failure } from '../failures.js';
import { badRow, isBlankJson, rowOfJson, type RowOfJson, rowOfText } from './json-rows.js';
import { rowOfLongJson } from './long-record.js';
import { LongText } from './long-text.js';
import type { Reader, ReadOptions, Row } from './rows.js';
import { countLines, wholeLines } from './whole-lines.js';

const BYTE_ORDER_MARK = '\ufeff';

export const jsonLinesReader: Reader = {
  async *read({ path, columns, range, scratch }) {
    let next = 0;
    for await (const { content, bytes } of wholeLines({ path, range, scratch, carriageReturns: false })) {
      if (content instanceof LongText) {
        const isFirst = next === 0 && range.from === 0;
        const row = await rowOfLongJson(content, next, columns, scratch, isFirst ? rowAfterMark : rowOfJson);
        yield { rows: [row], bytes, numbers: next + 1 };
        next += 1;
        continue;
      }
      const lines = linesIn(content, '\n');
      // Python's JSON reader takes a byte order mark off, its text reader does not.
      if (next === 0 && range.from === 0 && lines[0]?.startsWith(BYTE_ORDER_MARK)) lines[0] = lines[0].slice(1);
      const first = next;
      const rows = lines.flatMap((line, index): Row[] => {
        if (line === undefined) return [badRow(first + index, 'not UTF-8')];
        if (isBlankJson(line)) return [];
        return [rowOfText(line, first + index, columns)];
      });
      next += lines.length;
      yield { rows, bytes, numbers: next };
    }
  },
  rowsBefore: (path, from) => countLines(path, from, false),
};

const rowAfterMark: RowOfJson = (bytes, ...of) => {
  const mark = Buffer.from(BYTE_ORDER_MARK);
  return rowOfJson(bytes.subarray(0, mark.length).equals(mark) ? bytes.subarray(mark.length) : bytes, ...of);
};

export const textReader: Reader = {
  async *read({ path, columns, range, scratch }: ReadOptions) {
    if (columns.some((column) => column !== 'text'))
      throw failure('InvalidInput', `${path}: a text file has the one column text, not ${columns.join(', ')}`, {
        nonRetryable: true,
      });
    const rowOf = (row: number, text: unknown): Row => ({ row, values: columns.map(() => text) });
    let next = 0;
    for await (const { content, bytes } of wholeLines({ path, range, scratch, carriageReturns: true })) {
      const first = next;
      const lines = content instanceof LongText ? [content] : linesIn(content, /\r\n|\n|\r/);
      next += lines.length;
      yield {
        rows: lines.map((line, index) =>
          line === undefined ? badRow(first + index, 'not UTF-8') : rowOf(first + index, line),
        ),
        bytes,
      };
    }
  },
  rowsBefore: (path, from) => countLines(path, from, true),
};

/** `undefined` for a line that is not UTF-8. */
function linesIn(bytes: Buffer, separator: string | RegExp): (string | undefined)[] {
  // Latin-1 keeps every byte, so that lines can be told apart where others are not UTF-8.
  const isText = isUtf8(bytes);
  const lines: (string | undefined)[] = bytes.toString(isText ? 'utf8' : 'latin1').split(separator);
  if (lines.at(-1) === '') lines.pop();
  return isText ? lines : lines.map((line) => decoded(Buffer.from(line!, 'latin1')));
}

const decoded = (bytes: Buffer): string | undefined => (isUtf8(bytes) ? bytes.toString('utf8') : undefined);
