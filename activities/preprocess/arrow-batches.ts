/** Where the record batches of an Arrow file or stream are, and where in a batch a column of texts is. */
import type { FileHandle } from 'node:fs/promises';
import { type DataType, type Dictionary, Message, Schema, Type, type Field } from 'apache-arrow';
import { Footer } from 'apache-arrow/ipc/metadata/file';
import { corrupt } from './rows.js';

const MAGIC = 'ARROW1';
const CONTINUATION = 0xffffffff;

/** What `Message.decode` says of a batch. */
export interface BatchHeader {
  length: number;
  nodes: { length: number; nullCount: number }[];
  buffers: { offset: number; length: number }[];
  /** Of its body; `type` is the codec. */
  compression: { type: number } | null | undefined;
  /** Of each column of views, in the order of the columns, how many buffers of bytes it has. */
  variadicBufferCounts: number[];
}

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
  /** Whether it says that it ends: a stream may go without, and is then as whole as one that was cut off between two batches. */
  isEnded: boolean;
}

/** Reads headers only. */
export async function readLayout(file: FileHandle, path: string): Promise<ArrowLayout> {
  const { size } = await file.stat();
  const isFile = (await readExactly(file, 0, Math.min(8, size))).toString('latin1', 0, MAGIC.length) === MAGIC;
  return isFile ? layoutOfFile(file, size, path) : layoutOfStream(file, size, path);
}

/** A file ends with a table of its batches. */
async function layoutOfFile(file: FileHandle, size: number, path: string): Promise<ArrowLayout> {
  const end = await readExactly(file, Math.max(0, size - 10), Math.min(10, size));
  const length = end.length === 10 ? end.readInt32LE(0) : -1;
  if (end.toString('latin1', 4) !== MAGIC || length <= 0 || length > size - 18)
    throw corrupt(path, undefined, 'the file is cut off: it does not end as an Arrow file does');
  const footer = Footer.decode(await readExactly(file, size - 10 - length, length));
  const batches: Batch[] = [];
  type Block = { offset: number; metaDataLength: number; bodyLength: number };
  const messageAt = async ({ offset, metaDataLength, bodyLength }: Block) => {
    if (offset + metaDataLength + bodyLength > size) throw cutOff(path, batches.length);
    const bytes = await readExactly(file, offset, metaDataLength);
    return Message.decode(bytes.subarray(bytes.readUInt32LE(0) === CONTINUATION ? 8 : 4));
  };
  const bodyOf = ({ offset, metaDataLength }: Block) => offset + metaDataLength;
  const dictionaries: DictionaryBatch[] = [];
  for (const block of footer.dictionaryBatches())
    dictionaries.push(dictionaryOf((await messageAt(block)).header() as DictionaryHeader, bodyOf(block), 0));
  for (const block of footer.recordBatches())
    batches.push({ header: (await messageAt(block)).header() as BatchHeader, body: bodyOf(block) });
  return { schema: footer.schema, batches, dictionaries, size, isEnded: true };
}

async function layoutOfStream(file: FileHandle, size: number, path: string): Promise<ArrowLayout> {
  let schema: Schema | undefined;
  const batches: Batch[] = [];
  const dictionaries: DictionaryBatch[] = [];
  let isEnded = false;
  for (let at = 0; at < size;) {
    const prefix = await readExactly(file, at, Math.min(8, size - at));
    // Before version 0.15 there was no continuation marker.
    const isMarked = prefix.length >= 4 && prefix.readUInt32LE(0) === CONTINUATION;
    const prefixSize = isMarked ? 8 : 4;
    const length = prefix.length >= prefixSize ? prefix.readInt32LE(prefixSize - 4) : -1;
    isEnded = length === 0;
    if (isEnded) break;
    at += prefixSize;
    if (length < 0 || at + length > size) throw cutOff(path, batches.length);
    const message = Message.decode(await readExactly(file, at, length));
    at += length;
    if (at + message.bodyLength > size) throw cutOff(path, batches.length);
    const header: unknown = message.header();
    if (header instanceof Schema) schema = header;
    else if (message.isRecordBatch()) batches.push({ header: header as BatchHeader, body: at });
    else if (message.isDictionaryBatch())
      dictionaries.push(dictionaryOf(header as DictionaryHeader, at, batches.length));
    at += message.bodyLength;
  }
  if (!schema) throw corrupt(path, undefined, 'there is no Arrow schema at the beginning');
  return { schema, batches, dictionaries, size, isEnded };
}

/** What `Message.decode` says of a dictionary's batch. */
interface DictionaryHeader {
  id: number;
  isDelta: boolean;
  data: BatchHeader;
}

const dictionaryOf = ({ id, isDelta, data }: DictionaryHeader, body: number, from: number): DictionaryBatch => ({
  ...{ header: data, body, id, isDelta, from },
});

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
