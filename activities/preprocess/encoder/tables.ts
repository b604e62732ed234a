/** Fills the module's tables from a tokenizer: what it costs a second to compute, and snapshot.ts keeps. */
import { isUtf8 } from 'node:buffer';
import { byteLevelAlphabet } from './byte-level.js';
import type { BpeJson, Shape } from './shape.js';
import { SPLITTERS } from './splitter.js';
import { characterClasses, normalisationOf } from './unicode.js';
import type { EncoderWasm } from './wasm.js';

/** Lists of assembly/added.ts. */
export const RAW = 1;
export const NORMALISED = 2;

/** Tokens and ranks have 21 bits in a merge's word. */
const MOST = 2 ** 21 - 1;

export interface CacheSize {
  bits: number;
  arena: number;
}

/** 2^20 pre-tokens of 32 bytes, and what does not fit there. */
export const CACHE: CacheSize = { bits: 20, arena: 8 * 2 ** 20 };

/** Room for pieces that merges do not make, where they are ignored for whole ones: Llama 3 has 588. */
const WHOLES = { bits: 14, bytes: 2 ** 18 };
const NO_WHOLES = { bits: 0, bytes: 0 };

/** Texts up to this are taken in one piece. */
export const PIECE = 2 ** 20;

/** Lays out memory; afterwards the tables are to be filled or restored. */
export function prepare(wasm: EncoderWasm, shape: Shape, merges: number, cache = CACHE): void {
  const contents = shape.added.map(({ content }) => Buffer.from(content));
  // Normalised, a content may be up to three times as long.
  const bytes = contents.reduce((sum, { length }) => sum + 16 + 3 * length, 0);
  const firsts = new Set(contents.map(([first]) => first!));
  const onlyFirst = firsts.size === 1 ? contents[0]![0]! : -1;
  const slotBits = Math.ceil(Math.log2(Math.max(merges, 1) / 0.6));
  const splitter = SPLITTERS.indexOf(shape.splitter);
  const wholes = shape.ignoresMerges ? WHOLES : NO_WHOLES;
  wasm.prepare(
    slotBits,
    merges,
    bytes,
    contents.length,
    onlyFirst,
    splitter,
    wholes.bits,
    wholes.bytes,
    cache.bits,
    cache.arena,
  );
  wasm.layOut(PIECE);
}

/** The reason why the vocabulary is none that the fast path is exact for, if so. */
export function fillTables(
  wasm: EncoderWasm,
  shape: Shape,
  model: BpeJson,
  nfc: (text: string) => string,
): string | undefined {
  const ids = new Map(Object.entries(model.vocab));
  if (ids.size > MOST || model.merges.length > MOST) return `model.vocab has ${ids.size} tokens, more than ${MOST}`;
  wasm.bytes().set(characterClasses(shape.splitter), wasm.classes.value);
  if (shape.nfc) fillNormalisation(wasm);
  addAddedTokens(wasm, shape, nfc);
  const tokens: Tokens = { wasm, ids, firstUse: new Map(), lastMaking: new Map() };
  return addBytes(tokens) ?? addMerges(tokens, model.merges) ?? addPieces(tokens, shape.ignoresMerges);
}

function fillNormalisation(wasm: EncoderWasm): void {
  const { flags, orders } = normalisationOf();
  const classes = wasm.bytes().subarray(wasm.classes.value);
  for (const [code, flag] of flags) classes[code]! |= flag;
  for (const [code, order] of orders) if (code < 0x20000) wasm.setOrder(code, order);
}

function addAddedTokens(wasm: EncoderWasm, shape: Shape, nfc: (text: string) => string): void {
  const tokens = shape.added.map(({ content, id, normalized }) => ({
    id,
    list: normalized ? NORMALISED : RAW,
    bytes: Buffer.from(normalized && shape.nfc ? nfc(content) : content),
  }));
  for (const { id, list, bytes } of tokens.sort((a, b) => b.bytes.length - a.bytes.length)) {
    wasm.inputView().set(bytes);
    wasm.addAdded(list, bytes.length, id);
  }
}

interface Tokens {
  wasm: EncoderWasm;
  ids: Map<string, number>;
  /** Of each token, the first merge that uses it as a part, and the last that makes it. */
  firstUse: Map<number, number>;
  lastMaking: Map<number, number>;
}

function addBytes({ wasm, ids }: Tokens): string | undefined {
  for (const [byte, char] of byteLevelAlphabet.entries()) {
    const id = ids.get(char);
    if (id === undefined) return `model.vocab has no token for the byte ${byte}`;
    wasm.setByteToken(byte, id);
  }
  return undefined;
}

function addMerges({ wasm, ids, firstUse, lastMaking }: Tokens, merges: BpeJson['merges']): string | undefined {
  for (const [rank, merge] of merges.entries()) {
    const [left, right] = typeof merge === 'string' ? (merge.split(' ') as [string, string]) : merge;
    const [leftId, rightId, id] = [ids.get(left), ids.get(right), ids.get(left + right)];
    if (leftId === undefined || rightId === undefined || id === undefined || Math.max(leftId, rightId, id) > MOST)
      return `model.merges[${rank}] is of tokens that model.vocab does not have`;
    if (!wasm.addMerge(leftId, rightId, rank, id)) return `model.merges[${rank}] is there twice`;
    for (const part of [leftId, rightId]) if (!firstUse.has(part)) firstUse.set(part, rank);
    lastMaking.set(id, rank);
  }
  wasm.fillBytePairs();
  return undefined;
}

/** What assembly/pieces.ts has to know of every piece; and assembly/wholes.ts, where merges are ignored for whole ones. */
function addPieces(tokens: Tokens, ignoresMerges: boolean): string | undefined {
  const { wasm, ids } = tokens;
  const byteOf = new Map(byteLevelAlphabet.map((char, byte) => [char, byte]));
  for (const [text, id] of ids) {
    const bytes = Buffer.alloc(text.length);
    let isPiece = true;
    for (let i = 0; i < text.length && isPiece; i++) {
      const byte = byteOf.get(text[i]!);
      isPiece = byte !== undefined;
      bytes[i] = byte ?? 0;
    }
    // Added tokens that are in the vocabulary too: no pre-token has such characters.
    if (!isPiece || bytes.length === 0) continue;
    if (!isUtf8(bytes)) {
      addCuttingPiece(wasm, bytes);
      continue;
    }
    // A pre-token is UTF-8, always.
    if (ignoresMerges && onlyToken(wasm, bytes) !== id && !wasm.addWhole(bytes.length, id))
      return 'model.ignore_merges is true, and more tokens than can be known are not what their merges make';
    addWholePiece(tokens, text, bytes, id);
  }
  return undefined;
}

function onlyToken(wasm: EncoderWasm, bytes: Uint8Array): number {
  wasm.inputView().set(bytes);
  return wasm.onlyToken(bytes.length);
}

function addWholePiece(tokens: Tokens, text: string, bytes: Buffer, id: number): void {
  const { wasm } = tokens;
  const codes = Array.from(bytes.toString('utf8'), (char) => char.codePointAt(0)!);
  if (codes.length === 1) {
    const isWhole = bytes.length > 1 && codes[0]! < 0x10000 && onlyToken(wasm, bytes) === id;
    if (isWhole && isMadeBeforeUse(tokens, text, id)) wasm.setCharToken(codes[0]!, id);
    return;
  }
  for (let i = 1; i < codes.length; i++) wasm.addNeighbours(codes[i - 1]!, codes[i]!);
}

/** Whether all merges that may take part in making the token rank before those that use it: see assembly/pieces.ts. */
function isMadeBeforeUse({ ids, firstUse, lastMaking }: Tokens, text: string, id: number): boolean {
  const used = firstUse.get(id) ?? Infinity;
  for (let from = 0; from < text.length; from++)
    for (let to = from + 2; to <= text.length; to++) {
      const part = ids.get(text.slice(from, to));
      if (part !== undefined && (lastMaking.get(part) ?? -1) > used) return false;
    }
  return true;
}

/** Has a part of a character at one of its ends. */
function addCuttingPiece(wasm: EncoderWasm, bytes: Buffer): void {
  for (let at = 1; at < bytes.length; at++) {
    const first = bytes[at]!;
    if (first >= 0x80 && first < 0xc0) continue;
    const next = bytes.subarray(at, at + (first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4));
    wasm.addCutPair(bytes[at - 1]!, first, isUtf8(next) ? next.toString('utf8').codePointAt(0)! : -1);
  }
}
