/** Several steps of a node bring files to one disk at once: what each has still to bring is room that no other has. */
import { stat, statfs } from 'node:fs/promises';
import { gigabytes } from '../workflows/gigabytes.js';
import { exclusive } from './exclusive.js';
import { failure } from './failures.js';
import type { StepOptions } from './step.js';

export interface Room {
  /** Below it the files come to lie: a directory that is there. */
  path: string;
  bytes: number;
  /** How many of them are still to come, while the step runs. */
  left(): number | Promise<number>;
}

export type WithSpace = <T>(room: Room, step: Pick<StepOptions, 'node' | 'name'>, work: () => Promise<T>) => Promise<T>;

interface Promised {
  device: number;
  left(): Promise<number>;
}

/** In one process: there is one agent on a node. */
const promised = new Set<Promised>();

/** Runs a step that writes so many bytes, or refuses it before its first byte. */
export const withSpace: WithSpace = async ({ path, bytes, left }, step, work) => {
  const { dev: device } = await stat(path);
  const mine = { device, left: async () => Math.min(bytes, Math.max(0, await left())) };
  // One after the other: what is refused takes no room from the next.
  await exclusive(`room on device ${device}`, async () => {
    await requireSpace(
      path,
      bytes,
      step,
      [...promised].filter((other) => other.device === device),
    );
    promised.add(mine);
  });
  try {
    return await work();
  } finally {
    promised.delete(mine);
  }
};

/** Leaves 1 % (256 MiB at most) for everything else. */
export async function requireSpace(
  path: string,
  bytes: number,
  { node, name }: Pick<StepOptions, 'node' | 'name'>,
  promises: Promised[] = [],
): Promise<void> {
  // All of it is here: also on a full disk it can be looked at and vouched for.
  if (bytes === 0) return;
  // Before the disk is looked at: what arrives meanwhile is counted twice, and not left out.
  let others = 0;
  for (const { left } of promises) others += await left();
  const { bavail, blocks, bsize } = await statfs(path);
  const free = bavail * bsize - Math.min(256 * 2 ** 20, (blocks * bsize) / 100);
  if (bytes + others <= free) return;
  const besides = others > 0 ? ` besides ${gigabytes(others)} that other steps are bringing` : '';
  throw failure(
    'EnvCheckFailed',
    `${node}: ${name} needs ${gigabytes(bytes)}${besides} and ${path} has ${gigabytes(Math.max(0, free))} left. Free space there, then start the run again`,
    { nonRetryable: true, details: { node, bytes, free, promised: others } },
  );
}
