/** Tables of the fast path that are whole, and wrong: as a defect of the encoder would make them. */
import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Tokens of single bytes come first, and then that of each merge. */
const BYTES = 256;
const RANK = 2n ** 21n - 1n;
const MOST_TOKENS = 2n ** 18n;

/** In the only tables of a folder, the last merge that makes this id makes the next one. See assembly/merges.ts. */
export async function makeTablesWrong(dir: string, id: number): Promise<void> {
  const [name, ...others] = (await readdir(dir)).filter((entry) => entry.endsWith('.tables'));
  if (!name || others.length > 0) throw new Error(`expected the tables of one tokenizer in ${dir}`);
  const content = (await readFile(join(dir, name))).subarray(32);
  const places = placesOf(content, BigInt(id - BYTES));
  if (places.length !== 1) throw new Error(`${places.length} places in the tables may be the merge that makes ${id}`);
  const merge = content.readBigUInt64LE(places[0]);
  content.writeBigUInt64LE(merge + 1n, places[0]);
  await writeFile(join(dir, name), Buffer.concat([createHash('sha256').update(content).digest(), content]));
}

/** Words that are this rank below two tokens. Where a table has the rank in 32 bits, those above it are zero. */
function placesOf(content: Buffer, rank: bigint): number[] {
  const places = [];
  for (let at = 0; at + 8 <= content.length; at += 4) {
    const low = content.readUInt32LE(at);
    if ((low & Number(RANK)) !== Number(rank) || low < RANK) continue;
    const word = content.readBigUInt64LE(at);
    if (word >> 63n === 0n && word >> 42n < MOST_TOKENS) places.push(at);
  }
  return places;
}
