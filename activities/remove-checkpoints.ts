/**
 * Removes old iterations of a series from this node, what its ranks wrote and what it keeps for others alike. What
 * cannot be removed is said and left: training needs the disk one day, and is not to end for it today.
 */
import { randomUUID } from 'node:crypto';
import { log } from '@temporalio/activity';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { CheckpointsRemoved, NodeActivities } from '../workflows/contract.js';
import { checkpointsDir } from '../workflows/plan.js';
import { expendable, type Retention } from '../workflows/retention.js';
import { confined } from './artifact.js';
import { isMissing, noneIfMissing } from './atomic.js';
import { iterationDir, iterationsIn, readTracker, SET_ASIDE } from './checkpoint-files.js';
import { removeSteps, stepsIn } from './dcp-tree.js';
import { reasonOf } from './failures.js';
import { dumpsIn } from './last-gasp.js';
import type { NodeDeps } from './node-deps.js';
import { step } from './step.js';

export const createRemoveCheckpoints =
  ({ name: node, dataDir }: NodeDeps): NodeActivities['removeCheckpoints'] =>
  ({ series, retention }) =>
    step({ node, name: `remove old checkpoints of ${series}` }, async () => {
      const dir = checkpointsDir(series);
      const removed = await removeOld(dataDir, dir, retention);
      // Not before: beside a script that trains, which removes its own, this would be one of two.
      const held = await iterationsIn(dataDir, dir);
      await removeSteps(dataDir, dir, (step) => step < retention.before && !held.includes(step));
      const aside = await asideIn(dataDir, dir);
      return { ...removed, ...(aside && { aside }) };
    });

/**
 * What this node's own tracker names stays as well: ranks that a person starts here would be told to load it.
 *
 * @param tracked what the tracker of rank 0's node names, which alone moves; never removed
 */
export async function removeOld(
  dataDir: string,
  dir: string,
  retention: Retention,
  tracked?: number,
): Promise<Omit<CheckpointsRemoved, 'aside'>> {
  const root = confined(dataDir, dir);
  const removed: number[] = [];
  const failed: string[] = [];
  const attempt = async (what: string, work: () => Promise<unknown>): Promise<boolean> => {
    try {
      await work();
      return true;
    } catch (error) {
      log.warn('an old checkpoint was not removed', { what, why: reasonOf(error) });
      failed.push(`${what}: ${reasonOf(error)}`);
      return false;
    }
  };
  const held: number[] = [];
  const named = [tracked];
  await attempt(dir, async () => {
    named.push(await readTracker(dataDir, dir));
    held.push(...(await iterationsIn(dataDir, dir)));
  });
  for (const iteration of expendable(held, retention, named))
    if (await attempt(`iteration ${iteration}`, () => remove(join(root, iterationDir(iteration)))))
      removed.push(iteration);
  // What a worker that died had begun to remove.
  for (const name of await readdir(root).catch(() => []))
    if (name.startsWith(REMOVED)) await attempt(name, () => rm(join(root, name), { recursive: true, force: true }));
  return { removed, ...(failed.length > 0 && { failed: failed.slice(0, MAX_TOLD) }) };
}

const MAX_TOLD = 3;
const REMOVED = '.removed-';

/**
 * Out of its place first: half of an iteration must not be taken for one that nobody has sealed yet. Where storage is
 * shared, or a node copies for another, somebody else may remove it at the same time.
 */
async function remove(path: string): Promise<void> {
  const removed = join(dirname(path), `${REMOVED}${basename(path)}-${randomUUID()}`);
  try {
    await rename(path, removed);
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  await rm(removed, { recursive: true, force: true });
}

/** What restores have set aside here, which nobody removes but a person; nothing where there is none. */
export async function asideIn(dataDir: string, dir: string): Promise<CheckpointsRemoved['aside']> {
  const root = confined(dataDir, `${dir}/${SET_ASIDE}`);
  const found = await readdir(root, { recursive: true, withFileTypes: true }).catch(noneIfMissing);
  const iterations = new Set<number>();
  for (const batch of await readdir(root).catch(() => []))
    for (const look of [iterationsIn, dumpsIn, stepsIn])
      for (const iteration of await look(dataDir, `${dir}/${SET_ASIDE}/${batch}`)) iterations.add(iteration);
  // By file: a step that a script wrote and what was taken of it are the same ones.
  const sizes = new Map<number, number>();
  for (const entry of found)
    if (entry.isFile()) {
      const { ino, size } = await stat(join(entry.parentPath, entry.name));
      sizes.set(ino, size);
    }
  const bytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  return iterations.size === 0 ? undefined : { iterations: [...iterations].sort((a, b) => a - b), bytes };
}
