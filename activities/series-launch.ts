/**
 * The last launch that may have saved into a series' checkpoints on this node. It is forgotten before anything is
 * restored there: from then on nothing tells its files from others.
 */
import { rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { LaunchTrainingInput } from '../workflows/contract.js';
import { confined } from './artifact.js';
import { isMissing, readJson, syncPath, writeJson } from './atomic.js';
import { bootId } from './process.js';

export interface SeriesLaunch extends Pick<LaunchTrainingInput, 'run' | 'generation' | 'token' | 'loads' | 'saves'> {
  /** Of the machine, when it launched. */
  bootId: string;
}

/** Not beside the checkpoints, which may lie on storage that other nodes share. */
const pathOf = (dataDir: string, checkpoints: string): string =>
  join(dataDir, 'launches', `${basename(dirname(confined(dataDir, checkpoints)))}.json`);

/** @param checkpoints `series/<series>/checkpoints` */
export const readLaunch = (dataDir: string, checkpoints: string): Promise<SeriesLaunch | undefined> =>
  readJson<SeriesLaunch>(pathOf(dataDir, checkpoints));

/** Before anything of it runs. */
export const noteLaunch = async (
  dataDir: string,
  checkpoints: string,
  { run, generation, token, loads, saves }: LaunchTrainingInput,
): Promise<void> =>
  writeJson(pathOf(dataDir, checkpoints), {
    ...{ run, generation, token, saves, bootId: await bootId() },
    ...(loads !== undefined && { loads }),
  } satisfies SeriesLaunch);

export async function forgetLaunch(dataDir: string, checkpoints: string): Promise<void> {
  const path = pathOf(dataDir, checkpoints);
  try {
    await rm(path);
    await syncPath(dirname(path));
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}
