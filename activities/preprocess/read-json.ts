/** `.json` and `.jsonl`: lines of objects, or one array of them. */
import { elementsOfArray } from './json-elements.js';
import { type RowOfJson, rowOfJson, rowOfPlainText } from './json-rows.js';
import { rowOfLongJson } from './long-record.js';
import { LongText } from './long-text.js';
import { openBytes } from './open-bytes.js';
import { jsonLinesReader } from './read-lines.js';
import type { Reader, ReadOptions, Row } from './rows.js';

export const jsonReader: Reader = {
  async *read(options) {
    if (!(await isArray(options.path))) {
      yield* jsonLinesReader.read(options);
      return;
    }
    const { path, range, scratch } = options;
    let first: number | undefined;
    for await (const { elements, bytes } of elementsOfArray(path, range, scratch)) {
      first ??= elements[0]!.index;
      const rows: Row[] = [];
      for (const { content, index } of elements) rows.push(await rowOfElement(content, index - first, options));
      yield { rows, bytes };
    }
  },

  async rowsBefore(path, from) {
    if (!(await isArray(path))) return jsonLinesReader.rowsBefore(path, from);
    const nothing = elementsOfArray(path, { from, to: from }, unused);
    for (;;) {
      const next = await nothing.next();
      if (next.done) return next.value;
    }
  },
};

const unused = (): string => {
  throw new Error('nothing is kept of what is only counted');
};

const [QUOTE] = Buffer.from('"');

async function rowOfElement(content: Buffer | LongText, row: number, options: ReadOptions): Promise<Row> {
  const { columns, scratch, compat } = options;
  const mayBeText = compat && columns.every((column) => column === 'text');
  const toRow: RowOfJson = (bytes, ...of) =>
    (mayBeText && bytes[0] === QUOTE ? rowOfPlainText : rowOfJson)(bytes, ...of);
  return content instanceof LongText
    ? rowOfLongJson(content, row, columns, scratch, toRow)
    : toRow(content, row, columns);
}

async function isArray(path: string): Promise<boolean> {
  for await (const portion of openBytes(path).portions) {
    const text = portion
      .toString('latin1')
      .replace(/^\u00ef\u00bb\u00bf/, '')
      .trimStart();
    if (text) return text.startsWith('[');
  }
  return false;
}
