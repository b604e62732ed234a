/** Columns of Arrow that have numbers of texts in a dictionary, which may come in several batches and be replaced on the way. */
import type { FileHandle } from 'node:fs/promises';
import type { DictionaryBatch, TextColumn } from './arrow-batches.js';
import type { BatchHeader } from './arrow-messages.js';
import { type BodyBuffer, type BodyOptions, inMemoryIfShort, SHORT } from './arrow-buffers.js';
import {
  type Cell,
  closeAll,
  hasNulls,
  openBuffers,
  openTexts,
  presence,
  ROWS,
  type Texts,
  textsFrom,
} from './arrow-texts.js';
import { LONG } from './long-text.js';
import { PORTION } from './open-bytes.js';

/** What of dictionaries is kept in memory; compressed ones are kept there in any case. */
const HELD = 16 * 2 ** 20;
const MOST_HELD = 64 * 2 ** 20;

/** The numbers of a column in a record batch. */
export interface Numbers {
  buffers: [BodyBuffer, BodyBuffer];
  hasNulls: boolean;
  bytes: number;
  isSigned: boolean;
}

export async function openNumbers(
  header: BatchHeader,
  { node, buffer, dictionary }: TextColumn,
  options: BodyOptions,
): Promise<Numbers> {
  const buffers = (await openBuffers(header.buffers.slice(buffer, buffer + 2), options)) as Numbers['buffers'];
  const { bytes, isSigned } = dictionary!;
  return { buffers, hasNulls: hasNulls(header, node, buffers[0]), bytes, isSigned };
}

/** The texts of a dictionary. */
export interface DictionaryTexts {
  /** Those that the numbers from one row on stand for: as many as are a megabyte together, one at least. */
  from(numbers: Numbers, row: number, last: number): Promise<Cell[]>;
}

interface Open {
  of: DictionaryBatch;
  texts: Texts;
  /** Bytes of it in memory. */
  held: number;
}

const isHeld = ({ length }: BodyBuffer, { compression }: BatchHeader): boolean =>
  Boolean(compression) && length <= SHORT;

/** Those of one file; each is open while record batches refer to it. */
export function createDictionaries(file: FileHandle, scratch: (name: string) => string) {
  const open = new Map<number, Open[]>();
  let held = 0;

  async function openBatch(of: DictionaryBatch, offsetSize: 4 | 8): Promise<Open> {
    const { header, body } = of;
    const options = { file, body, compression: header.compression, scratch };
    const texts = await openTexts(header, { node: 0, buffer: 0, offsetSize }, options);
    const buffers: BodyBuffer[] = [];
    let bytes = 0;
    for (const buffer of texts.buffers) {
      const kept = held + bytes > HELD ? buffer : await inMemoryIfShort(buffer);
      if (kept !== buffer || isHeld(buffer, header)) bytes += kept.length;
      buffers.push(kept);
    }
    held += bytes;
    if (held <= MOST_HELD) return { of, texts: { ...texts, buffers: buffers as Texts['buffers'] }, held: bytes };
    await closeAll(buffers);
    throw new Error('a dictionary of so many compressed parts is too large for memory: cast the column to string');
  }

  return {
    /** @param batches of dictionaries up to the record batch */
    async of({ dictionary, offsetSize }: TextColumn, batches: DictionaryBatch[]): Promise<DictionaryTexts> {
      const id = dictionary!.id;
      const same = batches.filter((batch) => batch.id === id);
      const wanted = same.slice(
        Math.max(
          0,
          same.findLastIndex(({ isDelta }) => !isDelta),
        ),
      );
      const had = open.get(id) ?? [];
      const parts: Open[] = [];
      open.set(id, parts);
      for (const [index, part] of had.entries()) {
        if (wanted[index] === part.of) {
          parts.push(part);
          continue;
        }
        held -= part.held;
        await closeAll(part.texts.buffers);
      }
      for (const of of wanted.slice(parts.length)) parts.push(await openBatch(of, offsetSize));
      return { from: (numbers, row, last) => cellsFrom(parts, numbers, { row, last, scratch }) };
    },
    async close(): Promise<void> {
      for (const parts of open.values()) for (const { texts } of parts) await closeAll(texts.buffers);
    },
  };
}

interface Rows {
  row: number;
  last: number;
  scratch(name: string): string;
}

async function cellsFrom(parts: Open[], numbers: Numbers, { row, last, scratch }: Rows): Promise<Cell[]> {
  const count = Math.min(ROWS, last - row);
  const [present, values] = numbers.buffers;
  const isThere = numbers.hasNulls ? await presence(present, row, count) : () => true;
  const raw = await values.read(row * numbers.bytes, count * numbers.bytes);
  const cells: Cell[] = [];
  for (let i = 0, bytes = 0; i < count && bytes <= PORTION; i++) {
    if (!isThere(i)) {
      cells.push({ none: true });
      continue;
    }
    const { texts, at } = textOf(parts, numberAt(raw, i * numbers.bytes, numbers));
    // One that is copied to a file comes first, or not yet.
    if (cells.length > 0 && (await lengthOf(texts, at)) > LONG) break;
    const [cell] = await textsFrom(texts, at, at + 1, scratch);
    cells.push(cell!);
    bytes += 'bytes' in cell! ? cell.bytes.length : 'long' in cell! ? Infinity : 0;
  }
  return cells;
}

function numberAt(raw: Buffer, at: number, { bytes, isSigned }: Numbers): number {
  if (bytes === 8) return Number(isSigned ? raw.readBigInt64LE(at) : raw.readBigUInt64LE(at));
  return isSigned ? raw.readIntLE(at, bytes) : raw.readUIntLE(at, bytes);
}

function textOf(parts: Open[], number: number): { texts: Texts; at: number } {
  let at = number;
  for (const { of, texts } of parts) {
    if (at >= 0 && at < of.header.length) return { texts, at };
    at -= of.header.length;
  }
  throw new Error(`a record batch has the number ${number}, which is none of a text in its dictionary`);
}

async function lengthOf({ buffers: [, ends], offsetSize }: Texts, at: number): Promise<number> {
  const raw = await ends.read(at * offsetSize, 2 * offsetSize);
  return offsetSize === 4
    ? raw.readInt32LE(4) - raw.readInt32LE(0)
    : Number(raw.readBigInt64LE(8) - raw.readBigInt64LE(0));
}
