/** CSV with a header line, quotes doubled inside quotes, line ends inside them kept. */
import { createReadStream } from 'node:fs';
import { failure } from '../failures.js';
import { corrupt, type Reader, type Row } from './rows.js';

export const csvReader: Reader = {
  async count(path) {
    let count = -1;
    for await (const records of recordsOf(path)) count += records.length;
    return Math.max(0, count);
  },

  async *read(path, columns, { from, to }) {
    let places: number[] | undefined;
    let next = 0;
    for await (const records of recordsOf(path)) {
      places ??= placesOf(path, columns, records.shift() ?? []);
      const first = next;
      next += records.length;
      const rows = records.map((record, index): Row => ({
        row: first + index,
        values: places!.map((at) => record[at]),
      }));
      yield rows.filter(({ row }) => row >= from && row < to);
      if (next >= to) return;
    }
  },
};

function placesOf(path: string, columns: string[], header: string[]): number[] {
  return columns.map((column) => {
    const at = header.indexOf(column);
    if (at >= 0) return at;
    throw failure('InvalidInput', `${path}: there is no column ${column}, only ${header.join(', ')}`, {
      nonRetryable: true,
    });
  });
}

/** A field that is empty without quotes is no value, as it is for pandas. */
async function* recordsOf(path: string): AsyncGenerator<string[][]> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let records: string[][] = [];
  let record: (string | undefined)[] = [];
  let field = '';
  let state: 'plain' | 'quoted' | 'closing' = 'plain';
  let wasQuoted = false;
  const endField = () => {
    record.push(field === '' && !wasQuoted ? undefined : field);
    [field, wasQuoted, state] = ['', false, 'plain'];
  };
  const endRecord = () => {
    endField();
    if (record.length > 1 || record[0] !== undefined) records.push(record as string[]);
    record = [];
  };
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) {
    for (const c of decoder.decode(chunk as Buffer, { stream: true })) {
      if (state === 'quoted') {
        if (c === '"') state = 'closing';
        else field += c;
      } else if (c === '"' && (state === 'closing' || (field === '' && !wasQuoted))) {
        if (state === 'closing') field += c;
        [wasQuoted, state] = [true, 'quoted'];
      } else if (c === ',') endField();
      else if (c === '\n') {
        if (state === 'plain' && field.endsWith('\r')) field = field.slice(0, -1);
        endRecord();
      } else if (c !== '\r' || state === 'plain') field += c;
    }
    yield records;
    records = [];
  }
  if (state === 'quoted') throw corrupt(path, undefined, 'the last quote is not closed');
  if (field !== '' || record.length) endRecord();
  if (records.length) yield records;
}
