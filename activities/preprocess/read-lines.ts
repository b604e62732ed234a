/** Files of lines: JSON objects, or plain text. A row is a line, so that its number is what an editor shows. */
import { createReadStream } from 'node:fs';
import { corrupt, type Reader, type Row, type RowRange } from './rows.js';

interface Lines {
  separator: RegExp | string;
  /** Python's JSON reader takes a byte order mark off, its text reader does not. */
  ignoreBOM: boolean;
}

const JSON_LINES: Lines = { separator: '\n', ignoreBOM: false };
const TEXT: Lines = { separator: /\r\n|\n|\r/, ignoreBOM: true };

export const jsonLinesReader: Reader = {
  count: (path) => countLines(path, JSON_LINES),
  async *read(path, columns, range) {
    for await (const { first, lines } of linesOf(path, JSON_LINES, range))
      yield lines.flatMap((line, index): Row[] => {
        if (line.trim() === '') return [];
        return [rowOf(parse(path, first + index, line), path, first + index, columns)];
      });
  },
};

export const textReader: Reader = {
  count: (path) => countLines(path, TEXT),
  async *read(path, columns, range) {
    if (columns.join() !== 'text')
      throw corrupt(path, undefined, `a text file has the one column text, not ${columns.join(', ')}`);
    for await (const { first, lines } of linesOf(path, TEXT, range))
      yield lines.map((line, index) => ({ row: first + index, values: [line] }));
  },
};

export function rowOf(value: unknown, path: string, row: number, columns: string[]): Row {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw corrupt(
      path,
      row,
      `expected an object with ${columns.join(', ')}, got ${JSON.stringify(value).slice(0, 60)}`,
    );
  return { row, values: columns.map((column) => (value as Record<string, unknown>)[column]) };
}

function parse(path: string, row: number, line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    throw corrupt(path, row, `not JSON: ${(error as Error).message}`);
  }
}

async function countLines(path: string, lines: Lines): Promise<number> {
  let count = 0;
  for await (const part of linesOf(path, lines, { from: 0, to: Infinity })) count += part.lines.length;
  return count;
}

async function* linesOf(path: string, { separator, ignoreBOM }: Lines, { from, to }: RowRange) {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM });
  let first = 0;
  let rest = '';
  const decode = (bytes?: Buffer): string => {
    try {
      return decoder.decode(bytes, { stream: bytes !== undefined });
    } catch {
      throw corrupt(path, first, 'not UTF-8 (at this row or up to 1 MiB after it)');
    }
  };
  const take = (lines: string[]) => {
    const begin = first;
    first += lines.length;
    const part = lines.slice(Math.max(0, from - begin), Math.max(0, to - begin));
    return { first: Math.max(begin, from), lines: part };
  };
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) {
    rest += decode(chunk as Buffer);
    // A carriage return at the end may be half of a line end.
    const held = separator !== '\n' && rest.endsWith('\r') ? 1 : 0;
    const lines = rest.slice(0, rest.length - held).split(separator);
    rest = (lines.pop() ?? '') + rest.slice(rest.length - held);
    const part = take(lines);
    if (part.lines.length) yield part;
    if (first >= to) return;
  }
  rest += decode();
  const last = rest.split(separator);
  if (last.at(-1) === '') last.pop();
  const part = take(last);
  if (part.lines.length) yield part;
}
