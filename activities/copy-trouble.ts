/** What to do about a save that cannot be sealed or copied: when to try again, when to say so, when to give up. Pure. */
import type { ApplicationFailure } from '@temporalio/common';

export interface Trouble {
  iteration: number;
  failure: ApplicationFailure;
  /** In a row, of this iteration. */
  tries: number;
  /** When saves ceased to get on, in milliseconds of a clock that only goes forward. */
  since: number;
}

const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 30_000;
/** A peer that is started again, or a file that is written again, is no news. */
const NEWS_AFTER_MS = 5000;
const ENOUGH_TRIES = 5;

export const troubled = (
  before: Trouble | undefined,
  iteration: number,
  failure: ApplicationFailure,
  now: number,
): Trouble => ({
  ...{ iteration, failure, since: before?.since ?? now },
  tries: before?.iteration === iteration ? before.tries + 1 : 1,
});

/** Milliseconds to the next attempt: each reads what there is all over again. */
export const waitOf = ({ tries }: Trouble): number => Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (tries - 1));

export const isLasting = ({ since }: Trouble, now: number): boolean => now - since >= NEWS_AFTER_MS;

/** Of a save that newer ones wait behind. */
export const isGivenUp = ({ tries }: Trouble): boolean => tries >= ENOUGH_TRIES;

export interface Outlook {
  /** All ranks have ended: no newer save comes, which might do better. */
  over: boolean;
  /** Whether this node only keeps copies, which another one can do as well. */
  copiesOnly: boolean;
  patienceMs: number;
  now: number;
}

export function isFinal(trouble: Trouble, outlook: Outlook): boolean {
  const { type } = trouble.failure;
  const { over, copiesOnly, patienceMs, now } = outlook;
  const isOwn = type === 'EnvCheckFailed';
  const isLong = now - trouble.since > patienceMs;
  // Damaged bytes and a full disk stay what they are; a connection may be better a little later.
  if (over) return isLong || (isGivenUp(trouble) && (isOwn || type === 'DataCorrupt'));
  return copiesOnly && isOwn && isLong;
}
