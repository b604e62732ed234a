/** One process a directory: two agents would split a node's tasks at random between them, two demos wipe each other's data. */
import { holdDirectory } from '../activities/hold-directory.js';

/**
 * Holds a directory for this process.
 * @param what who holds such a lock, as others are told
 * @throws Error when another process has it
 */
export async function onlyProcess(dir: string, what: 'agent' | 'demo', message: string): Promise<() => Promise<void>> {
  const release = await holdDirectory(dir, what);
  if (!release) throw new Error(message);
  return release;
}

/** @throws Error when another node worker has the data directory */
export const onlyAgent = (dataDir: string): Promise<() => Promise<void>> =>
  onlyProcess(
    dataDir,
    'agent',
    `another node worker uses the data directory ${dataDir}. There is one agent a node: stop that one first`,
  );
