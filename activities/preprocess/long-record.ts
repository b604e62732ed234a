/**
 * A JSON object too long to keep in memory is long because of its texts: those go to files, and what is left is parsed
 * as any other row, with a sign in the place of each.
 */
import { reasonOf } from '../failures.js';
import { badRow, rowOfJson, type RowOfJson } from './json-rows.js';
import { createGrowing, LongText } from './long-text.js';
import type { Row } from './rows.js';
import { unescaped } from './unescape.js';

type Scratch = (name: string) => string;

const [QUOTE, BACKSLASH] = Buffer.from('"\\');
/** An object with more than this beside its long texts is no document. */
const MOST = 32 * 2 ** 20;

/** @param toRow makes the row of what is left, with signs for the long texts */
export async function rowOfLongJson(
  record: LongText,
  row: number,
  columns: string[],
  scratch: Scratch,
  toRow: RowOfJson = rowOfJson,
): Promise<Row> {
  const texts = new Map<string, LongText>();
  const discardAll = async (kept: unknown[]) => {
    for (const text of texts.values()) if (!kept.includes(text)) await text.discard();
  };
  try {
    const found = toRow(await withoutLongTexts(record, texts, scratch), row, columns);
    const values = found.values.map((value) => texts.get(value as string) ?? value);
    await discardAll(values);
    return { ...found, values };
  } catch (error) {
    await discardAll([]);
    return badRow(row, reasonOf(error));
  } finally {
    await record.discard();
  }
}

async function withoutLongTexts(record: LongText, texts: Map<string, LongText>, scratch: Scratch): Promise<Buffer> {
  const rest: Buffer[] = [];
  let size = 0;
  const keep = (bytes: Buffer) => {
    size += bytes.length;
    if (size > MOST) throw new Error(`there are more than ${MOST} bytes beside the longest texts`);
    // A copy: the portion itself must not stay.
    rest.push(Buffer.from(bytes));
  };
  const text = createGrowing(() => scratch('string'));
  let inString = false;
  let backslashes = 0;
  try {
    for await (const portion of record.portions()) {
      for (let at = 0; at < portion.length;) {
        const quote = portion.indexOf(QUOTE!, at);
        const end = quote < 0 ? portion.length : quote;
        if (!inString) {
          keep(portion.subarray(at, Math.min(end + 1, portion.length)));
          [inString, backslashes] = [quote >= 0, 0];
        } else {
          backslashes = trailing(portion, at, end, backslashes);
          const isEnd = quote >= 0 && backslashes % 2 === 0;
          await text.append(portion.subarray(at, isEnd ? end : Math.min(end + 1, portion.length)));
          if (quote >= 0) backslashes = 0;
          if (isEnd) {
            keep(await signOf(await text.take(), texts, scratch));
            keep(portion.subarray(end, end + 1));
            inString = false;
          }
        }
        at = end + 1;
      }
    }
    if (inString) throw new Error('not JSON: a text is not closed');
    return Buffer.concat(rest);
  } finally {
    await text.discard();
  }
}

/** Backslashes right before a position, those of the portions before included. */
function trailing(bytes: Buffer, from: number, to: number, before: number): number {
  let at = to;
  while (at > from && bytes[at - 1] === BACKSLASH) at -= 1;
  return to - at + (at === from ? before : 0);
}

async function signOf(raw: Buffer | LongText, texts: Map<string, LongText>, scratch: Scratch): Promise<Buffer> {
  if (!(raw instanceof LongText)) return raw;
  const growing = createGrowing(() => scratch('text'));
  try {
    for await (const part of unescaped(raw.texts())) await growing.append(Buffer.from(part));
    const text = await growing.take();
    if (!(text instanceof LongText)) return Buffer.from(JSON.stringify(text.toString('utf8')).slice(1, -1));
    // No text of a row is that long and consists of this: a row's own would be too short to be here.
    const sign = `\ue000long text ${texts.size} of ${raw.path}`;
    texts.set(sign, text);
    return Buffer.from(sign);
  } finally {
    await raw.discard();
    await growing.discard();
  }
}
