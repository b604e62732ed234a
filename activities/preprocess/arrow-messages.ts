/** What stands before the body of each part of an Arrow file or stream, and at the end of a file. */
import { MessageHeader, Schema } from 'apache-arrow';
import { Footer as FooterTable } from 'apache-arrow/fb/footer';
import { Message as MessageTable } from 'apache-arrow/fb/message';
import { DictionaryBatch as DictionaryTable } from 'apache-arrow/fb/dictionary-batch';
import { RecordBatch as RecordTable } from 'apache-arrow/fb/record-batch';
import { Schema as SchemaTable } from 'apache-arrow/fb/schema';
import { DictionaryBatch, RecordBatch } from 'apache-arrow/ipc/metadata/message';
import { ByteBuffer } from 'flatbuffers';

/** Of a batch. */
export interface BatchHeader {
  length: number;
  nodes: { length: number; nullCount: number }[];
  buffers: { offset: number; length: number }[];
  /** Of its body; `type` is the codec. */
  compression: { type: number } | null | undefined;
  /** Of each column of views, in the order of the columns, how many buffers of bytes it has. */
  variadicBufferCounts: number[];
}

export type Message = { bodyLength: number } & (
  { schema: Schema } | { batch: BatchHeader } | { dictionary: { id: number; isDelta: boolean; data: BatchHeader } }
);

/** Where a message and its body are in a file. */
export interface Block {
  offset: number;
  metaDataLength: number;
  bodyLength: number;
}

/**
 * A list may say that it has any number of entries, of which the library makes as many objects: with one byte of a file
 * changed that takes all the memory there is.
 */
class Bounded extends ByteBuffer {
  override __vector_len(offset: number): number {
    const length = super.__vector_len(offset);
    if (length < 0 || length > this.capacity())
      throw new Error(`the file is damaged: a list of ${length} entries in ${this.capacity()} bytes`);
    return length;
  }
}

/** @throws Error for what is no message, or of a kind that has no place among record batches */
export function decodeMessage(bytes: Uint8Array): Message {
  const message = MessageTable.getRootAsMessage(new Bounded(bytes));
  const version = message.version();
  const bodyLength = numberOf(message.bodyLength());
  switch (message.headerType()) {
    case MessageHeader.Schema:
      return { bodyLength, schema: schemaOf(message.header(new SchemaTable()) as SchemaTable, version) };
    case MessageHeader.RecordBatch: {
      const batch = RecordBatch.decode(message.header(new RecordTable()) as RecordTable, version);
      return { bodyLength, batch: within(batch, bodyLength) };
    }
    case MessageHeader.DictionaryBatch: {
      const { id, isDelta, data } = DictionaryBatch.decode(
        message.header(new DictionaryTable()) as DictionaryTable,
        version,
      );
      return { bodyLength, dictionary: { id, isDelta, data: within(data, bodyLength) } };
    }
    default:
      throw new Error(`the file is damaged, or no Arrow: a message of the kind ${message.headerType()}`);
  }
}

export interface Footer {
  schema: Schema;
  batches: Block[];
  dictionaries: Block[];
}

export function decodeFooter(bytes: Uint8Array): Footer {
  const footer = FooterTable.getRootAsFooter(new Bounded(bytes));
  const schema = footer.schema();
  if (!schema) throw new Error('the file is damaged: its end names no schema');
  return {
    schema: schemaOf(schema, footer.version()),
    batches: Array.from({ length: footer.recordBatchesLength() }, (_, i) => blockOf(footer.recordBatches(i)!)),
    dictionaries: Array.from({ length: footer.dictionariesLength() }, (_, i) => blockOf(footer.dictionaries(i)!)),
  };
}

const schemaOf = (table: SchemaTable, version: number): Schema => Schema.decode(table, new Map(), version);

const blockOf = (block: { offset(): bigint; metaDataLength(): number; bodyLength(): bigint }): Block => ({
  offset: numberOf(block.offset()),
  metaDataLength: block.metaDataLength(),
  bodyLength: numberOf(block.bodyLength()),
});

function numberOf(size: bigint): number {
  if (size < 0n || size > BigInt(Number.MAX_SAFE_INTEGER)) throw new Error(`the file is damaged: a size of ${size}`);
  return Number(size);
}

function within(batch: BatchHeader, bodyLength: number): BatchHeader {
  for (const { offset, length } of batch.buffers)
    if (offset < 0 || length < 0 || offset + length > bodyLength)
      throw new Error(`the file is damaged: a buffer at ${offset} of ${length} bytes in a body of ${bodyLength}`);
  return batch;
}
