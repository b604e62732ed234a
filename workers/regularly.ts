/** Does something again and again, one at a time: a look that takes longer than its interval delays the next. */
export function regularly(everyMs: number, work: () => Promise<void>, warn: (reason: unknown) => void): () => void {
  let busy = false;
  const timer = setInterval(() => {
    if (busy) return;
    busy = true;
    work()
      .catch(warn)
      .finally(() => (busy = false));
  }, everyMs);
  return () => clearInterval(timer);
}
