/** The fast path's ids beside npm `tokenizers`': exactness is checked on each corpus, not assumed. */

export interface Difference {
  /** Which text of the sample. */
  index: number;
  text: string;
  /** First place where the ids differ. */
  at: number;
  fast: number[];
  slow: number[];
}

export function firstDifference(
  texts: readonly string[],
  fast: ArrayLike<number>[],
  slow: ArrayLike<number>[],
): Difference | undefined {
  for (const [index, text] of texts.entries()) {
    const [ours, theirs] = [Array.from(fast[index]!), Array.from(slow[index]!)];
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
