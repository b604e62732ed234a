/** A CSV record too long to keep in memory: fields asked for go to files of their own. */
import { badRow } from './json-rows.js';
import type { LongText } from './long-text.js';
import { createGrowing } from './long-text.js';
import type { Row } from './rows.js';

const [QUOTE, COMMA, CR, LF] = Buffer.from('",\r\n');

export interface LongCsv {
  record: LongText;
  row: number;
  /** Number of fields that there may be, and those that are asked for. */
  width: number;
  places: number[];
  scratch(name: string): string;
}

/** Short fields are strings, as they are of a short record. */
export async function rowOfLongCsv({ record, row, width, places, scratch }: LongCsv): Promise<Row> {
  const fields = new Map<number, Buffer | LongText | undefined>();
  try {
    if (!(await record.isUtf8())) return badRow(row, 'not UTF-8');
    const count = await readFields(record, { places, scratch, fields });
    if (count > width) {
      for (const field of fields.values()) if (field && !Buffer.isBuffer(field)) await field.discard();
      return badRow(row, `${count} fields, where the header has ${width}`);
    }
  } finally {
    await record.discard();
  }
  const values = places.map((at) => {
    const value = fields.get(at);
    return Buffer.isBuffer(value) ? value.toString('utf8') : value;
  });
  return { row, values };
}

interface Fields extends Pick<LongCsv, 'places' | 'scratch'> {
  /** Takes those that are asked for. */
  fields: Map<number, Buffer | LongText | undefined>;
}

/** Returns how many there are. The record's own end is the only one outside of quotes. */
async function readFields(record: LongText, { places, scratch, fields }: Fields): Promise<number> {
  const field = createGrowing(() => scratch('field'));
  let place = 0;
  let state: 'start' | 'plain' | 'quoted' | 'closing' = 'start';
  let wasQuoted = false;
  const endField = async () => {
    if (places.includes(place)) fields.set(place, field.bytes || wasQuoted ? await field.take() : undefined);
    [place, state, wasQuoted] = [place + 1, 'start', false];
  };
  for await (const portion of record.portions()) {
    let from = 0;
    const keep = async (to: number) => {
      if (to > from && places.includes(place)) await field.append(portion.subarray(from, to));
    };
    for (let i = 0; i < portion.length; i++) {
      const byte = portion[i]!;
      if (state === 'quoted') {
        const quote = portion.indexOf(QUOTE!, i);
        if (quote < 0) break;
        await keep(quote);
        [i, from, state] = [quote, quote + 1, 'closing'];
      } else if (byte === QUOTE && state === 'closing') [from, state] = [i, 'quoted'];
      else if (byte === QUOTE && state === 'start') [from, state, wasQuoted] = [i + 1, 'quoted', true];
      else if (byte === COMMA || byte === CR || byte === LF) {
        await keep(i);
        from = i + 1;
        if (byte === COMMA) await endField();
      } else state = 'plain';
    }
    await keep(portion.length);
  }
  await endField();
  return place;
}
