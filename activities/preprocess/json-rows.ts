/** JSON text of one record to a row: the keys asked for, the mistakes named. */
import { isUtf8 } from 'node:buffer';
import type { Row } from './rows.js';

/** NaN and the infinities, which Python writes where JSON has no word, outside of strings. */
const PYTHON_NUMBERS = /"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g;

export type RowOfJson = (bytes: Buffer, row: number, columns: string[]) => Row;

export function rowOfJson(bytes: Buffer, row: number, columns: string[]): Row {
  if (!isUtf8(bytes)) return badRow(row, 'not UTF-8');
  return rowOfText(bytes.toString('utf8'), row, columns);
}

export function rowOfText(text: string, row: number, columns: string[]): Row {
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    return badRow(row, `not JSON: ${(error as Error).message}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return badRow(row, `expected an object with ${columns.join(', ')}, got ${JSON.stringify(value).slice(0, 60)}`);
  const twice = columns.find((column) => mayBeTwice(text, column) && keysOf(text).filter((k) => k === column)[1]);
  if (twice !== undefined) return badRow(row, `the field ${twice} is there twice`);
  return { row, values: columns.map((column) => own(value, column)) };
}

/** An element that is a text by itself: Hugging Face datasets makes an array of those a column `text`. */
export function rowOfPlainText(bytes: Buffer, row: number, columns: string[]): Row {
  if (!isUtf8(bytes)) return badRow(row, 'not UTF-8');
  try {
    const text: unknown = JSON.parse(bytes.toString('utf8'));
    return { row, values: columns.map(() => text) };
  } catch (error) {
    return badRow(row, `not JSON: ${(error as Error).message}`);
  }
}

export const badRow = (row: number, problem: string): Row => ({ row, values: [], problem });

/** Not what every object inherits: a column may be called `constructor`. */
const own = (value: object, column: string): unknown =>
  Object.hasOwn(value, column) ? (value as Record<string, unknown>)[column] : undefined;

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!/NaN|Infinity/.test(text)) throw error;
    return JSON.parse(text.replace(PYTHON_NUMBERS, (found) => (found.startsWith('"') ? found : 'null')));
  }
}

/** Cheap, and never says no where it is so. */
function mayBeTwice(text: string, column: string): boolean {
  const quoted = JSON.stringify(column);
  if (text.indexOf(quoted, text.indexOf(quoted) + quoted.length) >= 0) return true;
  return text.includes('\\') && escapesOf(column).test(text);
}

const escapes = new Map<string, RegExp>();
/** Finds a character of a column's name that is written as an escape: texts have these of others mostly. */
function escapesOf(column: string): RegExp {
  const known = escapes.get(column);
  if (known) return known;
  const codes = [...new Set(column.split(''))].map((unit) => unit.charCodeAt(0).toString(16).padStart(4, '0'));
  const made = new RegExp(String.raw`\\(?:u(?:${codes.join('|')})${column.includes('/') ? '|/' : ''})`, 'i');
  escapes.set(column, made);
  return made;
}

/** What JSON calls whitespace, which does not include all that JavaScript does. */
export const isBlankJson = (text: string): boolean => /^[ \t\r\n]*$/.test(text);

/** Keys of the outermost object, of a text that is known to be one. */
function keysOf(text: string): string[] {
  const keys: string[] = [];
  let depth = 0;
  for (const { 0: token, index } of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/g)) {
    if (token === '{' || token === '[') depth += 1;
    else if (token === '}' || token === ']') depth -= 1;
    else if (depth === 1 && /^\s*:/.test(text.slice(index + token.length, index + token.length + 64)))
      keys.push(JSON.parse(token) as string);
  }
  return keys;
}
