/** A JSON object too long to keep in memory: texts asked for go to files of their own, all else is looked at and dropped. */
import { pipeline, Readable } from 'node:stream';
import { parser } from 'stream-json/parser.js';
import { reasonOf } from '../failures.js';
import { badRow } from './json-rows.js';
import { createGrowing, LongText, type Growing } from './long-text.js';
import type { Row } from './rows.js';

type Scratch = (name: string) => string;

export async function rowOfLongJson(record: LongText, row: number, columns: string[], scratch: Scratch): Promise<Row> {
  const object = createObject(columns, scratch);
  const tokens = parser.asStream({ packKeys: true, packStrings: false, packNumbers: true, streamNumbers: false });
  try {
    pipeline(Readable.from(record.texts()), tokens, () => {});
    for await (const token of tokens) await object.take(token as parser.Token);
    return { row, values: columns.map((column) => object.values.get(column)) };
  } catch (error) {
    await object.discard();
    return badRow(row, `not JSON: ${reasonOf(error)}`);
  } finally {
    tokens.destroy();
    await record.discard();
  }
}

function createObject(columns: string[], scratch: Scratch) {
  const values = new Map<string, unknown>();
  let depth = 0;
  let key: string | undefined;
  let growing: Growing | undefined;
  let half = '';
  const append = async (text: string) => {
    // Halves of a surrogate pair may come apart, and apart they have no bytes.
    const whole = half + text;
    half = /[\ud800-\udbff]$/.exec(whole)?.[0] ?? '';
    const bytes = whole.slice(0, whole.length - half.length);
    if (/\p{Surrogate}/u.test(bytes)) throw new Error(`the text in ${key} is not valid Unicode`);
    if (bytes) await growing!.append(Buffer.from(bytes));
  };
  const begin = (value: unknown) => {
    if (depth === 0 && value !== 'object') throw new Error(`expected an object with ${columns.join(', ')}`);
    if (depth !== 1 || key === undefined) return;
    if (values.has(key)) throw new Error(`the field ${key} is there twice`);
    values.set(key, value);
  };
  return {
    values,
    async take(token: parser.Token): Promise<void> {
      const { name, value } = token as { name: parser.TokenName; value?: string };
      if (name === 'keyValue') {
        if (depth === 1) key = columns.find((column) => column === value);
      } else if (name === 'startString') {
        begin('');
        if (depth === 1 && key !== undefined) growing = createGrowing(() => scratch('text'));
      } else if (name === 'stringChunk') {
        if (growing) await append(value!);
      } else if (name === 'endString') {
        if (!growing) return;
        if (half) throw new Error(`the text in ${key} is not valid Unicode`);
        const text = await growing.take();
        values.set(key!, text instanceof LongText ? text : text.toString('utf8'));
        growing = undefined;
      } else if (name === 'startObject' || name === 'startArray') {
        begin(name === 'startObject' ? 'object' : []);
        if (depth === 1 && key !== undefined) values.set(key, name === 'startObject' ? {} : []);
        depth += 1;
      } else if (name === 'endObject' || name === 'endArray') depth -= 1;
      else if (name === 'numberValue') begin(Number(value));
      else if (name === 'trueValue' || name === 'falseValue') begin(name === 'trueValue');
      else if (name === 'nullValue') begin(null);
    },
    async discard(): Promise<void> {
      await growing?.discard();
      for (const value of values.values()) if (value instanceof LongText) await value.discard();
    },
  };
}
