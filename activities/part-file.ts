/**
 * A file on its way: in one piece beside its place, with a list of the blocks that were proven. The list is believed
 * in nothing: after a crash every block in it is read and proven again.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { appendFile, mkdir, open, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { commitFile, nameBeside, readIfThere } from './atomic.js';
import type { Block } from './blocks.js';

/** Hidden, and with the node's name in it: two nodes may share the directory. */
export const partOf = (node: string, to: string): string => join(dirname(to), `.${nameBeside(to)}.${node}.part`);

const listOf = (part: string): string => `${part}.blocks`;

/** Bytes on disk that are its already, of the size that it is to have. */
export async function roomTaken(part: string, size: number): Promise<number> {
  const found = await stat(part).catch(() => undefined);
  return Math.min(size, (found?.blocks ?? 0) * 512);
}

/** Makes the part ready to be written to, and says which of its blocks are there already. */
export async function openPart(
  part: string,
  size: number,
  blocks: Block[],
  signal: AbortSignal | undefined,
): Promise<Block[]> {
  await mkdir(dirname(part), { recursive: true });
  const list = await readIfThere(listOf(part));
  const listed = new Set(list?.toString('utf8').split('\n').filter(Boolean).map(Number));
  const file = await open(part, listed.size ? 'a' : 'w');
  // Not all of it takes room on disk yet.
  await file.truncate(size).finally(() => file.close());
  const proven: Block[] = [];
  for (const block of blocks) if (listed.has(block.offset) && (await isProven(part, block, signal))) proven.push(block);
  return proven;
}

/** Lets `fill` write a block, and notes that it is proven if that ends well. */
export async function fillPart(part: string, block: Block, fill: (file: FileHandle) => Promise<void>): Promise<void> {
  const file = await open(part, 'r+');
  try {
    await fill(file);
  } finally {
    await file.close();
  }
  await appendFile(listOf(part), `${block.offset}\n`);
}

/** Gives the file its name, once it is on disk. */
export async function commitPart(part: string, to: string): Promise<void> {
  await commitFile(part, to);
  await rm(listOf(part), { force: true });
}

async function isProven(
  part: string,
  { offset, length, sha256 }: Block,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const hash = createHash('sha256');
  const range = { start: offset, end: offset + length - 1, highWaterMark: 2 ** 20, ...(signal ? { signal } : {}) };
  for await (const chunk of length > 0 ? createReadStream(part, range) : []) hash.update(chunk as Buffer);
  return hash.digest('hex') === sha256;
}
