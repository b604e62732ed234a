/** Takes a whole node away: its worker and everything that runs in its data directory, as a power cut would. */
import { readdir, readlink } from 'node:fs/promises';
import type { Part } from './part.js';

/** Ids of all processes whose working directory lies below `dir`. */
export async function processesIn(dir: string): Promise<number[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const inside = await Promise.all(
    ids.map(async (pid) => {
      const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => '');
      return cwd === dir || cwd.startsWith(`${dir}/`);
    }),
  );
  return ids.filter((pid, index) => inside[index] && pid !== process.pid);
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
