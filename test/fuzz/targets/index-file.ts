import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import { encodeHeader } from '../../../activities/preprocess/index-header.js';
import { readPair } from '../../../activities/preprocess/merge-pairs.js';
import { mutated } from '../mutate.js';
import type { Target } from '../target.js';

const BIN = Buffer.alloc(4 * 7);
const body = Buffer.alloc(3 * 4 + 3 * 8 + 4 * 8);
[3, 0, 4].forEach((length, n) => body.writeInt32LE(length, 4 * n));
[0n, 12n, 12n].forEach((pointer, n) => body.writeBigInt64LE(pointer, 12 + 8 * n));
[0n, 1n, 2n, 3n].forEach((document, n) => body.writeBigInt64LE(document, 36 + 8 * n));
const good = Buffer.concat([encodeHeader({ sequences: 3, documentIndex: 4 }), body]);

let dir: string | undefined;

/** An index whose files do not have the sizes that follow from it is corrupt, however large its counts. */
export const indexFile: Target<Buffer> = {
  name: 'index-file',
  inputs: mutated([good]),
  async check(bytes) {
    dir ??= mkdtempSync(join(tmpdir(), 'fuzz-index-'));
    writeFileSync(join(dir, 'p.bin'), BIN);
    writeFileSync(join(dir, 'p.idx'), bytes);
    try {
      const { sequences, documents, tokens } = await readPair(join(dir, 'p'));
      if (tokens !== 7 || sequences !== 3 || documents !== 3) throw new Error(`${sequences} ${documents} ${tokens}`);
    } catch (error) {
      if (!(error instanceof ApplicationFailure && error.type === 'DataCorrupt')) throw error;
    }
  },
  close() {
    if (dir) rmSync(dir, { recursive: true, force: true });
    dir = undefined;
    return Promise.resolve();
  },
};
