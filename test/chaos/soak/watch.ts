/** Looks at what a long run could use up: memory and descriptors of each worker, disk of each host. */
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { FILLER, type Cluster } from '../cluster.js';

/** One look at one worker, or at one host's disk. */
export interface Sample {
  /** Hours from the beginning. */
  hours: number;
  host: string;
  /** Process that it is about: after a restart another one. Of a disk, none. */
  pid?: number;
  /** Resident memory, and what is on the disk: `logs` below `runs/`, where every launch is kept, `data` everything else. */
  figures: Partial<Record<Figure, number>>;
}

export type Figure = 'rssMb' | 'descriptors' | 'dataMb' | 'logsMb';

const run = promisify(execFile);

export async function look(cluster: Cluster, hours: number): Promise<Sample[]> {
  const parts = [
    { host: cluster.control, part: cluster.worker },
    ...[...cluster.nodes.values()].map(({ host, agent }) => ({ host, part: agent })),
  ];
  const looks = parts.map(async ({ host, part }) => [
    ...(await lookAtProcess(hours, host.name, part.pid)),
    { hours, host: host.name, figures: await sizesBelow(host.data) },
  ]);
  return (await Promise.all(looks)).flat();
}

/** Nothing, where it has ended. */
async function lookAtProcess(hours: number, host: string, pid: number | undefined): Promise<Sample[]> {
  try {
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    const descriptors = (await readdir(`/proc/${pid}/fd`)).length;
    // What starts it has its name only until it runs.
    const rssKb = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
    if (pid === undefined || !rssKb) return [];
    return [{ hours, host, pid, figures: { rssMb: rssKb / 1024, descriptors } }];
  } catch {
    return [];
  }
}

async function sizesBelow(data: string): Promise<Sample['figures']> {
  const names = (await readdir(data)).filter((name) => name !== FILLER);
  if (names.length === 0) return {};
  // Files come and go while it counts, of which it complains, and counts on.
  const { stdout } = await run('du', ['-s', '-B', '1', '--', ...names.map((name) => join(data, name))]).catch(
    (error: { stdout: string }) => error,
  );
  const sizes = stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split('\t') as [string, string]);
  const mb = (of: (name: string) => boolean): number =>
    sizes.reduce((sum, [bytes, path]) => (of(basename(path)) ? sum + Number(bytes) / 2 ** 20 : sum), 0);
  return { logsMb: mb((name) => name === 'runs'), dataMb: mb((name) => name !== 'runs') };
}
