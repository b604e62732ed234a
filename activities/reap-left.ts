/**
 * Ends and removes what closed runs left on this node. A terminated run runs no code: its guards end its ranks, but
 * one that was killed itself leaves them for the next launch here; and nobody removes its logs, tokens and downloads.
 */
import { readdir, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { NodeActivities } from '../workflows/contract.js';
import type { Reaped, ReapInput, RunLeft } from '../workflows/leftovers.js';
import { runName } from '../workflows/spec.js';
import { noneIfMissing, readJson } from './atomic.js';
import { endLaunched } from './end-launched.js';
import { exclusive, whenIdle } from './exclusive.js';
import { reasonOf } from './failures.js';
import { filesOf, generationDir, launchesIn, launchName, type LaunchId, type LeaseFile } from './generation-files.js';
import { grantsIn } from './grants.js';
import type { NodeDeps } from './node-deps.js';
import { bootId, bootSeconds, findMarked } from './process.js';
import { probesOf, removeProbe, statIfThere, weigh } from './runs-left.js';
import { notedLaunches } from './series-launch.js';
import { step } from './step.js';

/** What a guard may take to end its ranks once the lease is over. */
const GUARD_TAKES_SECONDS = 60;
/** Checkpoints are not among them: what of those is half made, their series' next launch sees to. */
const DOWNLOADS = ['datasets', 'models'];

export const createReapLeft =
  (deps: NodeDeps): NodeActivities['reapLeft'] =>
  (input) =>
    step({ node: deps.name, name: 'reap what closed runs left' }, async () => {
      const task: Task = { ...deps, input, runs: new Map(), downloads: { files: 0, bytes: 0 }, failed: [] };
      for (const reapKind of [reapLaunches, reapProbes, reapTokens, reapDownloads])
        await trying(task, 'this node', () => reapKind(task));
      return { runs: [...task.runs.values()], downloads: task.downloads, failed: task.failed };
    });

interface Task extends Pick<NodeDeps, 'name' | 'dataDir'>, Pick<Reaped, 'downloads' | 'failed'> {
  input: ReapInput;
  runs: Map<string, RunLeft>;
}

const FAILURES = 20;

/** What cannot be removed is in nobody's way but the disk's. */
async function trying(task: Task, what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (task.failed.length < FAILURES) task.failed.push(`${what}: ${reasonOf(error)}`);
  }
}

const isClosed = ({ input }: Task, run: string): boolean => input.closed.some((closed) => closed.run === run);

/** Closed for so long that what it left may go. */
const isOver = ({ input }: Task, run: string): boolean =>
  input.closed.some((closed) => closed.run === run && closed.closedAt <= input.before);

function of({ runs }: Task, run: string): RunLeft {
  const known = runs.get(run) ?? { run, processes: 0, launches: 0, probes: 0, tokens: 0, bytes: 0 };
  runs.set(run, known);
  return known;
}

async function reapLaunches(task: Task): Promise<void> {
  const { dataDir } = task;
  const launches = await launchesIn(dataDir);
  const kept = await keptLaunches(dataDir, launches);
  const living = new Set((await findMarked(dataDir)).map(({ token }) => token));
  for (const launch of launches.filter(({ run }) => isClosed(task, run)))
    await trying(task, launchName(launch), async () => {
      const goesOn = living.has(launch.token) && !(await reapProcesses(task, launch));
      if (!goesOn && isOver(task, launch.run) && !kept.has(launchName(launch))) await reapDirectory(task, launch);
    });
}

/**
 * The newest launch here, since a node whose fence was lost knows its token from that; and the last one of each
 * series, since its log vouches for what it saved and nobody has sealed yet.
 */
async function keptLaunches(dataDir: string, launches: LaunchId[]): Promise<Set<string>> {
  const newest = Math.max(...launches.map(({ token }) => token));
  return new Set(
    [...launches.filter(({ token }) => token === newest), ...(await notedLaunches(dataDir))].map(launchName),
  );
}

/** @returns whether none of the launch runs on */
async function reapProcesses(task: Task, { run, generation, token }: LaunchId): Promise<boolean> {
  const { dataDir, input } = task;
  if (!(await leaseIsOver(generationDir(dataDir, { run, generation, token })))) return false;
  // As every launch and stop of this node, so that none begins or ends meanwhile.
  await exclusive(`${dataDir}/launch`, async () => {
    const { length } = (await findMarked(dataDir)).filter((process) => process.token === token);
    // At once: nobody would seal what ranks save now, and on shared storage it could be in the way of another run's.
    if (length > 0 && !input.dryRun && !(await endLaunched(dataDir, (other) => other === token, 0)))
      throw new Error('processes do not end, not on SIGKILL either: they hang in the kernel. Restart the node');
    if (length > 0) of(task, run).processes += length;
  });
  return !input.dryRun;
}

/** One that cannot be read is not over: nothing says so. */
async function leaseIsOver(dir: string): Promise<boolean> {
  const lease = await readJson<LeaseFile>(filesOf(dir).lease).catch(() => undefined);
  if (!Number.isFinite(lease?.deadline) || lease?.bootId !== (await bootId())) return false;
  return (await bootSeconds()) > lease.deadline + GUARD_TAKES_SECONDS;
}

async function reapDirectory(task: Task, launch: LaunchId): Promise<void> {
  const { dataDir, input } = task;
  const dir = generationDir(dataDir, launch);
  const { bytes, mtimeMs } = await weigh(dir);
  if (mtimeMs > input.before) return;
  if (!input.dryRun) {
    await rm(dir, { recursive: true, force: true });
    // The last one to go takes the directory of the run along.
    await rmdir(dirname(dir)).catch(() => undefined);
  }
  of(task, launch.run).launches += 1;
  of(task, launch.run).bytes += bytes;
}

async function reapProbes(task: Task): Promise<void> {
  const { dataDir, name: node, input } = task;
  for (const probe of await probesOf(dataDir, node)) {
    if (!isOver(task, probe.run) || probe.mtimeMs > input.before) continue;
    if (!input.dryRun) await removeProbe(probe);
    of(task, probe.run).probes += 1;
  }
}

async function reapTokens(task: Task): Promise<void> {
  for (const { path, grant, mtimeMs } of await grantsIn(task.dataDir)) {
    const run = runName(grant.run);
    // One that was given since is of a run that began again under the name.
    if (run === undefined || !isOver(task, run) || mtimeMs > task.input.before) continue;
    if (!task.input.dryRun) await rm(path, { force: true });
    of(task, run).tokens += 1;
  }
}

/** Nobody notes whose a download is; one that was written last before any open run began is none of theirs. */
async function reapDownloads(task: Task): Promise<void> {
  const { dataDir, name: node, input } = task;
  const before = Math.min(input.before, input.openSince ?? Infinity);
  for (const root of DOWNLOADS)
    for (const part of await partsBelow(join(dataDir, root), node)) {
      const found = [part, `${part}.blocks`];
      // Its writer holds the lock of the artifact's directory, which is one of these.
      await whenIdle(directoriesAbove(dataDir, part), async () => {
        const about = (await Promise.all(found.map(statIfThere))).filter((one) => one !== undefined);
        if (about.length === 0 || about.some(({ mtimeMs }) => mtimeMs >= before)) return;
        if (!input.dryRun) for (const path of found) await rm(path, { force: true });
        task.downloads.files += 1;
        // What it takes of the disk: a part has its full length from the start.
        task.downloads.bytes += about.reduce((sum, { blocks }) => sum + blocks * 512, 0);
      });
    }
}

/** Of this node alone: on shared storage others have theirs beside it. */
async function partsBelow(dir: string, node: string): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch(noneIfMissing);
  const found = await Promise.all(
    entries.map(async (entry) => {
      const path = join(dir, entry.name);
      if (entry.isDirectory()) return partsBelow(path, node);
      return entry.isFile() && entry.name.endsWith(`.${node}.part`) ? [path] : [];
    }),
  );
  return found.flat();
}

function directoriesAbove(dataDir: string, path: string): string[] {
  const above: string[] = [];
  for (let dir = dirname(path); dir !== dataDir; dir = dirname(dir)) above.push(dir);
  return above;
}
