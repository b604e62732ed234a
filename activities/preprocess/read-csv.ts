/** CSV with a header line. A field that is empty without quotes is no value, as it is for pandas. */
import { isUtf8 } from 'node:buffer';
import { countRecords, fieldsOf, recordsOf } from './csv-records.js';
import { badRow } from './json-rows.js';
import { LongText } from './long-text.js';
import { problemOf, rowOfLongCsv } from './long-csv.js';
import { corrupt, noColumn, type Reader, type Row } from './rows.js';

/** What pandas reads as no value at all, in quotes as well. */
const MISSING = new Set(
  '#N/A,#N/A N/A,#NA,-1.#IND,-1.#QNAN,-NaN,-nan,1.#IND,1.#QNAN,<NA>,N/A,NA,NULL,NaN,None,n/a,nan,null'.split(','),
);

export const csvReader: Reader = {
  async *read({ path, columns, range, scratch, compat }) {
    let header: string[] = [];
    let places: number[] = [];
    let next = 0;
    /** pandas takes what is missing for nothing, at the end of a file that was cut off as well. */
    const least = (isEnded: boolean) => (isEnded || compat ? 0 : header.length);
    const rowOf = (fields: (string | undefined)[], row: number, isEnded: boolean): Row => {
      const problem = problemOf(fields.length, { most: header.length, least: least(isEnded) });
      return problem === undefined
        ? asAsked({ row, values: places.map((place) => fields[place]) })
        : badRow(row, problem);
    };
    const asAsked = (row: Row): Row => (compat ? { ...row, values: row.values.map(asPandas) } : row);
    for await (const { content, bytes, isHeader, isEnded } of recordsOf(path, range, scratch)) {
      if (content instanceof LongText) {
        if (isHeader) throw corrupt(path, undefined, 'the header is no header: it is longer than any text');
        const fields = { most: header.length, least: least(isEnded) };
        const row = await rowOfLongCsv({ record: content, row: next, fields, places, scratch });
        yield { rows: [asAsked(row)], bytes };
        next += 1;
      } else if (isHeader) {
        header = recordsIn(content)[0]?.map((name) => name ?? '') ?? [];
        places = columns.map((column) => header.indexOf(column));
        for (const [index, column] of columns.entries()) if (places[index]! < 0) throw noColumn(path, column, header);
      } else {
        const first = next;
        const rows = recordsIn(content).map((fields, index) =>
          fields ? rowOf(fields, first + index, isEnded) : badRow(first + index, 'not UTF-8'),
        );
        next += rows.length;
        yield { rows, bytes };
      }
    }
    if (header.length === 0)
      throw corrupt(path, undefined, 'there is no header, as in a file that was cut off before it');
  },

  rowsBefore: countRecords,
};

/** Fields of each record; `undefined` for one that is not UTF-8. */
function recordsIn(bytes: Buffer): ((string | undefined)[] | undefined)[] {
  if (isUtf8(bytes)) return fieldsOf(bytes.toString('utf8'));
  // Latin-1 keeps every byte, so that the others can still be told apart.
  return fieldsOf(bytes.toString('latin1')).map((fields) => {
    const original = fields.map((field) => (field === undefined ? undefined : Buffer.from(field, 'latin1')));
    if (original.some((field) => field && !isUtf8(field))) return undefined;
    return original.map((field) => field?.toString('utf8'));
  });
}

const asPandas = (value: unknown): unknown =>
  value === '' || (typeof value === 'string' && MISSING.has(value)) ? undefined : value;
