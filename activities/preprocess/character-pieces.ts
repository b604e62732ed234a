/**
 * Tokens that hold a part of a character: a text in a script that a vocabulary was not made for is spelled in them. They
 * are found once a tokenizer, which takes reading all of its vocabulary, and kept beside the encoder's tables.
 */
import { isUtf8 } from 'node:buffer';
import { join } from 'node:path';
import { sha256 } from '../artifact.js';
import { readIfThere, readJson, writeFileAtomic } from '../atomic.js';
import { byteLevelAlphabet } from './encoder/byte-level.js';

export interface CharacterPieces {
  /** One more than the highest id of the vocabulary. */
  size: number;
  /** Bytes of each such token, in base64. */
  pieces: [id: number, bytes: string][];
  /** The token that stands for whatever the vocabulary cannot express. */
  unknown?: number;
}

interface TokenizerJson {
  pre_tokenizer?: unknown;
  decoder?: unknown;
  model?: { vocab?: Record<string, number> | [string, number][]; unk_token?: string | null; unk_id?: number | null };
}

const byteOf = new Map(byteLevelAlphabet.map((character, byte) => [character, byte]));

export function piecesOf({ pre_tokenizer, decoder, model }: TokenizerJson): CharacterPieces {
  const vocab = model?.vocab ?? {};
  const tokens = Array.isArray(vocab)
    ? vocab.map(([token], id): [string, number] => [token, id])
    : Object.entries(vocab);
  const isByteLevel = JSON.stringify([pre_tokenizer, decoder]).includes('"ByteLevel"');
  const bytesOf = isByteLevel ? bytesOfCharacters : byteOfName;
  const pieces: CharacterPieces['pieces'] = [];
  for (const [token, id] of tokens) {
    const bytes = bytesOf(token);
    if (bytes && !isUtf8(bytes)) pieces.push([id, bytes.toString('base64')]);
  }
  const unknown =
    model?.unk_id ?? (typeof model?.unk_token === 'string' ? new Map(tokens).get(model.unk_token) : undefined);
  return {
    size: tokens.reduce((size, [, id]) => Math.max(size, id + 1), 0),
    pieces,
    ...(unknown !== undefined && { unknown }),
  };
}

/** `undefined` for what is no token of bytes. */
function bytesOfCharacters(token: string): Buffer | undefined {
  const bytes = Buffer.alloc(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = byteOf.get(token[i]!);
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}

/** As vocabularies of SentencePiece's kind write what they fall back to. */
function byteOfName(token: string): Buffer | undefined {
  const byte = /^<0x([0-9A-F]{2})>$/.exec(token)?.[1];
  return byte === undefined ? undefined : Buffer.from(byte, 'hex');
}

/** @param tokenizerDir without a `tokenizer.json` in it nothing is known of its tokens */
export async function loadPieces(tokenizerDir: string, tablesIn?: string): Promise<CharacterPieces> {
  const json = await readIfThere(join(tokenizerDir, 'tokenizer.json'));
  if (!json) return { size: 0, pieces: [] };
  const kept = tablesIn === undefined ? undefined : await readKept(pathOf(json, tablesIn));
  return kept ?? piecesOf(JSON.parse(json.toString('utf8')) as TokenizerJson);
}

export const hasPieces = async (json: Buffer, tablesIn: string): Promise<boolean> =>
  (await readKept(pathOf(json, tablesIn))) !== undefined;

/** As well as it goes: a folder that cannot be written to costs time only. */
export async function keepPieces(json: Buffer, tablesIn: string): Promise<void> {
  const found = JSON.stringify(piecesOf(JSON.parse(json.toString('utf8')) as TokenizerJson));
  await writeFileAtomic(pathOf(json, tablesIn), found).catch(() => undefined);
}

const pathOf = (json: Buffer, tablesIn: string): string => join(tablesIn, `${sha256(json)}.pieces.json`);

const readKept = (path: string): Promise<CharacterPieces | undefined> =>
  readJson<CharacterPieces>(path).catch(() => undefined);
