/** The files of one launch on one node, `<data>/runs/<run>/gen-<n>-<token>/`, and who may write which. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { noneIfMissing } from './atomic.js';
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
  owner: string;
  /** Name of the launch, for the node's fence. */
  launch: string;
  argv: string[];
  env: Record<string, string>;
  graceSeconds: number;
  /** Where its ranks build the index of their dataset, below the data directory; absent where another member's do. */
  indexCache?: string;
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

export const launchName = ({ run, generation, token }: LaunchId): string => `${run}/gen-${generation}-${token}`;

export function generationDir(dataDir: string, id: LaunchId): string {
  // Workflow ids are the users'; this module is the guard's too, and stays clear of Temporal's.
  if (/[/\\\0]|^\.*$/.test(id.run)) throw new Error(`the run id ${JSON.stringify(id.run)} cannot name a directory`);
  return join(dataDir, 'runs', launchName(id));
}

/** The launches that have left a directory on this node. */
export async function launchesIn(dataDir: string): Promise<LaunchId[]> {
  const under = async (dir: string): Promise<string[]> =>
    (await readdir(dir, { withFileTypes: true }).catch(noneIfMissing)).flatMap((entry) =>
      entry.isDirectory() ? [entry.name] : [],
    );
  const runs = await under(join(dataDir, 'runs'));
  const launches = await Promise.all(
    runs.map(async (run) => (await under(join(dataDir, 'runs', run))).flatMap((name) => launchIn(run, name))),
  );
  return launches.flat();
}

function launchIn(run: string, name: string): LaunchId[] {
  const [, generation, token] = /^gen-(\d+)-(\d+)$/.exec(name) ?? [];
  return generation === undefined ? [] : [{ run, generation: Number(generation), token: Number(token) }];
}

export const filesOf = (dir: string) => ({
  command: join(dir, 'command.json'),
  state: join(dir, 'state.json'),
  lease: join(dir, 'lease.json'),
  exit: join(dir, 'exit.json'),
  log: join(dir, 'train.log'),
  metrics: join(dir, 'metrics.jsonl'),
  guardLog: join(dir, 'guard.log'),
  /** The guard that has the right to start the command. */
  lock: join(dir, 'guard.lock'),
  /** The first error in the log, and when a watcher read it. */
  firstError: join(dir, 'first-error.json'),
  /** Of a hung gang: what its ranks were at. */
  stacks: join(dir, 'stacks.txt'),
  /** How far the generation has heard of progress. */
  reported: join(dir, 'reported.json'),
  /** What a stop saw before it signalled anything, and how it ended. */
  stopping: join(dir, 'stopping.json'),
  stopped: join(dir, 'stopped.json'),
});
