/** What a dataset's rows were like, beside documents and tokens: what MindSpeed-LLM does not say. */
export interface KeyCounts {
  /** Texts without a character: they make no sequence. */
  empty: number;
  /** Documents as long as `seqLength` or longer, which make no sequence. */
  tooLong: number;
  /** Documents in whose text the tokenizer found special tokens, such as an end of document in the middle. */
  special: number;
}

export interface Counts {
  /** Blank lines are no rows, rows that were skipped are. */
  rows: number;
  skipped: number;
  /** Rows with a text in one key and none in another, so that the n-th documents of the two do not belong together. */
  misaligned: number;
  keys: Record<string, KeyCounts>;
  /** Keys of which every text so far looks like a date and comes from JSON: there is nothing else. */
  onlyDates: string[];
  /** Likewise from CSV: what pandas takes for numbers, and for `true` and `false`. */
  onlyNumbers: string[];
  onlyBooleans: string[];
}

export const ALL_ROWS = ['onlyDates', 'onlyNumbers', 'onlyBooleans'] as const;

export const noCounts = (keys: string[]): Counts => ({
  rows: 0,
  skipped: 0,
  misaligned: 0,
  keys: Object.fromEntries(keys.map((key) => [key, { empty: 0, tooLong: 0, special: 0 }])),
  onlyDates: keys,
  onlyNumbers: keys,
  onlyBooleans: keys,
});

/** Of a whole, from those of its parts. */
export function sumCounts(keys: string[], parts: Counts[]): Counts {
  const total = noCounts(keys);
  for (const part of parts) {
    total.rows += part.rows;
    total.skipped += part.skipped;
    total.misaligned += part.misaligned;
    for (const key of keys)
      for (const what of ['empty', 'tooLong', 'special'] as const) total.keys[key]![what] += part.keys[key]![what];
    for (const what of ALL_ROWS) total[what] = total[what].filter((key) => part[what].includes(key));
  }
  return total;
}
