/** Tells rows that can be used from those that cannot, which end the run or are written down and skipped. */
import { open, rename, type FileHandle } from 'node:fs/promises';
import { syncPath } from '../atomic.js';
import { failure } from '../failures.js';
import { LONG, LongText } from './long-text.js';
import { corrupt, isText, type Row, type Text } from './rows.js';

export interface SkipOptions {
  /** Rows that may be skipped at most. */
  limit: number;
  /** Where those that were are written down, one JSON object a line. */
  path: string;
}

export interface Place {
  /** As the source calls it, and where it is. */
  file: string;
  path: string;
  /** Rows of the file before those that are read. */
  rowsBefore(): Promise<number>;
}

/** What MindSpeed-LLM encodes although it is no text: a list of texts, as one sequence. */
export const isTextList = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string');

export interface SieveOptions {
  skip?: SkipOptions | undefined;
  lists: boolean;
  /** Why a text has no ids, if so; asked where such a row can be skipped. */
  unencodable(text: Text | LongText): Promise<string | undefined>;
}

export function createSieve(keys: string[], { skip, lists, unencodable }: SieveOptions) {
  let skipped = 0;
  let report: FileHandle | undefined;
  const temporary = skip && `${skip.path}.tmp`;
  return {
    async usable(rows: Row[], place: Place): Promise<Row[]> {
      const good: Row[] = [];
      for (const row of rows) {
        const problem =
          row.problem ??
          (await problemOf(row.values, keys, lists)) ??
          (skip && (await problemOfLong(row.values, unencodable)));
        if (problem === undefined) good.push(row);
        else await refuse(row, problem, place);
      }
      return good;
    },
    skipped: () => skipped,
    async finish(): Promise<void> {
      if (!report) return;
      await report.sync();
      await report.close();
      await rename(temporary!, skip!.path);
      await syncPath(skip!.path);
    },
    close: async () => void (await report?.close().catch(() => {})),
  };

  async function refuse({ row, values }: Row, problem: string, { file, path, rowsBefore }: Place): Promise<void> {
    const number = (await rowsBefore()) + row;
    if (!skip) throw corrupt(path, number, problem);
    skipped += 1;
    if (skipped > skip.limit)
      throw failure(
        'DataCorrupt',
        `${path}, row ${number + 1}: ${problem}. More bad rows than preprocess.skipBadRows allows (${skip.limit})`,
        { nonRetryable: true, details: { path, row: number + 1 } },
      );
    report ??= await open(temporary!, 'w');
    await report.write(`${JSON.stringify({ file, row: number + 1, problem })}\n`);
    for (const value of values) if (value instanceof LongText) await value.discard();
  }
}

/** What the encoder refuses shows only when all of it is encoded, and then it is too late to leave the row out. */
async function problemOfLong(values: unknown[], unencodable: SieveOptions['unencodable']): Promise<string | undefined> {
  for (const value of values) {
    if (!(value instanceof LongText) && !(isText(value) && mostBytes(value) > LONG)) continue;
    const problem = await unencodable(value);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

const mostBytes = (text: Text): number => (typeof text === 'string' ? text.length * 3 : text.length);

async function problemOf(values: unknown[], keys: string[], lists: boolean): Promise<string | undefined> {
  for (const [column, value] of values.entries()) {
    if (value instanceof LongText) {
      if (!(await value.isUtf8())) return `the text in ${keys[column]} is not UTF-8`;
      continue;
    }
    if (lists && isTextList(value)) continue;
    if (!isText(value)) return `expected a text in ${keys[column]}, found ${nameOf(value)}`;
    // A half of a surrogate pair is no character; encoders would put U+FFFD in its place and not say so.
    if (typeof value === 'string' && !value.isWellFormed()) return `the text in ${keys[column]} is not valid Unicode`;
  }
  return undefined;
}

const nameOf = (value: unknown): string => {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
};
