/** What only the whole dataset shows to be wrong. */
import { failure } from '../failures.js';
import type { Counts } from './counts.js';

export interface WholeOptions {
  compat: boolean;
  skipBadRows: number;
  /** For the message. */
  what: string;
}

export function refuseWhole(
  { rows, skipped, onlyDates, onlyNumbers, onlyBooleans, keys }: Counts,
  { compat, skipBadRows, what }: WholeOptions,
): void {
  if (rows === 0) throw refused(`${what}: there is no row in it`);
  if (skipped > skipBadRows)
    throw refused(`${what}: ${skipped} bad rows, which is more than preprocess.skipBadRows allows (${skipBadRows})`);
  const taken = [
    [onlyDates, 'looks like a date, which MindSpeed-LLM reads as a time'],
    [onlyNumbers, 'is a number, which MindSpeed-LLM reads as one'],
    [onlyBooleans, 'is true or false, which MindSpeed-LLM reads as a truth value'],
  ] as const;
  for (const [[key], as] of taken)
    if (compat && key !== undefined)
      throw refused(`${what}, field ${key}, all rows: every text ${as} and cannot encode`);
  const empty = Object.entries(keys).find(([, count]) => count.empty + skipped === rows);
  // The real program writes an empty pair, which fails when training begins.
  if (!compat && empty) throw refused(`${what}, field ${empty[0]}: not one of ${rows} rows has a text`);
}

const refused = (message: string) => failure('DataCorrupt', message, { nonRetryable: true });
