/** Several steps of a node bring files to one disk at once: what each has still to bring is room that no other has. */
import { stat } from 'node:fs/promises';
import { requireSpace, type StepOptions } from './step.js';

interface Promised {
  device: number;
  left(): number;
}

const promised = new Set<Promised>();

/**
 * Runs a step that writes up to `bytes` below `path`, or refuses it before its first byte.
 *
 * @param left how many of them are still to come, while it runs
 */
export async function withSpace<T>(
  { path, bytes, left }: { path: string; bytes: number; left: () => number },
  step: StepOptions,
  work: () => Promise<T>,
): Promise<T> {
  const { dev: device } = await stat(path);
  const others = [...promised].filter((other) => other.device === device);
  const mine = { device, left: () => Math.min(bytes, Math.max(0, left())) };
  promised.add(mine);
  try {
    await requireSpace(
      path,
      bytes,
      step,
      others.reduce((sum, other) => sum + other.left(), 0),
    );
    return await work();
  } finally {
    promised.delete(mine);
  }
}
