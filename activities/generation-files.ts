/** The files of one launch on one node, `<data>/runs/<run>/gen-<n>-<token>/`, and who may write which. */
import { join } from 'node:path';
import { readIfThere, writeFileAtomic } from './atomic.js';
import { confined } from './artifact.js';
import type { ProcessId } from './process.js';

export interface LaunchId {
  run: string;
  generation: number;
  token: number;
}

/** What the guard is to run: written by the launch, before anything starts. */
export interface CommandFile {
  token: number;
  dataDir: string;
  argv: string[];
  env: Record<string, string>;
  graceSeconds: number;
}

/** Who runs it: written by the guard. */
export interface StateFile {
  token: number;
  bootId: string;
  guard: ProcessId;
  command: ProcessId;
}

/** How it ended: written by the guard, or by a stop that found nobody left to write it. */
export interface ExitFile {
  token: number;
  code: number | null;
  signal: string | null;
  at: string;
  reason?: string;
}

/** Until when it may run without being watched, in seconds since boot of that boot. */
export interface LeaseFile {
  token: number;
  bootId: string;
  deadline: number;
}

export const generationDir = (dataDir: string, { run, generation, token }: LaunchId): string =>
  confined(dataDir, `runs/${run}/gen-${generation}-${token}`);

export const filesOf = (dir: string) => ({
  command: join(dir, 'command.json'),
  state: join(dir, 'state.json'),
  lease: join(dir, 'lease.json'),
  exit: join(dir, 'exit.json'),
  log: join(dir, 'train.log'),
  metrics: join(dir, 'metrics.jsonl'),
  guardLog: join(dir, 'guard.log'),
});

export async function readJson<T>(path: string): Promise<T | undefined> {
  const bytes = await readIfThere(path);
  return bytes && (JSON.parse(Buffer.from(bytes).toString('utf8')) as T);
}

export const writeJson = (path: string, value: unknown): Promise<void> =>
  writeFileAtomic(path, `${JSON.stringify(value)}\n`);
