/**
 * Writes a `.bin/.idx` pair in constant memory: tokens as they come, lengths aside on disk until the index can be
 * written. Both files are complete under temporary names before either gets its own, the index last.
 */
import { createHash } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { syncPath } from '../atomic.js';
import { asInt32s, bytesOf, elementsOf } from './elements.js';
import { encodeHeader, TOKEN_SIZE } from './index-header.js';

export interface WrittenFile {
  path: string;
  sha256: string;
}

export interface Pair {
  documents: number;
  sequences: number;
  tokens: number;
  files: WrittenFile[];
}

export interface PairWriter {
  /** Sequences end to end, and how long each is; each is a document by itself. */
  add(tokens: Int32Array, lengths: readonly number[]): Promise<void>;
  /** A piece of a sequence that is longer than memory; the last one is followed by `endSequence`. */
  append(tokens: Int32Array): Promise<void>;
  endSequence(): Promise<void>;
  /** A document without a sequence, as MindSpeed-LLM counts those that are too long. */
  addEmptyDocument(): Promise<void>;
  finish(): Promise<Pair>;
  discard(): Promise<void>;
}

export async function openPair(prefix: string): Promise<PairWriter> {
  const temporary = temporaryNames(prefix);
  const bin = await openDigested(temporary.bin);
  const lengths = await openDigested(temporary.lengths).catch(async (error: unknown) => {
    await bin.close().catch(() => undefined);
    await removeAll([temporary.bin]);
    throw error;
  });
  let sequences = 0;
  let documents = 0;
  let tokens = 0;
  let unended = 0;
  const discard = async () => {
    await Promise.allSettled([bin.close(), lengths.close()]);
    await removeAll(Object.values(temporary));
  };
  return {
    async add(batch, ofEach) {
      sequences += ofEach.length;
      documents += ofEach.length;
      tokens += batch.length;
      await bin.write(bytesOf(batch));
      await lengths.write(bytesOf(Int32Array.from(ofEach)));
    },
    async append(piece) {
      unended += piece.length;
      await bin.write(bytesOf(piece));
    },
    async endSequence() {
      await lengths.write(bytesOf(Int32Array.of(unended)));
      [tokens, sequences, documents, unended] = [tokens + unended, sequences + 1, documents + 1, 0];
    },
    async addEmptyDocument() {
      documents += 1;
      await lengths.write(bytesOf(Int32Array.of(NO_SEQUENCE)));
    },
    async finish() {
      await lengths.close();
      const index = await writeIndex(temporary.idx, {
        sequences,
        documents,
        lengths: () => lengthsOf(temporary.lengths, documents),
        documentEnds: () => documentEndsOf(temporary.lengths, documents),
      });
      const files = await commitPair(prefix, { bin: await bin.close(), idx: index });
      await removeAll([temporary.lengths]);
      return { documents, sequences, tokens, files };
    },
    discard,
  };
}

export interface IndexContent {
  sequences: number;
  documents: number;
  /** Read twice: once for itself, once for the pointers that are its running sum. */
  lengths(): AsyncIterable<Int32Array>;
  /** Sequences up to the end of each document. */
  documentEnds(): AsyncIterable<BigInt64Array>;
}

export async function writeIndex(path: string, content: IndexContent): Promise<string> {
  const { sequences, documents } = content;
  const file = await openDigested(path);
  try {
    await file.write(encodeHeader({ sequences, documentIndex: documents + 1 }));
    for await (const part of content.lengths()) await file.write(bytesOf(part));
    let pointer = 0n;
    for await (const part of content.lengths()) {
      const pointers = BigInt64Array.from(part, (length) => {
        const here = pointer;
        pointer += BigInt(length * TOKEN_SIZE);
        return here;
      });
      await file.write(bytesOf(pointers));
    }
    await file.write(bytesOf(BigInt64Array.of(0n)));
    for await (const part of content.documentEnds()) await file.write(bytesOf(part));
  } catch (error) {
    await file.close().catch(() => undefined);
    throw error;
  }
  return file.close();
}

/** Gives both files their names; whoever finds the index finds a whole pair. */
export async function commitPair(prefix: string, digests: { bin: string; idx: string }): Promise<WrittenFile[]> {
  const temporary = temporaryNames(prefix);
  await rm(`${prefix}.idx`, { force: true });
  await rename(temporary.bin, `${prefix}.bin`);
  await rename(temporary.idx, `${prefix}.idx`);
  await syncPath(dirname(prefix));
  return [
    { path: `${prefix}.bin`, sha256: digests.bin },
    { path: `${prefix}.idx`, sha256: digests.idx },
  ];
}

export function temporaryNames(prefix: string) {
  const hidden = join(dirname(prefix), `.${basename(prefix)}`);
  return { bin: `${hidden}.bin.tmp`, idx: `${hidden}.idx.tmp`, lengths: `${hidden}.lengths.tmp` };
}

export const removeAll = (paths: string[]): Promise<unknown> =>
  Promise.all(paths.map((path) => rm(path, { force: true })));

/** The index first, so that a pair never looks whole; what cannot be removed stays. */
export async function removePairs(prefixes: string[]): Promise<void> {
  for (const ending of ['.idx', '.bin'])
    await Promise.allSettled(prefixes.map((prefix) => rm(`${prefix}${ending}`, { force: true })));
}

/** A new file that knows its digest when it is closed, with its bytes on disk. */
export async function openDigested(path: string) {
  const file = await open(path, 'w');
  const hash = createHash('sha256');
  let digest: string | undefined;
  return {
    async write(bytes: Uint8Array): Promise<void> {
      hash.update(bytes);
      for (let at = 0; at < bytes.length;) at += (await file.write(bytes, at)).bytesWritten;
    },
    async close(): Promise<string> {
      if (digest !== undefined) return digest;
      digest = hash.digest('hex');
      try {
        await file.sync();
      } finally {
        await file.close();
      }
      return digest;
    },
  };
}

/** Stands in the file of lengths for a document that has none. */
const NO_SEQUENCE = -1;

async function* lengthsOf(path: string, documents: number): AsyncGenerator<Int32Array> {
  for await (const part of int32sOf(path, documents)) yield part.filter((length) => length !== NO_SEQUENCE);
}

async function* documentEndsOf(path: string, documents: number): AsyncGenerator<BigInt64Array> {
  let sequences = 0n;
  for await (const part of int32sOf(path, documents))
    yield BigInt64Array.from(part, (length) => (length === NO_SEQUENCE ? sequences : (sequences += 1n)));
}

async function* int32sOf(path: string, count: number): AsyncGenerator<Int32Array> {
  for await (const chunk of elementsOf(path, 0, 4 * count)) yield asInt32s(chunk);
}
