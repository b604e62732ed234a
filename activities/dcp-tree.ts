/**
 * The tree that `train_fsdp2.py` writes and loads, `series/<series>/fsdp2/checkpoints/global_step_<n>`, beside the series'
 * own, in which checkpoints are listed, sealed, copied and restored. Files are in both by hard links: none is written
 * twice, and what the script removes of its own by its own rule stays where the pipeline keeps it.
 */
import { randomUUID } from 'node:crypto';
import { link, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  DCP_METADATA,
  isDcpShard,
  isOfShard,
  nameInShard,
  nameInStep,
  outputDir,
  stepDir,
  stepsDir,
} from '../workflows/dcp-shards.js';
import { confined, filesBelow } from './artifact.js';
import { isMissing, syncPath, writeFileAtomic } from './atomic.js';
import { numbersIn, readTracker, shardDir, TRACKER } from './checkpoint-files.js';

const STEP = /^global_step_(\d+)$/;
/** In the script's own directory, out of its sight: a step that is about to be there. */
const LAYING = '.laying-';

/** Of the tree of a series; `undefined` for converted weights, which this script does not load. */
export const seriesOf = (dir: string): string | undefined => /^series\/([^/]+)\/checkpoints$/.exec(dir)?.[1];

/** Steps that have a directory in `dir`, complete or not, oldest first. */
export const stepsIn = (dataDir: string, dir: string): Promise<number[]> => numbersIn(dataDir, dir, STEP);

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    (error: unknown) => {
      if (isMissing(error)) return false;
      throw error;
    },
  );

/** Whether the script has begun to write this step here, though nothing of it is in the series' own tree yet. */
export const isStepBegun = (dataDir: string, series: string, step: number): Promise<boolean> =>
  isThere(join(confined(dataDir, stepsDir(series)), stepDir(step)));

/** @returns whether a step is whole here: rank 0 has ended it, after all ranks of all nodes */
export const isStepEnded = (dataDir: string, dir: string): Promise<boolean> =>
  isThere(join(confined(dataDir, dir), DCP_METADATA));

/**
 * The newest step that rank 0, on this node, has ended since `after` is what the tracker of the series names from then on:
 * the script has none.
 */
export async function trackSteps(dataDir: string, dir: string, after: number): Promise<void> {
  const series = seriesOf(dir)!;
  for (const step of (await stepsIn(dataDir, stepsDir(series))).reverse()) {
    if (step <= after) return;
    if (!(await isStepEnded(dataDir, `${stepsDir(series)}/${stepDir(step)}`))) continue;
    if ((await readTracker(dataDir, dir)) === step) return;
    return writeFileAtomic(join(confined(dataDir, dir), TRACKER), String(step));
  }
}

/**
 * Takes what ranks of this node wrote since `after`, up to a step, into the series' own tree, to be sealed there.
 *
 * @param shards that this node writes; of another format there is nothing to take
 */
export async function takeSteps(
  dataDir: string,
  dir: string,
  shards: string[],
  { after, upTo }: { after: number; upTo: number },
): Promise<void> {
  const own = shards.filter(isDcpShard);
  if (own.length === 0) return;
  const from = stepsDir(seriesOf(dir)!);
  for (const step of await stepsIn(dataDir, from)) {
    if (step <= after || step > upTo) continue;
    for (const shard of own) await takeShard(dataDir, `${from}/${stepDir(step)}`, shardDir(dir, step, shard), shard);
  }
}

/** All of it or nothing has its name. The script may remove the step meanwhile, since it has newer ones. */
async function takeShard(dataDir: string, from: string, to: string, shard: string): Promise<void> {
  const [root, target] = [confined(dataDir, from), confined(dataDir, to)];
  if (await isThere(target)) return;
  const aside = join(dirname(target), `.${shard}.${randomUUID()}`);
  try {
    const files = (await filesIn(root)).filter((path) => isOfShard(shard, path));
    if (files.length === 0) return;
    for (const path of files) await linkTo(join(root, path), join(aside, nameInShard(path)));
    await rename(aside, target);
    await syncPath(dirname(target));
  } catch (error) {
    if (!isMissing(error)) throw error;
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}

async function filesIn(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
}

async function linkTo(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await link(from, to);
}

/** Puts the files of these shards, which are whole and proven here, where the script loads them from. */
export async function layStep(dataDir: string, dir: string, step: number, shards: string[]): Promise<void> {
  const own = shards.filter(isDcpShard);
  if (own.length === 0) return;
  const series = seriesOf(dir)!;
  const output = confined(dataDir, outputDir(series));
  const steps = confined(dataDir, stepsDir(series));
  await mkdir(steps, { recursive: true });
  // What a worker that died had begun.
  for (const name of await readdir(output))
    if (name.startsWith(LAYING)) await rm(join(output, name), { recursive: true });
  const laying = join(output, `${LAYING}${randomUUID()}`);
  for (const shard of own) {
    const root = confined(dataDir, shardDir(dir, step, shard));
    for (const path of await filesBelow(root)) await linkTo(join(root, path), join(laying, nameInStep(path)));
  }
  const target = join(steps, stepDir(step));
  await rm(target, { recursive: true, force: true });
  await rename(laying, target);
  await syncPath(steps);
}

/** Steps newer than this go out of the script's sight, which counts all that it finds as its own. */
export async function setStepsAside(dataDir: string, dir: string, iteration: number, aside: string): Promise<void> {
  const series = seriesOf(dir);
  if (series === undefined) return;
  const from = stepsDir(series);
  const newer = (await stepsIn(dataDir, from)).filter((step) => step > iteration);
  if (newer.length === 0) return;
  await mkdir(aside, { recursive: true });
  for (const step of newer) await rename(join(confined(dataDir, from), stepDir(step)), join(aside, stepDir(step)));
  await syncPath(confined(dataDir, from));
}

/** Steps that the series has no use for, of a script that runs no more: their bytes are there as long as either tree has them. */
export async function removeSteps(
  dataDir: string,
  dir: string,
  isExpendable: (step: number) => boolean,
): Promise<void> {
  const series = seriesOf(dir);
  if (series === undefined) return;
  const root = confined(dataDir, stepsDir(series));
  for (const step of await stepsIn(dataDir, stepsDir(series)))
    if (isExpendable(step)) await rm(join(root, stepDir(step)), { recursive: true, force: true });
}
