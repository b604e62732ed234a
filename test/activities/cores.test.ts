import { availableParallelism } from 'node:os';
import { expect, test } from 'vitest';
import { onCore } from '../../activities/preprocess/cores.js';

const forever = () => new AbortController().signal;

/** Work that ends when it is told to. */
function task() {
  let end!: () => void;
  const ended = new Promise<void>((resolve) => (end = resolve));
  return { end, begun: false, work: (run: { begun: boolean }) => ((run.begun = true), ended) };
}

test('no more run than there are cores, and one that ends lets the next begin', async () => {
  const tasks = Array.from({ length: availableParallelism() + 2 }, task);
  const all = tasks.map((each) => onCore(forever(), () => each.work(each)));
  const begun = () => tasks.filter((each) => each.begun).length;
  await Promise.resolve();
  const first = begun();
  expect(first).toBeGreaterThan(0);
  expect(first).toBeLessThanOrEqual(availableParallelism());
  tasks[0]!.end();
  await all[0];
  await new Promise(setImmediate);
  expect(begun()).toBe(first + 1);
  tasks.forEach((each) => each.end());
  await Promise.all(all);
  expect(begun()).toBe(tasks.length);
});

test('what is cancelled while it waits never begins, and holds nobody up', async () => {
  const tasks = Array.from({ length: availableParallelism() }, task);
  const all = tasks.map((each) => onCore(forever(), () => each.work(each)));
  const ending = new AbortController();
  const cancelled = task();
  const late = task();
  const waiting = onCore(ending.signal, () => cancelled.work(cancelled));
  const last = onCore(forever(), () => late.work(late));
  ending.abort(new Error('cancelled'));
  await expect(waiting).rejects.toThrow('cancelled');
  [...tasks, late].forEach((each) => each.end());
  await Promise.all([...all, last]);
  expect([cancelled.begun, late.begun]).toEqual([false, true]);
});
