/**
 * One writer a directory at a time. After a server outage the attempt that Temporal gave up and the next one run
 * side by side in one worker for a moment; since a node has one agent, a lock in memory is enough.
 */
const tails = new Map<string, Promise<unknown>>();

export async function exclusive<T>(path: string, work: () => Promise<T>): Promise<T> {
  const before = tails.get(path) ?? Promise.resolve();
  const mine = before.then(work, work);
  tails.set(path, mine);
  try {
    return await mine;
  } finally {
    if (tails.get(path) === mine) tails.delete(path);
  }
}

/** Does the work at once, as the one writer of all these directories, or not at all where one of them has a writer. */
export async function whenIdle(paths: string[], work: () => Promise<void>): Promise<boolean> {
  if (paths.some((path) => tails.has(path))) return false;
  const mine = Promise.resolve().then(work);
  await Promise.all(paths.map((path) => exclusive(path, () => mine)));
  return true;
}
