/** The fast path's ids beside npm `tokenizers`': exactness is checked on each corpus, not assumed. */
import { createHash } from 'node:crypto';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** A text, and the ids that the fast path gave it. */
export interface Encoded {
  text: string;
  ids: ArrayLike<number>;
}

export interface Difference {
  /** Which text of the sample. */
  index: number;
  text: string;
  /** First place where the ids differ. */
  at: number;
  fast: number[];
  slow: number[];
}

export function firstDifference(fast: readonly Encoded[], slow: readonly ArrayLike<number>[]): Difference | undefined {
  for (const [index, { text, ids }] of fast.entries()) {
    const [ours, theirs] = [Array.from(ids), Array.from(slow[index]!)];
    const length = Math.max(ours.length, theirs.length);
    for (let at = 0; at < length; at++)
      if (ours[at] !== theirs[at]) return { index, text, at, fast: ours, slow: theirs };
  }
  return undefined;
}

/** Ids shown around the place. */
const AROUND = 8;
const MOST_CHARACTERS = 200;

/** One line for a person: both sequences around the place, and how the text begins. */
export function describeDifference({ text, at, fast, slow }: Difference): string {
  const around = (ids: number[]) => {
    const from = Math.max(0, at - AROUND);
    const shown = ids.slice(from, at + AROUND).join(' ');
    return `${from > 0 ? '… ' : ''}${shown}${at + AROUND < ids.length ? ' …' : ''}`;
  };
  const start = JSON.stringify(text.slice(0, MOST_CHARACTERS)) + (text.length > MOST_CHARACTERS ? '…' : '');
  return `fast and npm tokenizers' ids differ from id ${at} on: [${around(fast)}], expected [${around(slow)}], in the text ${start}`;
}

/**
 * That these ids are those of these texts stays true as long as tokenizer and library are the same: it is kept as an
 * empty file whose name is the digest of all of them, so that the same input is not checked twice.
 */
export function factOf(dir: string, tokenizer: Buffer, library: string, sample: readonly Encoded[]) {
  const hash = createHash('sha256').update(tokenizer).update(`\0${library}\0`);
  for (const { text, ids } of sample) hash.update(`${text.length}\0${text}`).update(Int32Array.from(ids));
  const path = join(dir, 'checked', hash.digest('hex'));
  return {
    isKnown: () =>
      stat(path).then(
        () => true,
        () => false,
      ),
    /** As well as it goes: a folder that cannot be written to costs time only. */
    async keep(): Promise<void> {
      await mkdir(dirname(path), { recursive: true }).catch(() => undefined);
      await writeFile(path, '').catch(() => undefined);
    },
  };
}
