/** The module that `npm run build` makes of assembly/, and its memory. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { isMissing } from '../../atomic.js';

// Of Node's types, version 20 has no WebAssembly, and those of browsers would bring `window` and `fetch` along.
declare const WebAssembly: {
  Module: new (code: Uint8Array) => object;
  Instance: new (module: object) => { exports: unknown };
};

type Global = { readonly value: number };

/** See assembly/index.ts. */
interface Exports {
  memory: { readonly buffer: ArrayBuffer };
  tablesStart: Global;
  tablesEnd: Global;
  classes: Global;
  input: Global;
  inputCapacity: Global;
  output: Global;
  outputLength: Global;
  prepare(
    slotBits: number,
    merges: number,
    addedBytes: number,
    addedTokens: number,
    onlyFirst: number,
    splitter: number,
    wholeBits: number,
    wholeBytes: number,
    cacheBits: number,
    arenaBytes: number,
  ): void;
  layOut(bytes: number): void;
  setByteToken(byte: number, id: number): void;
  addMerge(left: number, right: number, rank: number, id: number): number;
  fillBytePairs(): void;
  addWhole(length: number, id: number): number;
  onlyToken(length: number): number;
  setCharToken(codePoint: number, id: number): void;
  addCutPair(left: number, right: number, next: number): void;
  addNeighbours(left: number, right: number): void;
  addAdded(list: number, length: number, id: number): void;
  setOrder(codePoint: number, order: number): void;
  clearOutput(): void;
  clearCache(): void;
  isNfc(from: number, to: number): number;
  findAdded(lists: number, from: number, to: number): number;
  addedEnd(): number;
  addedId(): number;
  encode(from: number, to: number): void;
  lastCut(length: number): number;
}

export interface EncoderWasm extends Exports {
  /** All of memory; a new one after each growth, so never to be kept. */
  bytes(): Uint8Array;
  /** What may be written: the text to encode. */
  inputView(): Uint8Array;
  /** Ids that were put out; gone with the next call. */
  ids(): Int32Array;
}

export interface EncoderProgram {
  /** Of another program no snapshot of tables may be used. */
  digest: string;
  instantiate(): EncoderWasm;
}

let program: Promise<EncoderProgram | undefined> | undefined;

/** `undefined` where `npm run build` has not been run. */
export const loadProgram = (): Promise<EncoderProgram | undefined> => (program ??= readProgram());

async function readProgram(): Promise<EncoderProgram | undefined> {
  const code = await readCode();
  if (!code) return undefined;
  const module = new WebAssembly.Module(code);
  return {
    digest: createHash('sha256').update(code).digest('hex'),
    instantiate: () => withViews(new WebAssembly.Instance(module).exports as Exports),
  };
}

/** Beside this file as compiled; sources that run as they are find it where the build puts it. */
async function readCode(): Promise<Buffer | undefined> {
  for (const place of ['./encoder.wasm', '../../../dist/activities/preprocess/encoder/encoder.wasm']) {
    try {
      return await readFile(fileURLToPath(new URL(place, import.meta.url)));
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
  return undefined;
}

function withViews(exports: Exports): EncoderWasm {
  let all = new Uint8Array(exports.memory.buffer);
  const bytes = () => {
    if (all.buffer !== exports.memory.buffer) all = new Uint8Array(exports.memory.buffer);
    return all;
  };
  return {
    ...exports,
    bytes,
    inputView: () => bytes().subarray(exports.input.value, exports.input.value + exports.inputCapacity.value),
    ids: () => new Int32Array(exports.memory.buffer, exports.output.value, exports.outputLength.value),
  };
}
