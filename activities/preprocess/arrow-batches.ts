/** Where the record batches of an Arrow file or stream are, and where in a batch a column of texts is. */
import type { FileHandle } from 'node:fs/promises';
import { type DataType, type Dictionary, type Field, type Schema, Type } from 'apache-arrow';
import { type BatchHeader, type Block, decodeFooter, decodeMessage } from './arrow-messages.js';
import { corrupt } from './rows.js';

const MAGIC = 'ARROW1';
/** The mark of a file with what fills it up. */
const HEAD = 8;
/** The length of the table, and the mark again. */
const TAIL = 10;
const CONTINUATION = 0xffffffff;

export interface Batch {
  header: BatchHeader;
  /** Position of its body in the file. */
  body: number;
}

/** Texts that columns of a dictionary's number refer to. */
export interface DictionaryBatch extends Batch {
  id: number;
  /** Goes on with those of that number before it, else stands for them. */
  isDelta: boolean;
  /** The first record batch that it is for. */
  from: number;
}

export interface ArrowLayout {
  schema: Schema;
  batches: Batch[];
  dictionaries: DictionaryBatch[];
  size: number;
  /** Of a file the table at its end, of a stream the mark of it; nothing where a stream goes without. */
  end: { isTable: boolean; at: number } | undefined;
}

/** Reads headers only. */
export async function readLayout(file: FileHandle, path: string): Promise<ArrowLayout> {
  const { size } = await file.stat();
  const isFile = (await readExactly(file, 0, Math.min(HEAD, size))).toString('latin1', 0, MAGIC.length) === MAGIC;
  if (isFile) return layoutOfFile(file, size, path);
  const { schema, endsAt, ...messages } = await readMessages({ file, path, from: 0, to: size });
  if (!schema) throw corrupt(path, undefined, 'there is no Arrow schema at the beginning');
  return { ...messages, schema, size, end: endsAt === undefined ? undefined : { isTable: false, at: endsAt } };
}

/** pyarrow reads what is named at the end of a file, and a stream as far as it goes, and does not say that there is, or was, more. */
export async function requireWhole(file: FileHandle, path: string, layout: ArrowLayout): Promise<void> {
  const { batches, dictionaries, end, size } = layout;
  const refused = (why: string) => corrupt(path, undefined, why);
  if (!end)
    throw refused(
      `the stream has no mark of its end after ${batches.length} record batches, so that more may have been cut off: write it again, with its writer closed`,
    );
  if (!end.isTable) {
    if (end.at < size)
      throw refused(
        `after the mark of its end, which comes after ${batches.length} record batches, there are ${size - end.at} bytes that nobody would read`,
      );
    return;
  }
  const found = await readMessages({ file, path, from: HEAD, to: end.at });
  if (placesOf(found.batches) === placesOf(batches) && placesOf(found.dictionaries) === placesOf(dictionaries)) return;
  throw refused(
    `its end names ${batches.length} record batches and ${dictionaries.length} dictionaries; there are ${found.batches.length} and ${found.dictionaries.length}, or elsewhere: the file is damaged`,
  );
}

const placesOf = (batches: Batch[]): string =>
  batches
    .map(({ body }) => body)
    .sort((a, b) => a - b)
    .join();

/** A file ends with a table of its batches. */
async function layoutOfFile(file: FileHandle, size: number, path: string): Promise<ArrowLayout> {
  const tail = await readExactly(file, Math.max(0, size - TAIL), Math.min(TAIL, size));
  const length = tail.length === TAIL ? tail.readInt32LE(0) : -1;
  if (tail.toString('latin1', 4) !== MAGIC || length <= 0 || length > size - TAIL - HEAD)
    throw corrupt(path, undefined, 'the file is cut off: it does not end as an Arrow file does');
  const at = size - TAIL - length;
  const { schema, ...blocks } = decodeFooter(await readExactly(file, at, length));
  const messageAt = async ({ offset, metaDataLength, bodyLength }: Block) => {
    if (offset + metaDataLength + bodyLength > size) throw cutOff(path, batches.length);
    const bytes = await readExactly(file, offset, metaDataLength);
    return decodeMessage(bytes.subarray(bytes.readUInt32LE(0) === CONTINUATION ? 8 : 4));
  };
  const bodyOf = ({ offset, metaDataLength }: Block) => offset + metaDataLength;
  const batches: Batch[] = [];
  const dictionaries: DictionaryBatch[] = [];
  for (const block of blocks.dictionaries) {
    const message = await messageAt(block);
    if (!('dictionary' in message)) throw corrupt(path, undefined, 'its end names a dictionary that is none');
    const { data: header, ...dictionary } = message.dictionary;
    dictionaries.push({ ...dictionary, header, body: bodyOf(block), from: 0 });
  }
  for (const block of blocks.batches) {
    const message = await messageAt(block);
    if (!('batch' in message)) throw corrupt(path, undefined, 'its end names a record batch that is none');
    batches.push({ header: message.batch, body: bodyOf(block) });
  }
  return { schema, batches, dictionaries, size, end: { isTable: true, at } };
}

interface Span {
  file: FileHandle;
  path: string;
  from: number;
  to: number;
}

interface Messages {
  schema: Schema | undefined;
  batches: Batch[];
  dictionaries: DictionaryBatch[];
  /** Where the mark of their end is over, if there is one. */
  endsAt: number | undefined;
}

async function readMessages({ file, path, from, to }: Span): Promise<Messages> {
  const found: Messages = { schema: undefined, batches: [], dictionaries: [], endsAt: undefined };
  const { batches, dictionaries } = found;
  for (let at = from; at < to;) {
    const prefix = await readExactly(file, at, Math.min(8, to - at));
    // Before version 0.15 there was no continuation marker.
    const isMarked = prefix.length >= 4 && prefix.readUInt32LE(0) === CONTINUATION;
    const prefixSize = isMarked ? 8 : 4;
    const length = prefix.length >= prefixSize ? prefix.readInt32LE(prefixSize - 4) : -1;
    at += prefixSize;
    if (length === 0) return { ...found, endsAt: at };
    if (length < 0 || at + length > to) throw cutOff(path, batches.length);
    const message = decodeMessage(await readExactly(file, at, length));
    at += length;
    if (at + message.bodyLength > to) throw cutOff(path, batches.length);
    if ('schema' in message) {
      if (found.schema) throw corrupt(path, undefined, 'there is a second Arrow schema in it');
      found.schema = message.schema;
    } else if ('batch' in message) batches.push({ header: message.batch, body: at });
    else {
      const { data: header, ...dictionary } = message.dictionary;
      if (!found.schema?.dictionaries.has(dictionary.id))
        throw corrupt(path, undefined, `there is a dictionary ${dictionary.id}, of which its schema knows nothing`);
      dictionaries.push({ ...dictionary, header, body: at, from: batches.length });
    }
    at += message.bodyLength;
  }
  return found;
}

const cutOff = (path: string, batches: number) =>
  corrupt(
    path,
    undefined,
    `the file is cut off, or no Arrow: it ends after ${batches} record batches, within the next`,
  );

export interface TextColumn {
  node: number;
  /** The first of its three buffers: which are there, where they end, the bytes. */
  buffer: number;
  offsetSize: 4 | 8;
  /** Where there are numbers of texts in a dictionary instead, two buffers: which are there, and the numbers. */
  dictionary?: { id: number; bytes: number; isSigned: boolean };
}

const OFFSETS = new Map<Type, 4 | 8>([
  [Type.Utf8, 4],
  [Type.LargeUtf8, 8],
]);

/** @param variadicBufferCounts those of the batch, which move the buffers of what comes after them */
export function textColumn(
  schema: Schema,
  name: string,
  variadicBufferCounts: readonly number[],
): TextColumn | { found: string } {
  let [node, buffer] = [0, 0];
  const views = [...variadicBufferCounts];
  for (const field of schema.fields) {
    if (field.name === name) {
      const type = field.type as { typeId: Type };
      const { id, indices, dictionary: values } = field.type as Dictionary<DataType>;
      const isDictionary = type.typeId === Type.Dictionary;
      const offsetSize = OFFSETS.get(isDictionary ? values.typeId : type.typeId);
      if (offsetSize === undefined) return { found: String(field.type) };
      if (!isDictionary) return { node, buffer, offsetSize };
      return { node, buffer, offsetSize, dictionary: { id, bytes: indices.bitWidth / 8, isSigned: indices.isSigned } };
    }
    const size = sizeOf(field, views);
    [node, buffer] = [node + size.nodes, buffer + size.buffers];
  }
  return { found: 'nothing' };
}

/** A field and those in it, in the order in which a batch has them; takes the counts of those that are views. */
function sizeOf(field: Field, views: number[]): { nodes: number; buffers: number } {
  const type = field.type as { typeId: Type; children?: Field[]; mode?: number };
  const inner = type.typeId === Type.Dictionary ? [] : (type.children ?? []);
  const isView = type.typeId === Type.Utf8View || type.typeId === Type.BinaryView;
  const own = { nodes: 1, buffers: ownBuffers(type.typeId, type.mode) + (isView ? (views.shift() ?? 0) : 0) };
  return inner
    .map((child) => sizeOf(child, views))
    .reduce((a, b) => ({ nodes: a.nodes + b.nodes, buffers: a.buffers + b.buffers }), own);
}

function ownBuffers(type: Type, mode: number | undefined): number {
  switch (type) {
    case Type.Null:
      return 0;
    case Type.Struct:
    case Type.FixedSizeList:
      return 1;
    case Type.Union:
      return mode === 1 ? 2 : 1;
    case Type.Utf8:
    case Type.LargeUtf8:
    case Type.Binary:
    case Type.LargeBinary:
      return 3;
    default:
      return 2;
  }
}

export async function readExactly(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let have = 0; have < length;) {
    const { bytesRead } = await file.read(bytes, have, length - have, at + have);
    if (bytesRead === 0) throw new Error(`the file ends at byte ${at + have}, where more was announced`);
    have += bytesRead;
  }
  return bytes;
}
