/** A CSV record too long to keep in memory: fields asked for go to files of their own. */
import { badRow } from './json-rows.js';
import type { LongText } from './long-text.js';
import { createGrowing } from './long-text.js';
import type { Row } from './rows.js';

const [QUOTE, COMMA, CR, LF] = Buffer.from('",\r\n');

export interface LongCsv {
  record: LongText;
  row: number;
  /** How many there may be. */
  fields: FieldCount;
  /** Those that are asked for. */
  places: number[];
  scratch(name: string): string;
}

export interface FieldCount {
  most: number;
  least: number;
}

/** Why a record of so many fields cannot be used. */
export function problemOf(count: number, { most, least }: FieldCount): string | undefined {
  if (count > most) return `${count} fields, where the header has ${most}`;
  if (count < least) return `cut off: ${count} of ${least} fields, and no end of the line`;
  return undefined;
}

/** Short fields are strings, as they are of a short record. */
export async function rowOfLongCsv({ record, row, fields: allowed, places, scratch }: LongCsv): Promise<Row> {
  const fields = new Map<number, Buffer | LongText | undefined>();
  try {
    if (!(await record.isUtf8())) return badRow(row, 'not UTF-8');
    const problem = problemOf(await readFields(record, { places, scratch, fields }), allowed);
    if (problem !== undefined) {
      for (const field of fields.values()) if (field && !Buffer.isBuffer(field)) await field.discard();
      return badRow(row, problem);
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
