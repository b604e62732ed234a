/** Takes a whole node away: its worker and everything that runs in its data directory, as a power cut would. */
import { readdir, readFile, readlink } from 'node:fs/promises';
import type { Part } from './part.js';

/**
 * Ids of all processes whose working directory lies below `dir`, but for those of a person's terminal, such as a shell that
 * looks around there: what workers launch has none.
 */
export async function processesIn(dir: string): Promise<number[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const inside = await Promise.all(
    ids.map(async (pid) => {
      const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => '');
      return (cwd === dir || cwd.startsWith(`${dir}/`)) && !(await hasTerminal(pid));
    }),
  );
  return ids.filter((pid, index) => inside[index] && pid !== process.pid);
}

async function hasTerminal(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name may have spaces and brackets; after it come state, parent, group, session and terminal.
  const [, , , , terminal] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return terminal !== undefined && terminal !== '0';
}

/** Kills with SIGKILL until nothing is left: a process may start another between look and kill. */
export async function killNode(worker: Part, dataDir: string): Promise<void> {
  await worker.kill('SIGKILL');
  for (;;) {
    const left = await processesIn(dataDir);
    if (left.length === 0) return;
    for (const pid of left) killQuietly(pid);
    await new Promise((done) => setTimeout(done, 20));
  }
}

export function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already, which is what was wanted.
  }
}
