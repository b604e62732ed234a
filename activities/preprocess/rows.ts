/** Rows of data files, whatever their format: only the columns asked for, only the part of the file asked for. */
import { failure } from '../failures.js';

/** A text in memory; as UTF-8 (which its reader has made sure of), no string need ever be made of it. */
export type Text = string | Uint8Array;

export const isText = (value: unknown): value is Text => typeof value === 'string' || value instanceof Uint8Array;

export const isEmptyText = (value: unknown): boolean => isText(value) && value.length === 0;

export const stringOf = (text: Text): string =>
  typeof text === 'string' ? text : Buffer.from(text.buffer, text.byteOffset, text.length).toString('utf8');

export interface Row {
  /** Counted from 0, from the first row of the part that is read. */
  row: number;
  /** One for each column asked for: a `Text`, a `LongText`, or what is no text; `undefined` where there is none. */
  values: unknown[];
  /** Why this row, and no other, cannot be used. */
  problem?: string;
}

export interface RowBatch {
  rows: Row[];
  /** Where in the file its reader is after these rows. */
  bytes: number;
  /** Numbers of rows that have been given so far, where some are of no row: blank lines. */
  numbers?: number;
}

/**
 * A part of a file. A row belongs to the part in which its first byte is; where a format has no such thing (parquet,
 * arrow), rows count as spread evenly over the file. So parts that meet share no row and lose none.
 */
export interface ByteRange {
  from: number;
  /** Exclusive; Infinity for the end. */
  to: number;
}

export interface ReadOptions {
  path: string;
  columns: string[];
  range: ByteRange;
  /** Path for a temporary file of that name, for what is too long to keep in memory. */
  scratch(name: string): string;
  /** Read as MindSpeed-LLM does, where that matters. */
  compat: boolean;
}

export interface Reader {
  read(options: ReadOptions): AsyncGenerator<RowBatch>;
  /** Rows before a part, which only messages need to know. */
  rowsBefore(path: string, from: number): Promise<number>;
}

export const WHOLE: ByteRange = { from: 0, to: Infinity };

/** The parts of files that one of several equal shares takes, all bytes numbered through. */
export function rangesOfSlice(sizes: number[], { index, of }: { index: number; of: number }): ByteRange[] {
  if (of === 1) return sizes.map(() => WHOLE);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const [first, last] = [index, index + 1].map((k) => Math.floor((k * total) / of)) as [number, number];
  let start = 0;
  return sizes.map((size) => {
    const range = { from: Math.max(0, first - start), to: Math.max(0, Math.min(size, last - start)) };
    start += size;
    return range;
  });
}

/** Rows of a part of a file of which only the number of rows is known, as evenly spread. */
export function rowsOfRange(rows: number, size: number, { from, to }: ByteRange): { from: number; to: number } {
  const at = (byte: number) =>
    byte >= size ? rows : Number((BigInt(byte) * BigInt(rows) + BigInt(size) - 1n) / BigInt(Math.max(1, size)));
  return { from: at(from), to: at(to) };
}

/** Where rows of such a file end. */
export const endOfRows = (row: number, rows: number, size: number): number => Math.ceil((row / rows) * size);

/** @param row counted from 0; a person counts from 1 */
export const corrupt = (path: string, row: number | undefined, what: string) =>
  failure('DataCorrupt', `${path}${row === undefined ? '' : `, row ${row + 1}`}: ${what}`, {
    nonRetryable: true,
    details: { path, ...(row !== undefined && { row: row + 1 }) },
  });

export const noColumn = (path: string, column: string, present: readonly string[]) =>
  failure('InvalidInput', `${path}: there is no column ${column}, only ${present.join(', ')}`, { nonRetryable: true });
