/**
 * The fast path: text to ids by the WebAssembly module. Synchronous, and one document after the other; a document of
 * any size is taken in pieces, so that memory depends on no document.
 */
import { isUtf8 } from 'node:buffer';
import { nfcNormalizer } from 'tokenizers';
import { type Joint, watchSeams } from './excerpt.js';
import type { Shape } from './shape.js';
import { NORMALISED, PIECE, RAW } from './tables.js';
import type { EncoderWasm } from './wasm.js';

export type TakeIds = (ids: Int32Array) => void;

/** A document that comes in chunks, cut anywhere, even inside a character. */
export interface OpenDocument {
  write(chunk: Uint8Array): void;
  end(): void;
}

export interface FastEncoder {
  /** Hands over the ids of a text, in portions that are gone when `take` returns. */
  encodeText(text: string, take: TakeIds): void;
  /** The same of UTF-8 bytes, which no string is ever made of; throws when they are not UTF-8. */
  encodeBytes(utf8: Uint8Array, take: TakeIds): void;
  /**
   * The same of a document that need not be in memory as a whole. One at a time.
   *
   * @param tell of the places at which it was cut, each when what comes after it is encoded
   */
  open(take: TakeIds, tell?: (joint: Joint) => void): OpenDocument;
  /** The last place where a part of a text may be cut in two that are encoded apart, else 0. Not within an open document. */
  lastCut(utf8: Uint8Array): number;
  /** Ids that stand before and after those of every text. */
  prefix: Int32Array;
  suffix: Int32Array;
}

/** A piece that cannot be cut, a run of one kind of character, is taken whole up to this. */
const LONGEST_RUN = 4 * 2 ** 20;

/** A document that no ids can be given for; `document` is its place in a batch. */
export class NotEncodable extends Error {
  constructor(
    message: string,
    readonly document?: number,
  ) {
    super(message);
    this.name = 'NotEncodable';
  }
}

export function createFastEncoder(wasm: EncoderWasm, shape: Shape): FastEncoder {
  const nfc = shape.nfc ? nfcNormalizer() : undefined;
  const encodeInto = new TextEncoder();
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const prefix = Int32Array.from(shape.prefix);
  const suffix = Int32Array.from(shape.suffix);

  /** The input's first bytes: whole characters, cut where no added token lies. */
  function encodePiece(length: number, take: TakeIds): void {
    const isPlain = wasm.findAdded(RAW | NORMALISED, 0, length) === length && (!nfc || wasm.isNfc(0, length) === 1);
    if (isPlain) encodeInput(0, length, take);
    else encodeBetweenAdded(wasm.inputView().slice(0, length), take);
  }

  function encodeInput(from: number, to: number, take: TakeIds): void {
    if (from === to) return;
    wasm.clearOutput();
    wasm.encode(from, to);
    take(wasm.ids());
  }

  /** Added tokens come out first, from the raw text; each stretch between them is normalised by itself. */
  function encodeBetweenAdded(piece: Uint8Array, take: TakeIds): void {
    for (const { from, to, id } of stretches(RAW, piece.length)) {
      if (from < to) encodeStretch(piece.subarray(from, to), take);
      if (id !== undefined) take(Int32Array.of(id));
      // What came next was overwritten by the normalised stretch.
      wasm.inputView().set(piece);
    }
  }

  function encodeStretch(stretch: Uint8Array, take: TakeIds): void {
    wasm.inputView().set(stretch);
    let length = stretch.length;
    if (nfc && wasm.isNfc(0, length) === 0) length = write(nfc.normalizeString(decoder.decode(stretch)));
    for (const { from, to, id } of stretches(NORMALISED, length)) {
      encodeInput(from, to, take);
      if (id !== undefined) take(Int32Array.of(id));
    }
  }

  /** What lies before each added token in the input, and after the last. */
  function* stretches(list: number, length: number): Generator<{ from: number; to: number; id?: number }> {
    let from = 0;
    for (;;) {
      const to = wasm.findAdded(list, from, length);
      if (to === length) break;
      const end = wasm.addedEnd();
      yield { from, to, id: wasm.addedId() };
      from = end;
    }
    yield { from, to: length };
  }

  /** Puts a text into the input; its length in bytes. */
  function write(text: string): number {
    const most = text.length * 3;
    if (most > wasm.inputCapacity.value) wasm.layOut(most);
    return encodeInto.encodeInto(text, wasm.inputView()).written;
  }

  function encodeText(text: string, take: TakeIds): void {
    if (text.length * 3 > PIECE) return encodeBytes(Buffer.from(text), take);
    if (prefix.length > 0) take(prefix);
    encodePiece(write(text), take);
    if (suffix.length > 0) take(suffix);
  }

  function encodeBytes(utf8: Uint8Array, take: TakeIds): void {
    if (utf8.length <= PIECE) return encodeShort(utf8, take);
    const document = open(take);
    document.write(utf8);
    document.end();
  }

  function encodeShort(utf8: Uint8Array, take: TakeIds): void {
    if (!isUtf8(utf8)) throw new NotEncodable(`not UTF-8, between the bytes 0 and ${utf8.length}`);
    if (prefix.length > 0) take(prefix);
    if (wasm.inputCapacity.value < utf8.length) wasm.layOut(PIECE);
    wasm.inputView().set(utf8);
    encodePiece(utf8.length, take);
    if (suffix.length > 0) take(suffix);
  }

  function lastCut(utf8: Uint8Array): number {
    if (wasm.inputCapacity.value < utf8.length) wasm.layOut(utf8.length);
    wasm.inputView().set(utf8);
    return wasm.lastCut(utf8.length);
  }

  function open(take: TakeIds, tell?: (joint: Joint) => void): OpenDocument {
    const seams = tell && watchSeams(tell);
    const takePiece: TakeIds = seams ? (ids) => (seams.ids(ids), take(ids)) : take;
    let filled = 0;
    let written = 0;
    if (wasm.inputCapacity.value !== PIECE) wasm.layOut(PIECE);
    if (prefix.length > 0) take(prefix);

    function encodeTo(cut: number, isLast: boolean): void {
      if (!isUtf8(wasm.inputView().subarray(0, cut)))
        throw new NotEncodable(`not UTF-8, between the bytes ${written} and ${written + cut}`);
      const rest = wasm.inputView().slice(cut, filled);
      seams?.begin(wasm.inputView().subarray(0, cut), isLast);
      encodePiece(cut, takePiece);
      seams?.end();
      written += cut;
      filled = rest.length;
      wasm.inputView().set(rest);
    }

    function makeRoom(): void {
      const cut = wasm.lastCut(filled);
      if (cut > 0) encodeTo(cut, false);
      // Less than half would soon be full again.
      const capacity = wasm.inputCapacity.value;
      if (filled * 2 < capacity) return;
      if (capacity >= LONGEST_RUN)
        throw new NotEncodable(
          `the ${filled} bytes from byte ${written} on are characters of one kind, without a space or any other place to cut; ${LONGEST_RUN} at most can be encoded`,
        );
      wasm.layOut(capacity * 2);
    }

    return {
      write(chunk) {
        for (let at = 0; at < chunk.length;) {
          if (filled === wasm.inputCapacity.value) makeRoom();
          const part = chunk.subarray(at, at + wasm.inputCapacity.value - filled);
          wasm.inputView().set(part, filled);
          filled += part.length;
          at += part.length;
        }
      },
      end() {
        encodeTo(filled, true);
        if (suffix.length > 0) take(suffix);
      },
    };
  }

  return { encodeText, encodeBytes, open, lastCut, prefix, suffix };
}
