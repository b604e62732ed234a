/** How many inputs each door has held against, over all calls of the command: an hour here and there adds up. */
import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Outcome } from './target.js';

/** Of one part of one call; one line of the file. */
export interface Counted {
  door: string;
  seed: number;
  outcome: Outcome;
}

export interface Total {
  inputs: number;
  failures: number;
  slowestMs: number;
}

export async function count(path: string, counted: Counted): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await appendFile(path, `${JSON.stringify(counted)}\n`);
}

/** A part with a seed that was tried before had the same inputs, and counts once. */
export async function totals(path: string): Promise<Map<string, Total>> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  const parts = new Map<string, Counted>();
  for (const line of text.split('\n').slice(0, -1)) {
    const counted = JSON.parse(line) as Counted;
    parts.set(`${counted.door} ${counted.seed} ${counted.outcome.inputs}`, counted);
  }
  const found = new Map<string, Total>();
  for (const { door, outcome } of parts.values()) {
    const { inputs, failures, slowestMs } = found.get(door) ?? { inputs: 0, failures: 0, slowestMs: 0 };
    found.set(door, {
      inputs: inputs + outcome.inputs,
      failures: failures + (outcome.failure ? 1 : 0),
      slowestMs: Math.max(slowestMs, outcome.slowestMs),
    });
  }
  return found;
}
