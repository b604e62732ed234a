/**
 * What a launch saved and nobody sealed: its copiers were away, or their run was ended. It is as good as any other
 * checkpoint where it is whole, and that takes proof:
 *
 * - Every rank closes its files, then all of them meet in a barrier, and then rank 0 writes the tracker. So a tracker
 *   that this launch has moved to an iteration, and so a shard of it that a copier has sealed, which looks at the
 *   tracker first, says that every rank of every node had written all of it. The workflow, which sees all nodes, names
 *   only such iterations. A save that was interrupted is newer than what the tracker names.
 * - Only shards that this node's own ranks write: of others there may be half a copy.
 * - Only where the launch is the last one that wrote here, nothing was restored since, and the iteration is newer than
 *   what it began from: then nobody else has touched these files. Old ones are removed under another name.
 * - Only where rank 0 says that it loaded what was planned: what began from something else is not this series.
 * - Only where the machine has not restarted: what was written and never synced may be cut short after that.
 * - Checkpoints of a failing gang (last-gasp.ts) are named by one rank when all have written theirs, which says the same.
 * - Never where there is a manifest, or was: one that does not fit its files any more tells of damage.
 */
import type { NodeActivities, SavesFound } from '../workflows/contract.js';
import { isDcpShard } from '../workflows/dcp-shards.js';
import { checkpointsDir } from '../workflows/plan.js';
import { isVouchedFor } from './artifact.js';
import { iterationsIn, readTracker, sealShard, shardDir } from './checkpoint-files.js';
import { takeSteps, trackSteps } from './dcp-tree.js';
import { filesOf, generationDir } from './generation-files.js';
import { dumpsIn, findDumps, nameDump } from './last-gasp.js';
import type { NodeDeps } from './node-deps.js';
import { bootId } from './process.js';
import { leftLaunch, type SeriesLaunch } from './series-launch.js';
import { step } from './step.js';
import { readLogFile } from './tail.js';

export const createFindSaves =
  ({ name: node, dataDir }: NodeDeps): NodeActivities['findSaves'] =>
  ({ series }) =>
    step({ node, name: `find saves of ${series}` }, () => savesOf(dataDir, series));

export async function savesOf(dataDir: string, series: string): Promise<SavesFound> {
  const dir = checkpointsDir(series);
  const launch = await leftLaunch(dataDir, series);
  if (launch) await takeLeft(dataDir, dir, launch);
  const saved = await iterationsIn(dataDir, dir);
  const iterations = [...new Set([...saved, ...(await dumpsIn(dataDir, dir))])].sort((a, b) => a - b);
  if (!launch) return { iterations };
  const unsealed: NonNullable<SavesFound['launch']>['unsealed'] = [];
  for (const iteration of saved) {
    const shards = await unsealedShards(dataDir, dir, iteration, launch);
    if (shards.length > 0) unsealed.push({ iteration, shards });
  }
  const vouches = launch.saves.isFirst && (await beganRight(dataDir, launch));
  const tracked = vouches ? await readTracker(dataDir, dir) : undefined;
  return {
    iterations,
    launch: {
      ...{ token: launch.token, unsealed },
      ...(tracked !== undefined && tracked > launch.saves.after && { tracked }),
      ...(launch.saves.dumps && { dumped: await findDumps(dataDir, dir, launch.saves) }),
      ...(launch.saves.dumps && vouches && { beganRight: true as const }),
      ...(launch.bootId !== (await bootId()) && { restarted: true as const }),
    },
  };
}

export const createSealSaves =
  ({ name: node, dataDir }: NodeDeps): NodeActivities['sealSaves'] =>
  ({ series, token, iteration, dumped }) =>
    step({ node, name: `seal iteration ${iteration} of ${series}` }, async (signal) => {
      const dir = checkpointsDir(series);
      const launch = await leftLaunch(dataDir, series);
      if (launch?.token !== token || launch.bootId !== (await bootId())) return { sealed: [] };
      const shards = dumped
        ? await namedDumps(dataDir, dir, iteration, launch.saves.dumps ? dumped : [])
        : await unsealedShards(dataDir, dir, iteration, launch);
      for (const shard of shards) await sealShard(dataDir, shardDir(dir, iteration, shard), { signal, token });
      return { sealed: shards };
    });

/** Where no copier was there to do it. Of a save that nobody ended there is part of it here, as of any other. */
async function takeLeft(dataDir: string, dir: string, { saves }: SeriesLaunch): Promise<void> {
  const { shards, after, isFirst } = saves;
  await takeSteps(dataDir, dir, shards, { after, upTo: Infinity });
  if (isFirst && shards.some(isDcpShard)) await trackSteps(dataDir, dir, after);
}

async function namedDumps(dataDir: string, dir: string, iteration: number, shards: string[]): Promise<string[]> {
  const named: string[] = [];
  for (const shard of shards) if (await nameDump(dataDir, dir, iteration, shard)) named.push(shard);
  return named;
}

async function beganRight(dataDir: string, launch: SeriesLaunch): Promise<boolean> {
  if (launch.loads === undefined) return true;
  const { loadedAt, startedOver } = (await readLogFile(filesOf(generationDir(dataDir, launch)).log)).verdict();
  return loadedAt === launch.loads && !startedOver;
}

async function unsealedShards(
  dataDir: string,
  dir: string,
  iteration: number,
  { saves }: SeriesLaunch,
): Promise<string[]> {
  if (iteration <= saves.after) return [];
  const said = await Promise.all(saves.shards.map((shard) => isVouchedFor(dataDir, shardDir(dir, iteration, shard))));
  return saves.shards.filter((_, index) => !said[index]);
}
