/** `metrics.jsonl`: one line an iteration, once, whatever number of watchers have read the log since. */
import { appendFile, truncate } from 'node:fs/promises';
import { readIfThere } from './atomic.js';
import type { Iteration } from './training-log.js';

export interface Metrics {
  /** Keeps an iteration that is new; false for one that is there already. */
  add(iteration: Iteration): boolean;
  save(): Promise<void>;
}

export async function openMetrics(path: string): Promise<Metrics> {
  let last = await lastKept(path);
  let pending = '';
  return {
    add({ iteration, loss, gradNorm, lr, msPerIteration: ms }) {
      if (iteration <= last) return false;
      last = iteration;
      pending += `${JSON.stringify({ iteration, loss, gradNorm, lr, ms, at: Date.now() })}\n`;
      return true;
    },
    async save() {
      if (!pending) return;
      const text = pending;
      pending = '';
      await appendFile(path, text);
    },
  };
}

/** Iterations only rise within a generation. A line that was cut by a crash is taken away. */
async function lastKept(path: string): Promise<number> {
  const bytes = await readIfThere(path);
  if (!bytes?.length) return 0;
  const whole = bytes.lastIndexOf('\n') + 1;
  if (whole < bytes.length) await truncate(path, whole);
  const line = bytes.subarray(0, whole).toString('utf8').trimEnd().split('\n').at(-1);
  return line ? (JSON.parse(line) as { iteration: number }).iteration : 0;
}
