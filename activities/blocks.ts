/** Large files are cut into blocks: what is fetched, proven and passed on by itself. */
import { createHash, type Hash } from 'node:crypto';
import type { Manifest, ManifestFile } from './artifact.js';

export const BLOCK_BYTES = 64 * 2 ** 20;

/** One piece of one file of a manifest. */
export interface Block {
  /** Place among all blocks of the manifest, by which peers name it. */
  index: number;
  /** Place of its file among the manifest's. */
  file: number;
  offset: number;
  length: number;
  sha256: string;
}

/** All blocks in order; a file that says nothing of blocks is one by itself. */
export function blocksOf({ files, block = BLOCK_BYTES }: Manifest): Block[] {
  let index = 0;
  return files.flatMap(({ size, sha256, blocks = [sha256] }, file) =>
    blocks.map((digest, place) => ({
      ...{ index: index++, file, sha256: digest },
      offset: place * block,
      length: Math.min(size - place * block, blocks.length > 1 ? block : size),
    })),
  );
}

export type Digests = Pick<ManifestFile, 'sha256' | 'blocks'>;

/** Digests of a file and, where it has more than one, of its blocks, in one pass. */
export function startDigests(size: number, blockBytes: number): { add(chunk: Buffer): void; end(): Digests } {
  const whole = createHash('sha256');
  const blocks: string[] = [];
  let current: Hash = createHash('sha256');
  let filled = 0;
  return {
    add(chunk) {
      whole.update(chunk);
      if (size <= blockBytes) return;
      for (let from = 0; from < chunk.length;) {
        if (filled === blockBytes) {
          blocks.push(current.digest('hex'));
          [current, filled] = [createHash('sha256'), 0];
        }
        const part = chunk.subarray(from, from + blockBytes - filled);
        current.update(part);
        filled += part.length;
        from += part.length;
      }
    },
    end: () => {
      const sha256 = whole.digest('hex');
      return blocks.length ? { sha256, blocks: [...blocks, current.digest('hex')] } : { sha256 };
    },
  };
}
