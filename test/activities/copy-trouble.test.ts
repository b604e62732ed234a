import { describe, expect, it } from 'vitest';
import { isFinal, isLasting, troubled, waitOf, type Trouble } from '../../activities/copy-trouble.js';
import { failure, type FailureType } from '../../activities/failures.js';

/** So many failures of one save, each as long after the last as one waits for it. */
function failing(tries: number, type: FailureType = 'DataCorrupt'): { trouble: Trouble; now: number } {
  let trouble = troubled(undefined, 5, failure(type, 'why'), 0);
  let now = 0;
  for (let i = 1; i < tries; i++) trouble = troubled(trouble, 5, failure(type, 'why'), (now += waitOf(trouble)));
  return { trouble, now };
}

describe('a save that cannot be copied', () => {
  it('is tried soon at first, then ever more seldom, and twice a minute in the end', () => {
    expect([1, 2, 3, 9, 99].map((tries) => waitOf(failing(tries).trouble))).toEqual([100, 200, 400, 25_600, 30_000]);
  });

  it('is told of before a minute is over, and not for what passes at once', () => {
    const toldAt = Array.from({ length: 20 }, (_, tries) => failing(tries + 1)).find(({ trouble, now }) =>
      isLasting(trouble, now),
    )!.now;
    expect(toldAt).toBeGreaterThan(3_000);
    expect(toldAt).toBeLessThan(30_000);
  });

  it('is tried at once when a newer one has come, and its trouble is as old as that of the one before', () => {
    const { trouble, now } = failing(9);
    const next = troubled(trouble, 10, failure('DataCorrupt', 'why'), now);
    expect(next).toMatchObject({ iteration: 10, tries: 1, since: 0 });
  });

  it.each<[string, FailureType, number, boolean, boolean, boolean]>([
    ['damaged bytes are waited for while ranks train', 'DataCorrupt', 30, false, false, false],
    ['and not after them', 'DataCorrupt', 5, true, false, true],
    ['but for some tries', 'DataCorrupt', 4, true, false, false],
    ['a full disk is waited for by a node that trains', 'EnvCheckFailed', 30, false, false, false],
    ['and left to others, after a while, by one that only keeps copies', 'EnvCheckFailed', 30, false, true, true],
    ['but not at once', 'EnvCheckFailed', 4, false, true, false],
    ['a broken connection may come back after the ranks have ended', 'CommandFailed', 8, true, false, false],
    ['but not for ever', 'CommandFailed', 20, true, false, true],
  ])('%s', (_, type, tries, over, copiesOnly, final) => {
    const { trouble, now } = failing(tries, type);
    expect(isFinal(trouble, { over, copiesOnly, patienceMs: 60_000, now })).toBe(final);
  });
});
