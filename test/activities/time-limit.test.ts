import { getEventListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { timeLimit } from '../../activities/time-limit.js';
import { collectGarbage } from '../support/collect-garbage.js';

const aborted = (signal: AbortSignal) =>
  new Promise<unknown>((resolve) => signal.addEventListener('abort', () => resolve(signal.reason), { once: true }));

it('ends after its time, though nobody but who listens holds it and garbage is collected', async () => {
  const ends = aborted(timeLimit(100, new AbortController().signal).signal);
  collectGarbage();
  expect(await ends).toMatchObject({ name: 'TimeoutError' });
});

it('ends with another signal, for its reason, at once where that has ended before', async () => {
  const outer = new AbortController();
  const ends = aborted(timeLimit(60_000, outer.signal).signal);
  outer.abort(new Error('cancelled'));
  expect(await ends).toMatchObject({ message: 'cancelled' });
  expect(timeLimit(60_000, outer.signal).signal.reason).toMatchObject({ message: 'cancelled' });
});

it('begins again when something came, and is nothing to anybody once it is lifted', async () => {
  const outer = new AbortController();
  const limit = timeLimit(150, outer.signal);
  for (let turn = 0; turn < 4; turn++) {
    await sleep(60);
    limit.touch();
  }
  expect(limit.signal.aborted).toBe(false);
  limit.lift();
  limit.touch();
  outer.abort();
  await sleep(200);
  expect(limit.signal.aborted).toBe(false);
  expect(getEventListeners(outer.signal, 'abort')).toEqual([]);
});
