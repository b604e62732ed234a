/**
 * The last launch that may have saved into a series' checkpoints on this node, and what it trains with. It is forgotten
 * before anything is restored there: from then on nothing tells its files from others.
 */
import { log } from '@temporalio/activity';
import { readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { LaunchTrainingInput } from '../workflows/contract.js';
import type { SeriesIdentity } from '../workflows/series-identity.js';
import { confined } from './artifact.js';
import { isMissing, noneIfMissing, readJson, syncPath, writeJson } from './atomic.js';
import { bootId } from './process.js';

export interface SeriesLaunch extends Pick<
  LaunchTrainingInput,
  'run' | 'generation' | 'token' | 'loads' | 'saves' | 'identity'
> {
  /** Of the machine, when it launched. */
  bootId: string;
}

/** Not beside the checkpoints, which may lie on storage that other nodes share. */
const pathOf = (dataDir: string, series: string): string => confined(dataDir, `launches/${series}.json`);

/** Of anything in `series/<series>/checkpoints`, and of that itself. */
const seriesOf = (dir: string): string | undefined => /^series\/([^/]+)\/checkpoints(\/|$)/.exec(dir)?.[1];

export const readLaunch = (dataDir: string, series: string): Promise<SeriesLaunch | undefined> =>
  readJson<SeriesLaunch>(pathOf(dataDir, series));

/**
 * The same for whoever looks what it left: of a note that is damaged nothing it saved can be told from other files, which is
 * no reason to leave alone what is sealed.
 */
export async function leftLaunch(dataDir: string, series: string): Promise<SeriesLaunch | undefined> {
  try {
    return await readLaunch(dataDir, series);
  } catch (error) {
    if (!(error instanceof Error && error.cause instanceof SyntaxError)) throw error;
    log.warn('what the last launch saved and nobody sealed is left', { error: error.message });
    return undefined;
  }
}

/** Of every series that was trained here. @throws Error where one cannot be read */
export async function notedLaunches(dataDir: string): Promise<SeriesLaunch[]> {
  const names = await readdir(join(dataDir, 'launches')).catch(noneIfMissing);
  const series = names.filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -'.json'.length));
  return (await Promise.all(series.map((one) => readLaunch(dataDir, one)))).filter((launch) => launch !== undefined);
}

/** Before anything of it runs. */
export const noteLaunch = async (
  dataDir: string,
  { series, run, generation, token, loads, saves, identity }: LaunchTrainingInput,
): Promise<void> =>
  writeJson(pathOf(dataDir, series), {
    ...{ run, generation, token, saves, bootId: await bootId() },
    ...(loads !== undefined && { loads }),
    ...(identity && { identity }),
  } satisfies SeriesLaunch);

/** To be sealed in with what the launch of this token saved; nothing where it is not the last one here. */
export async function identityFor(
  dataDir: string,
  shardDir: string,
  token: number,
): Promise<SeriesIdentity | undefined> {
  const series = seriesOf(shardDir);
  if (series === undefined) return undefined;
  try {
    const launch = await readLaunch(dataDir, series);
    return launch?.token === token ? launch.identity : undefined;
  } catch (error) {
    // A checkpoint without it is one that a changed run file is not compared with; without a seal it is none at all.
    log.warn('what the series is trained with is not sealed in', { error: String(error) });
    return undefined;
  }
}

/** Before copies of what a newer launch saves come to lie here. A launch of the same token saves beside them, and its own only. */
export async function forgetOlderLaunch(dataDir: string, checkpoints: string, token: number): Promise<void> {
  const series = seriesOf(checkpoints);
  if (series === undefined) return;
  const launch = await leftLaunch(dataDir, series);
  if (launch && launch.token < token) await forgetLaunch(dataDir, checkpoints);
}

/** @param checkpoints the tree that something is restored into: of a series, or converted weights, which no launch saves */
export async function forgetLaunch(dataDir: string, checkpoints: string): Promise<void> {
  const series = seriesOf(checkpoints);
  if (series === undefined) return;
  const path = pathOf(dataDir, series);
  try {
    await rm(path);
    await syncPath(dirname(path));
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}
