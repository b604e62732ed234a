/** Out of training's way: whatever else wants a core or a disk comes first. */
import { execFile } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { constants, setPriority } from 'node:os';
import { promisify } from 'node:util';

const { PRIORITY_LOW } = constants.priority;

/**
 * Of this whole process, which must be the leader of its session: where Linux schedules sessions (autogroup), niceness of
 * a thread counts among those of its own session only, and it is the session that has to be nice to that of a rank.
 * Niceness and I/O priority belong to threads; those that come later have them from the one that starts them.
 */
export async function lowerPriority(): Promise<void> {
  const threads = await readdir('/proc/self/task');
  for (const thread of threads) setPriority(Number(thread), PRIORITY_LOW);
  // Kernels without autogroup have no such file.
  await writeFile('/proc/self/autogroup', String(PRIORITY_LOW)).catch(() => undefined);
  const runs = promisify(execFile);
  // Without util-linux the kernel goes by niceness.
  await runs('ionice', ['-c', 'idle', '-p', ...threads]).catch(() => undefined);
  // A rank that wakes up then has its core at once, where niceness alone lets the other finish its turn.
  await runs('chrt', ['--all-tasks', '--idle', '--pid', '0', String(process.pid)]).catch(() => undefined);
}
