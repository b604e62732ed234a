/** A fast encoder for a `tokenizer.json`, or why there is none; either is known the next time. */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { nfcNormalizer } from 'tokenizers';
import { createFastEncoder, type FastEncoder } from './fast.js';
import { recogniseShape, type Shape, type TokenizerJson } from './shape.js';
import { readSnapshot, snapshotPath, type Snapshot, writeSnapshot } from './snapshot.js';
import { fillTables, prepare } from './tables.js';
import { type EncoderProgram, type EncoderWasm, loadProgram } from './wasm.js';

export interface Fast {
  fast: FastEncoder;
  shape: Shape;
  /** Lets the next one compute its tables anew. */
  forgetTables(): Promise<void>;
}

export type LoadedFast = Fast | { reason: string };

/** `tablesIn`: a folder that keeps what is computed of a tokenizer; without it, that takes seconds each time. */
export async function loadFast(json: Buffer, tablesIn?: string): Promise<LoadedFast> {
  const program = await loadProgram();
  if (!program) return { reason: 'encoder.wasm is not there: run npm run build' };
  const path = tablesIn === undefined ? undefined : snapshotPath(tablesIn, json, program.digest, libraryVersion());
  const snapshot = path === undefined ? undefined : await readSnapshot(path);
  const forgetTables = async () => (path === undefined ? undefined : rm(path, { force: true }));
  if (snapshot) return 'reason' in snapshot ? snapshot : { ...restore(program, snapshot), forgetTables };
  const refuse = async (reason: string) => {
    if (path !== undefined) await writeSnapshot(path, { reason });
    return { reason };
  };
  const tokenizer = parse(json);
  const recognised = recogniseShape(tokenizer);
  if ('reason' in recognised) return refuse(recognised.reason);
  const { shape } = recognised;
  const model = tokenizer.model!;
  const wasm = program.instantiate();
  prepare(wasm, shape, model.merges.length);
  const normaliser = nfcNormalizer();
  const reason = fillTables(wasm, shape, model, (text) => normaliser.normalizeString(text));
  if (reason !== undefined) return refuse(reason);
  if (path !== undefined) await writeSnapshot(path, { shape, merges: model.merges.length, tables: tablesOf(wasm) });
  return { fast: createFastEncoder(wasm, shape), shape, forgetTables };
}

export async function hasTables(json: Buffer, tablesIn: string): Promise<boolean> {
  const program = await loadProgram();
  return !program || existsSync(snapshotPath(tablesIn, json, program.digest, libraryVersion()));
}

/** What is no JSON has no shape either; why it is none, the slow path's loader says. */
function parse(json: Buffer): TokenizerJson {
  try {
    return JSON.parse(json.toString('utf8')) as TokenizerJson;
  } catch {
    return {};
  }
}

function restore(program: EncoderProgram, { shape, merges, tables }: Snapshot): Omit<Fast, 'forgetTables'> {
  const wasm = program.instantiate();
  prepare(wasm, shape, merges);
  tablesOf(wasm).set(tables);
  return { fast: createFastEncoder(wasm, shape), shape };
}

const tablesOf = (wasm: EncoderWasm): Uint8Array => wasm.bytes().subarray(wasm.tablesStart.value, wasm.tablesEnd.value);

/** Which Unicode the library knows is known by its version only. */
export const libraryVersion = (): string =>
  (createRequire(import.meta.url)('tokenizers/package.json') as { version: string }).version;
