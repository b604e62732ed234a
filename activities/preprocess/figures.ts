/**
 * What texts are like, gathered while they are encoded from their ids alone. Figures of a whole are the sum of
 * those of its parts in order, whatever the parts are.
 */
import type { DatasetFigures, KeyFigures as Told, LongDocument } from '../../workflows/dataset-figures.js';
import type { CharacterPieces } from './character-pieces.js';
import { createDocumentDigest, createRepeats, mergeSamples, repeatsIn, type RepeatSample } from './repeats.js';
import { scriptOf } from './scripts.js';

export interface KeyFigures extends Pick<Told, 'lengths' | 'withoutTokens' | 'longest' | 'pieces'> {
  sample: RepeatSample;
}

export interface Figures {
  keys: Record<string, KeyFigures>;
  /** The last file that has a row in this part, and how many: rows of the next part that are in the same file follow these. */
  lastFile?: { file: string; rows: number };
}

/** What is to be known of a tokenizer's ids. */
export interface IdFacts {
  /** No id may reach it. */
  vocabSize: number;
  /** Ids that only the tokenizer's own markers should have. */
  special?: ReadonlySet<number> | undefined;
  pieces?: CharacterPieces | undefined;
}

/** Looks at the texts of one key. */
export interface TextLook {
  /** Ids of a text that is in memory as a whole, without what is put after it. */
  whole(ids: Int32Array): Seen;
  /** The next portion of one that is not. */
  portion(ids: Int32Array): void;
  /** What was seen in all portions since the last text. */
  joined(): Seen;
  /** The text that was just seen, whose ids are still there, is a document. */
  document(place: LongDocument): void;
  figures(): KeyFigures;
}

export interface Seen {
  hasSpecial: boolean;
  /** An id that reaches `vocabSize`. */
  tooLarge?: number;
}

const LONGEST = 10;
/** Above all vocabularies of today: what lies above is looked at one by one. */
const MOST_IDS = 2 ** 21;
/** Why an id is looked at one by one; bits. */
const [SPECIAL, PIECE, UNKNOWN] = [1, 2, 4];

export function createTextLook({ vocabSize, special = new Set(), pieces }: IdFacts): TextLook {
  const bytesOf = new Map(pieces?.pieces.map(([id, bytes]) => [id, Buffer.from(bytes, 'base64')]));
  const oddities = new Uint8Array(Math.min(vocabSize, MOST_IDS));
  const mark = (ids: Iterable<number>, oddity: number) => {
    for (const id of ids) if (id >= 0) oddities[id]! |= oddity;
  };
  mark(special, SPECIAL);
  mark(bytesOf.keys(), PIECE);
  mark([pieces?.unknown ?? -1], UNKNOWN);

  const lengths: number[] = [];
  let withoutTokens = 0;
  let longest: LongDocument[] = [];
  const found = { tokens: 0, unknown: 0, characters: {} as Record<string, number> };
  const repeats = createRepeats();
  const digest = createDocumentDigest();
  const spelled = createSpelling((code) => {
    const script = scriptOf(code);
    found.characters[script] = (found.characters[script] ?? 0) + 1;
  });
  let seen: Seen = { hasSpecial: false };
  let last: Int32Array | undefined;

  function look(ids: Int32Array): void {
    for (let i = 0; i < ids.length; i++) if (oddities[ids[i]!] !== 0) lookAtOdd(ids[i]!);
  }

  function lookAtOdd(id: number): void {
    const oddity = id < oddities.length ? oddities[id]! : oddityOf(id);
    if (oddity & SPECIAL) seen.hasSpecial = true;
    if (oddity & UNKNOWN) found.unknown += 1;
    if ((oddity & PIECE) === 0) return;
    found.tokens += 1;
    spelled.token(bytesOf.get(id)!);
  }

  /** Of an id above those in the table. */
  function oddityOf(id: number): number {
    if (id >= vocabSize) seen.tooLarge ??= id;
    return (special.has(id) ? SPECIAL : 0) | (bytesOf.has(id) ? PIECE : 0) | (id === pieces?.unknown ? UNKNOWN : 0);
  }

  function taken(): Seen {
    const taken = seen;
    seen = { hasSpecial: false };
    spelled.end();
    return taken;
  }

  return {
    whole(ids) {
      look(ids);
      last = ids;
      return taken();
    },
    portion(ids) {
      look(ids);
      digest.write(ids);
      last = undefined;
    },
    joined: taken,
    document(place) {
      if (last) repeats.offer(last);
      else repeats.add(digest.end());
      if (place.tokens === 0) withoutTokens += 1;
      else {
        const at = 31 - Math.clz32(place.tokens);
        while (lengths.length <= at) lengths.push(0);
        lengths[at]! += 1;
      }
      if (longest.length === LONGEST && longest.at(-1)!.tokens >= place.tokens) return;
      longest = longestOf([...longest, place]);
    },
    figures: () => ({ lengths, ...noted(withoutTokens), longest, pieces: found, sample: repeats.sample() }),
  };
}

const noted = (withoutTokens: number) => (withoutTokens > 0 ? { withoutTokens } : {});

/** Of as long ones the first. */
const longestOf = (documents: LongDocument[]): LongDocument[] =>
  documents.sort((a, b) => b.tokens - a.tokens).slice(0, LONGEST);

/** Of the bytes of one token after the other, tells the characters whose bytes are in more than one. */
function createSpelling(take: (code: number) => void) {
  let [missing, code, isCut] = [0, 0, false];
  return {
    token(bytes: Uint8Array): void {
      isCut = missing > 0;
      for (const byte of bytes) {
        if (byte >= 0xc0) [missing, code, isCut] = [byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 1, firstBits(byte), false];
        else if (byte < 0x80) missing = 0;
        else if (missing > 0) {
          code = (code << 6) | (byte & 0x3f);
          if (--missing === 0 && isCut && code < 0x110000) take(code);
        }
      }
    },
    end: () => void (missing = 0),
  };
}

const firstBits = (byte: number): number => (byte >= 0xf0 ? byte & 0x07 : byte >= 0xe0 ? byte & 0x0f : byte & 0x1f);

export function addFigures(before: Figures, after: Figures): Figures {
  const { lastFile: last, keys } = before;
  const rowsBefore = (file: string) => (file === last?.file ? last.rows : 0);
  const end = after.lastFile && { ...after.lastFile, rows: after.lastFile.rows + rowsBefore(after.lastFile.file) };
  const lastFile = end ?? last;
  const sums = Object.entries(after.keys).map(([key, figures]): [string, KeyFigures] => {
    const moved = figures.longest.map((place) => ({ ...place, row: place.row + rowsBefore(place.file) }));
    return [key, keys[key] ? addKey(keys[key], { ...figures, longest: moved }) : { ...figures, longest: moved }];
  });
  return { keys: { ...keys, ...Object.fromEntries(sums) }, ...(lastFile && { lastFile }) };
}

function addKey(a: KeyFigures, b: KeyFigures): KeyFigures {
  const lengths = Array.from(
    { length: Math.max(a.lengths.length, b.lengths.length) },
    (_, place) => (a.lengths[place] ?? 0) + (b.lengths[place] ?? 0),
  );
  const characters = { ...a.pieces.characters };
  for (const [script, count] of Object.entries(b.pieces.characters))
    characters[script] = (characters[script] ?? 0) + count;
  return {
    lengths,
    ...noted((a.withoutTokens ?? 0) + (b.withoutTokens ?? 0)),
    longest: longestOf([...a.longest, ...b.longest]),
    pieces: {
      tokens: a.pieces.tokens + b.pieces.tokens,
      unknown: a.pieces.unknown + b.pieces.unknown,
      characters,
    },
    sample: mergeSamples(a.sample, b.sample),
  };
}

/** For people: scripts by how often they occurred, and what the sample of documents says. */
export function toldOf(
  { keys }: Figures,
  totals: Record<string, { documents: number; tokens: number }>,
): Record<string, Told> {
  const tell = ([key, figures]: [string, KeyFigures]): [string, Told] => {
    const { lengths, withoutTokens = 0, longest, pieces, sample } = figures;
    const { documents, tokens } = totals[key]!;
    const sequences = lengths.reduce((sum, count) => sum + count, withoutTokens);
    const characters = Object.fromEntries(
      Object.entries(pieces.characters).sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)),
    );
    return [
      key,
      {
        documents,
        tokens,
        lengths,
        ...noted(withoutTokens),
        longest,
        pieces: { ...pieces, characters },
        repeats: repeatsIn(sample, sequences),
      },
    ];
  };
  return Object.fromEntries(Object.entries(keys).map(tell));
}

const MOST_KEYS = 4;
const MOST_SCRIPTS = 10;
const LONGEST_NAME = 120;

/** What goes through Temporal: a few kB, whatever the dataset. */
export function inShort(figures: Record<string, Told>, order: string[]): DatasetFigures {
  const keys = order.filter((key) => figures[key]).slice(0, MOST_KEYS);
  return {
    keys: keys.map((key) => {
      const { longest, pieces, ...rest } = figures[key]!;
      const characters = Object.fromEntries(Object.entries(pieces.characters).slice(0, MOST_SCRIPTS));
      const named = longest.map((place) => ({ ...place, file: place.file.slice(-LONGEST_NAME) }));
      return { key: key.slice(0, LONGEST_NAME), ...rest, longest: named, pieces: { ...pieces, characters } };
    }),
  };
}
