/** Rows of data files, whatever their format: numbered from 0, only the columns asked for, only the range asked for. */
import { failure } from '../failures.js';

export interface Row {
  row: number;
  /** One for each column asked for; `undefined` where the row has none of that name. */
  values: unknown[];
}

export interface RowRange {
  from: number;
  /** Exclusive; Infinity for all. */
  to: number;
}

export interface Reader {
  count(path: string): Promise<number>;
  read(path: string, columns: string[], range: RowRange): AsyncGenerator<Row[]>;
}

/** The rows of many files that one of several equal shares takes, all rows numbered through. */
export function rangesOfSlice(counts: number[], { index, of }: { index: number; of: number }): RowRange[] {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const [first, last] = [index, index + 1].map((k) => Math.floor((k * total) / of)) as [number, number];
  let start = 0;
  return counts.map((count) => {
    const range = { from: Math.max(0, first - start), to: Math.max(0, Math.min(count, last - start)) };
    start += count;
    return range;
  });
}

/** @param row counted from 0; a person counts from 1 */
export const corrupt = (path: string, row: number | undefined, what: string) =>
  failure('DataCorrupt', `${path}${row === undefined ? '' : `, row ${row + 1}`}: ${what}`, {
    nonRetryable: true,
    details: { path, ...(row !== undefined && { row: row + 1 }) },
  });
