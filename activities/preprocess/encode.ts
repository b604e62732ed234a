/**
 * Text to token ids, by the tokenizer's own `tokenizer.json`: by WebAssembly where encoder/shape.ts knows its shape, else
 * by npm `tokenizers`. Both give the same ids; which one it is, and why, can be asked.
 */
import { isUtf8 } from 'node:buffer';
import { join } from 'node:path';
import { readIfThere } from '../atomic.js';
import { failure, reasonOf } from '../failures.js';
import { type Excerpts, excerptsOf, type Joint } from './encoder/excerpt.js';
import { type FastEncoder, NotEncodable } from './encoder/fast.js';
import { createIds } from './encoder/ids.js';
import { askOracle } from './encoder/ask-oracle.js';
import { type Fast, hasTables, libraryVersion, loadFast } from './encoder/load-fast.js';
import { hasPieces } from './character-pieces.js';
import { tablesElsewhere } from './encoder/tables-elsewhere.js';
import { describeDifference, type Difference, type Encoded, factOf, firstDifference } from './encoder/oracle.js';
import { readTokenizer } from './encoder/read-tokenizer.js';
import type { TokenizerJson } from './encoder/shape.js';
import { createSlowEncoder, type SlowEncoder } from './encoder/slow.js';

export type { Excerpts, Joint } from './encoder/excerpt.js';
export { NotEncodable } from './encoder/fast.js';
export { describeDifference, type Difference } from './encoder/oracle.js';

/** `reason`: a sentence for `status`. */
export type EncodingPath = { kind: 'fast' } | { kind: 'slow'; reason: string };

/** Ids of several documents end to end: those of document i end at `ends[i]`. */
export interface EncodedBatch {
  /** Valid until the encoder's next call. */
  ids: Int32Array;
  ends: number[];
}

/** A document that comes in chunks, cut anywhere, even inside a character. */
export interface OpenDocument {
  write(chunk: Uint8Array): Promise<void>;
  end(): Promise<void>;
}

export interface Encoder {
  /** The id that ends a document; `undefined` where the tokenizer names no end-of-sequence token. */
  eod: number | undefined;
  readonly path: EncodingPath;
  /** Where ids may not be those of transformers, whichever path it is. */
  readonly warnings: string[];
  encode(texts: string[]): Promise<ArrayLike<number>[]>;
  /**
   * Documents as strings, or as UTF-8, which on the fast path no string is made of. Rejects with NotEncodable, which names
   * the document, when bytes are not UTF-8.
   */
  encodeBatch(documents: readonly (string | Uint8Array)[]): Promise<EncodedBatch>;
  /**
   * A document that need not be in memory at once. `take` gets its ids in portions, which are gone when it returns. On the
   * slow path the document is collected first. Nothing else may be encoded until `end`.
   *
   * @param tell on the fast path of the places at which it was cut, each when what comes after it is encoded
   */
  open(take: (ids: Int32Array) => void, tell?: (joint: Joint) => void): OpenDocument;
  /** On the fast path, what to compare of a text that is too long to be compared whole. */
  excerpts: Excerpts | undefined;
  /**
   * Compares a sample with npm `tokenizers`, in another process, unless the same was found right before. When one id
   * differs, the encoder takes the slow path from then on, and tells the difference.
   */
  checkAgainstOracle(sample: readonly Sampled[]): Promise<Difference | undefined>;
}

/** A text and the ids that it was given; where there are none, it is encoded to be compared. */
export interface Sampled {
  text: string;
  ids?: ArrayLike<number>;
}

export interface LoadEncoderOptions {
  /** A folder to keep tables in, so that the next process starts in milliseconds; it may be deleted at any time. */
  tablesIn?: string | undefined;
}

export async function loadEncoder(dir: string, { tablesIn }: LoadEncoderOptions = {}): Promise<Encoder> {
  const file = join(dir, 'tokenizer.json');
  if (tablesIn !== undefined) await ensureTables(dir, tablesIn);
  const tokenizer = await readTokenizer(dir);
  if (!tokenizer)
    throw unusable(file, 'there is no such file; the native engine needs it (or set preprocess.engine to "mindspeed")');
  const { json, eos, warnings } = tokenizer;
  const readable = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw unusable(file, reasonOf(error));
    }
  };
  const slowly = () => readable(() => createSlowEncoder(json));
  const loaded = await loadFast(json, tablesIn);
  if ('reason' in loaded) {
    const slow = slowly();
    return createEncoder(eos === undefined ? undefined : slow.idOf(eos), warnings, { reason: loaded.reason, slow });
  }
  const added = loaded.shape.added.find(({ content }) => content === eos)?.id;
  const inVocabulary = () => (JSON.parse(json.toString('utf8')) as Required<TokenizerJson>).model.vocab[eos!];
  const eod = eos === undefined ? undefined : (added ?? inVocabulary());
  return createEncoder(eod, warnings, { fast: loaded.fast, judge, slowly });

  async function judge(sample: Encoded[]): Promise<Difference | undefined> {
    const fact = tablesIn === undefined ? undefined : factOf(tablesIn, json, libraryVersion(), sample);
    if (await fact?.isKnown()) return undefined;
    const slow = await askOracle({ tokenizer: dir, texts: sample.map(({ text }) => text) });
    const difference = firstDifference(sample, slow);
    // Tables that were wrong for a text are not for the next one either; if it was not they, it costs a second.
    await (difference ? (loaded as Fast).forgetTables() : fact?.keep());
    return difference;
  }
}

/** Computes tables that are not there yet in a process of its own: it takes 200 MB that the encoding process then does not. */
export async function ensureTables(dir: string, tablesIn: string): Promise<void> {
  const [raw, tokenizer] = [await readIfThere(join(dir, 'tokenizer.json')), await readTokenizer(dir)];
  if (!raw || !tokenizer || ((await hasTables(tokenizer.json, tablesIn)) && (await hasPieces(raw, tablesIn)))) return;
  // Without them, whatever is wrong shows when they are computed here.
  await tablesElsewhere({ tokenizer: dir, tablesIn }).catch(() => undefined);
}

interface FastWay {
  fast: FastEncoder;
  judge(sample: Encoded[]): Promise<Difference | undefined>;
  slowly(): SlowEncoder;
}

type Way = FastWay | { reason: string; slow: SlowEncoder };

function createEncoder(eod: number | undefined, warnings: string[], first: Way): Encoder {
  let way = first;
  const ids = createIds();

  async function encodeBatch(documents: readonly (string | Uint8Array)[]): Promise<EncodedBatch> {
    ids.clear();
    const ends: number[] = [];
    const end = () => void ends.push(ids.length);
    if ('slow' in way) {
      for (const sequence of await way.slow.encode(documents.map(textOf))) {
        ids.append(sequence);
        end();
      }
    } else {
      for (const [index, document] of documents.entries()) {
        naming(index, way.fast, (fast) =>
          typeof document === 'string' ? fast.encodeText(document, ids.append) : fast.encodeBytes(document, ids.append),
        );
        end();
      }
    }
    return { ids: ids.view(), ends };
  }

  async function encode(texts: readonly string[]): Promise<Int32Array[]> {
    const { ids, ends } = await encodeBatch(texts);
    return ends.map((end, index) => ids.slice(index === 0 ? 0 : ends[index - 1]!, end));
  }

  return {
    eod,
    warnings,
    get path(): EncodingPath {
      return 'slow' in way ? { kind: 'slow', reason: way.reason } : { kind: 'fast' };
    },
    encode,
    encodeBatch,
    open: (take, tell) => ('slow' in way ? openSlow(way.slow, take) : openFast(way.fast, take, tell)),
    excerpts: 'slow' in first ? undefined : excerptsOf(first.fast),
    async checkAgainstOracle(sample) {
      if ('slow' in way || sample.length === 0) return undefined;
      const encoded = [];
      for (const { text, ids } of sample) encoded.push({ text, ids: ids ?? (await encode([text]))[0]! });
      const difference = await way.judge(encoded);
      if (difference) way = { reason: describeDifference(difference), slow: way.slowly() };
      return difference;
    },
  };
}

function openFast(fast: FastEncoder, ...[take, tell]: Parameters<FastEncoder['open']>): OpenDocument {
  const document = fast.open(take, tell);
  return { write: async (chunk) => document.write(chunk), end: async () => document.end() };
}

function openSlow(slow: SlowEncoder, take: (ids: Int32Array) => void): OpenDocument {
  const chunks: Uint8Array[] = [];
  return {
    // A copy: the caller may read the next chunk into the same memory.
    write: async (chunk) => void chunks.push(chunk.slice()),
    async end() {
      const [sequence] = await slow.encode([textOf(Buffer.concat(chunks), 0)]);
      take(Int32Array.from(sequence!));
    },
  };
}

function textOf(document: string | Uint8Array, index: number): string {
  if (typeof document === 'string') return document;
  if (!isUtf8(document)) throw new NotEncodable('not UTF-8', index);
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(document);
}

function naming(index: number, fast: FastEncoder, encode: (fast: FastEncoder) => void): void {
  try {
    encode(fast);
  } catch (error) {
    if (error instanceof NotEncodable) throw new NotEncodable(error.message, index);
    throw error;
  }
}

const unusable = (file: string, why: string) =>
  failure('InvalidInput', `tokenizer ${file}: ${why}`, { nonRetryable: true });
