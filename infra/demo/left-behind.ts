/** What an earlier demo left running in its folder because it was killed: nobody could tell its processes. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { killQuietly, processesIn } from './kill-node.js';
import { pause, PART_LOG } from './part.js';

/**
 * Ends it. Only for whoever knows that nobody uses the folder.
 * @throws Error that names what is still there after so long
 */
export async function endLeftBehind(
  dir: string,
  { say, patienceMs = 10_000 }: { say: (text: string) => void; patienceMs?: number },
): Promise<void> {
  const found = await leftBehind(dir);
  if (found.length === 0) return;
  say(`ending what an earlier demo left running when it was killed: process ${found.join(', ')}`);
  const deadline = Date.now() + patienceMs;
  // Until nothing is left: a process may start another between look and kill.
  for (let left = found; left.length > 0; left = await leftBehind(dir)) {
    for (const pid of left) killQuietly(pid);
    if (Date.now() >= deadline)
      throw new Error(
        `an earlier demo left processes that do not end: end them (kill -9 ${left.join(' ')}) and start again; nothing in ${dir} was touched`,
      );
    await pause(20);
  }
}

/** Its parts are marked by their logs; what nodes have launched works in their data directories. */
async function leftBehind(dir: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const isPart = await Promise.all(
    pids.map(async (pid) => {
      const environ = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
      return environ.split('\0').some((variable) => variable.startsWith(`${PART_LOG}=${dir}/`));
    }),
  );
  return [...new Set([...pids.filter((_, index) => isPart[index]), ...(await processesIn(join(dir, 'nodes')))])];
}
