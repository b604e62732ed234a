/** Pairs one after the other into one pair, in constant memory: `.bin` by large copies, `.idx` as a stream. */
import { open } from 'node:fs/promises';
import { sizeOf } from '../artifact.js';
import { asInt32s, asInt64s, elementsOf } from './elements.js';
import {
  commitPair,
  openDigested,
  removeAll,
  removePairs,
  temporaryNames,
  writeIndex,
  type Pair,
} from './pair-writer.js';
import {
  decodeHeader,
  documentsAt,
  HEADER_SIZE,
  indexSize,
  lengthsAt,
  pointersAt,
  TOKEN_SIZE,
  type IndexHeader,
} from './index-header.js';
import { corrupt } from './rows.js';

export interface MergeOptions {
  signal?: AbortSignal;
  onBytes?: (bytes: number) => void;
}

export async function mergePairs(prefixes: string[], to: string, options: MergeOptions = {}): Promise<Pair> {
  const { signal, onBytes } = options;
  // One after the other: each is read with a buffer, and there may be thousands.
  const parts: Part[] = [];
  for (const prefix of prefixes) parts.push(await openPart(prefix));
  const temporary = temporaryNames(to);
  try {
    const bin = await openDigested(temporary.bin);
    try {
      // One buffer for all: memory that is always new costs as much as the copy.
      const buffer = Buffer.allocUnsafe(COPY);
      for (const { prefix } of parts)
        for await (const chunk of portionsInto(buffer, `${prefix}.bin`)) {
          signal?.throwIfAborted();
          await bin.write(chunk);
          onBytes?.(chunk.length);
        }
    } finally {
      await bin.close();
    }
    const [sequences, documents] = [sum(parts, 'sequences'), sum(parts, 'documents')];
    const idx = await writeIndex(temporary.idx, {
      sequences,
      documents,
      lengths: () => lengthsOf(parts),
      documentEnds: () => documentEndsOf(parts),
    });
    const files = await commitPair(to, { bin: await bin.close(), idx });
    return { sequences, documents, tokens: sum(parts, 'tokens'), files };
  } catch (error) {
    await removeAll(Object.values(temporary));
    throw error;
  }
}

/** What stood where these are to be merged, and what an attempt that was killed had written: it may be as much again. */
export async function removeBegun(outputs: string[]): Promise<void> {
  await removePairs(outputs);
  await removeAll(outputs.flatMap((to) => Object.values(temporaryNames(to))));
}

/** All or none: where one fails, there is none, also none of before. */
export async function mergeAll(
  groups: { prefixes: string[]; to: string }[],
  options: MergeOptions = {},
): Promise<Pair[]> {
  const outputs = groups.map(({ to }) => to);
  await removeBegun(outputs);
  try {
    const pairs: Pair[] = [];
    for (const { prefixes, to } of groups) pairs.push(await mergePairs(prefixes, to, options));
    return pairs;
  } catch (error) {
    await removePairs(outputs);
    throw error;
  }
}

/** What a processor's cache holds: the digest is taken of bytes that were just read. */
const COPY = 2 ** 20;

async function* portionsInto(buffer: Buffer, path: string): AsyncGenerator<Buffer> {
  const file = await open(path, 'r');
  try {
    for (;;) {
      const { bytesRead } = await file.read(buffer);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

interface Part {
  prefix: string;
  header: IndexHeader;
  sequences: number;
  documents: number;
  tokens: number;
}

const sum = (parts: Part[], what: 'sequences' | 'documents' | 'tokens'): number =>
  parts.reduce((total, part) => total + part[what], 0);

export type PairFacts = Pick<Part, 'sequences' | 'documents' | 'tokens'>;

/** What a pair holds, by its index. Throws for one whose files do not have the sizes that follow from it. */
export async function readPair(prefix: string): Promise<PairFacts> {
  const { sequences, documents, tokens } = await openPart(prefix);
  return { sequences, documents, tokens };
}

/** Reads what a part says of itself, and refuses one whose files do not have the sizes that follow from it. */
async function openPart(prefix: string): Promise<Part> {
  const header = await readHeader(`${prefix}.idx`);
  const size = await sizeOf(`${prefix}.idx`);
  if (size !== indexSize(header))
    throw corrupt(`${prefix}.idx`, undefined, `has ${size} bytes, not ${indexSize(header)}`);
  let tokens = 0;
  for await (const lengths of lengthsOf([{ prefix, header }])) for (const length of lengths) tokens += length;
  const bytes = await sizeOf(`${prefix}.bin`);
  if (bytes !== tokens * TOKEN_SIZE)
    throw corrupt(`${prefix}.bin`, undefined, `has ${bytes} bytes, not the ${tokens * TOKEN_SIZE} of its index`);
  return { prefix, header, sequences: header.sequences, documents: header.documentIndex - 1, tokens };
}

async function readHeader(path: string): Promise<IndexHeader> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEADER_SIZE));
    const header = decodeHeader(buffer.subarray(0, bytesRead));
    if (!header) throw corrupt(path, undefined, 'is not an index of int32 tokens');
    return header;
  } finally {
    await file.close();
  }
}

async function* lengthsOf(parts: Pick<Part, 'prefix' | 'header'>[]): AsyncGenerator<Int32Array> {
  for (const { prefix, header } of parts)
    for await (const chunk of elementsOf(`${prefix}.idx`, lengthsAt, pointersAt(header))) yield asInt32s(chunk);
}

/** Each part's document index without its leading 0, moved up by the sequences before it. */
async function* documentEndsOf(parts: Part[]): AsyncGenerator<BigInt64Array> {
  let before = 0n;
  for (const { prefix, header } of parts) {
    for await (const chunk of elementsOf(`${prefix}.idx`, documentsAt(header) + 8, indexSize(header))) {
      const offset = before;
      yield asInt64s(chunk).map((end) => end + offset);
    }
    before += BigInt(header.sequences);
  }
}
