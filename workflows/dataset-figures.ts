/** What the texts of a dataset are like, as its makers tell and people read it. Pure. */
import { duration } from './duration.js';
import { gigabytes } from './gigabytes.js';

export interface LongDocument {
  file: string;
  /** Counted from 1, as a person counts. */
  row: number;
  tokens: number;
}

/** Of one key. Documents that make no sequence are not among them. */
export interface KeyFigures {
  documents: number;
  tokens: number;
  /** Documents by their tokens: those with 2^i and more, but fewer than 2^(i+1), at place i. */
  lengths: number[];
  /** Those whose text has no token, as some tokenizers make of spaces; absent where there are none. */
  withoutTokens?: number;
  /** The first of several that are as long. */
  longest: LongDocument[];
  /** How much of it the vocabulary was not made for. */
  pieces: {
    /** Tokens that hold a part of a character only. */
    tokens: number;
    /** Tokens that stand for what the vocabulary cannot express at all. */
    unknown: number;
    /** Characters that are spelled in several tokens, by script. */
    characters: Record<string, number>;
  };
  /** Documents whose text was there before. */
  repeats: { documents: number; exact: boolean };
}

export interface DatasetFigures {
  /** Of the first keys; those of all are in the dataset's `preprocess.json`. */
  keys: ({ key: string } & KeyFigures)[];
}

const number = (value: number): string => value.toLocaleString('en-US');

export const percent = (part: number, whole: number): string => {
  const share = (100 * part) / (whole || 1);
  return share > 0 && share < 0.01 ? 'less than 0.01 %' : `${share.toFixed(share < 1 ? 2 : 1)} %`;
};

/** As in `8,192–16,383`. */
export const lengthRange = (place: number): string =>
  place === 0 ? '1' : `${number(2 ** place)}–${number(2 ** (place + 1) - 1)}`;

export const describeRepeats = ({ documents, repeats }: KeyFigures): string =>
  `${repeats.exact ? '' : 'about '}${percent(repeats.documents, documents)}`;

/** A line for each key. */
export const describeDataset = ({ keys }: DatasetFigures): string[] =>
  keys.map(({ key, ...figures }) => {
    const { documents, tokens, longest, pieces } = figures;
    return [
      `dataset ${key}: ${number(documents)} documents, ${number(tokens)} tokens`,
      ...(longest[0] ? [`longest ${number(longest[0].tokens)}`] : []),
      `${percent(pieces.tokens + pieces.unknown, tokens)} spelled in parts of characters`,
      `${describeRepeats(figures)} repeated`,
    ].join(' · ');
  });

/** How far preprocessing is, by the shards that are done and what is known of those under way. */
export interface Preprocessed {
  documents: number;
  tokens: number;
  /** Of the files of the dataset, and of all of them. */
  bytes: number;
  of: number;
  /** Since it began, fetching included. */
  seconds: number;
}

const SOON = 10_000;
const OFTEN = 30_000;
export const RAREST = 15 * 60_000;

/** Shards that may each speak as often as one by itself would: those of a node. */
const FEW = 8;

/** Of the time between two words to a run, so that there is something new whenever one is due. */
const SOONER = 0.9;

/**
 * Whether a run is told again of what is `age` old and last spoke `silent` ago: what comes first, then rarer with age.
 * All in milliseconds.
 */
export const isProgressDue = (age: number, silent: number, rarest = Infinity): boolean =>
  silent >= Math.min(rarest, Math.max(OFTEN, age / 10));

/**
 * Whether a shard speaks again: by the age of all the preprocessing, not its own, since others have spoken before it, and
 * the more seldom the more there are at a time. What they say goes into one history.
 */
export const isShardNewsDue = (age: number, silent: number, atATime: number): boolean =>
  silent >= SOONER * Math.max(1, atATime / FEW) * Math.min(RAREST, Math.max(SOON, age / 10));

export function describeProgress({ documents, tokens, bytes, of, seconds }: Preprocessed): string {
  const speed = bytes / Math.max(seconds, 0.001);
  return [
    `preprocessing: ${percent(bytes, of)} of ${gigabytes(of)}`,
    `${number(documents)} documents, ${number(tokens)} tokens`,
    `${(speed / 1e6).toFixed(1)} MB/s`,
    ...(bytes < of ? (bytes > 0 ? [`about ${duration((of - bytes) / speed)} left`] : []) : ['merging']),
  ].join(' · ');
}
