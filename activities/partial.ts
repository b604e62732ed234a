/** Artifacts that are on their way here: what of them is proven already is passed on to peers meanwhile. */
import type { Block } from './blocks.js';

export interface Partial {
  /** Of the artifact, below the data directory. */
  dir: string;
  /** The manifest's own bytes. */
  manifest: Uint8Array;
  blocks: Block[];
  /** By index of the block. */
  proven: boolean[];
  /** Blocks that are being fetched: peers leave these to us. */
  fetching: ReadonlySet<number>;
  /** Where the file of a manifest lies: at the first of these that is there. */
  pathsOf(file: number): string[];
  /** Rises with every change. */
  version: number;
  /** Resolves at the next change, or when there will be none. */
  changed(signal: AbortSignal): Promise<void>;
}

const running = new Map<string, Partial>();
const keyOf = (dataDir: string, digest: string): string => `${dataDir}\0${digest}`;

export const partialOf = (dataDir: string, digest: string): Partial | undefined => running.get(keyOf(dataDir, digest));

/** Shows a partial artifact to peers while `work` completes it. */
export async function whileShown<T>(
  dataDir: string,
  digest: string,
  partial: Partial,
  work: () => Promise<T>,
): Promise<T> {
  const key = keyOf(dataDir, digest);
  running.set(key, partial);
  try {
    return await work();
  } finally {
    running.delete(key);
  }
}

/** A value that others wait on to change. */
export function createSignal(): { notify(): void; next(signal: AbortSignal): Promise<void> } {
  let waiting: (() => void)[] = [];
  return {
    notify() {
      const woken = waiting;
      waiting = [];
      for (const wake of woken) wake();
    },
    next: (signal) =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve();
        waiting.push(resolve);
        signal.addEventListener('abort', () => resolve(), { once: true });
      }),
  };
}

/** A set of block numbers on the wire: one bit each, the lowest first, in base64. */
export function packBits(bits: boolean[]): string {
  const bytes = Buffer.alloc(Math.ceil(bits.length / 8));
  for (const [index, bit] of bits.entries()) if (bit) bytes[index >> 3]! |= 1 << (index & 7);
  return bytes.toString('base64');
}

export function unpackBits(text: string, count: number): boolean[] {
  const bytes = Buffer.from(text, 'base64');
  return Array.from({ length: count }, (_, index) => ((bytes[index >> 3] ?? 0) & (1 << (index & 7))) !== 0);
}
