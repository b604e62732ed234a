/**
 * Tables on disk, or why there are none, for the next process: one file a tokenizer and program, in a folder that the caller names. A file that
 * is missing, damaged or of another version is no error: tables are computed anew and written again.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { readIfThere, writeFileAtomic } from '../../atomic.js';
import type { Shape } from './shape.js';

/** Raise it when tables or shape change without the program, or what shapes are known. */
const FORMAT = 2;
const DIGEST_BYTES = 32;

export interface Snapshot {
  shape: Shape;
  merges: number;
  tables: Uint8Array;
}

/** Why the tokenizer has no tables. */
export interface NoTables {
  reason: string;
}

type Header = Omit<Snapshot, 'tables'> | NoTables;

/** What tables depend on: the tokenizer, the program that reads them, and the library that was asked about Unicode. */
export const snapshotPath = (dir: string, tokenizer: Buffer, program: string, library: string): string => {
  const key = createHash('sha256').update(tokenizer).update(`\0${program}\0${library}\0${FORMAT}`).digest('hex');
  return join(dir, `${key}.tables`);
};

/** Digest of the rest, length of the header, header, tables. */
export async function readSnapshot(path: string): Promise<Snapshot | NoTables | undefined> {
  const file = await readIfThere(path);
  if (!file || file.length < DIGEST_BYTES + 4) return undefined;
  const content = file.subarray(DIGEST_BYTES);
  if (!digestOf(content).equals(file.subarray(0, DIGEST_BYTES))) return undefined;
  const end = 4 + content.readUInt32LE(0);
  const header = JSON.parse(content.toString('utf8', 4, end)) as Header;
  return 'reason' in header ? header : { ...header, tables: content.subarray(end) };
}

/** As well as it goes: a folder that cannot be written to costs time only. */
export async function writeSnapshot(path: string, content: Snapshot | NoTables): Promise<void> {
  if ('reason' in content) return write(path, { reason: content.reason }, new Uint8Array());
  const { tables, ...header } = content;
  await write(path, header, tables);
}

async function write(path: string, told: Header, tables: Uint8Array): Promise<void> {
  const header = Buffer.from(JSON.stringify(told));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  const content = Buffer.concat([length, header, tables]);
  await writeFileAtomic(path, Buffer.concat([digestOf(content), content])).catch(() => undefined);
}

const digestOf = (content: Uint8Array): Buffer => createHash('sha256').update(content).digest();
