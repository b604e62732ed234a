/** `<data>/series/<series>/series.json`: what the newest launch here trains with, to be sealed in with what it saves. */
import { log } from '@temporalio/activity';
import { join } from 'node:path';
import type { SeriesIdentity } from '../workflows/series-identity.js';
import { readJson, writeJson } from './atomic.js';

interface SeriesFile {
  token: number;
  identity: SeriesIdentity;
}

const fileOf = (dataDir: string, series: string): string => join(dataDir, 'series', series, 'series.json');

export const noteIdentity = (dataDir: string, series: string, noted: SeriesFile): Promise<void> =>
  writeJson(fileOf(dataDir, series), noted);

/** Of a shard's directory; nothing for converted weights, and where another launch than the one that saved noted it. */
export async function identityFor(
  dataDir: string,
  shardDir: string,
  token?: number,
): Promise<SeriesIdentity | undefined> {
  const series = /^series\/([^/]+)\/checkpoints\//.exec(shardDir)?.[1];
  if (series === undefined) return undefined;
  try {
    const noted = await readJson<SeriesFile>(fileOf(dataDir, series));
    return noted && (token === undefined || token === noted.token) ? noted.identity : undefined;
  } catch (error) {
    // A checkpoint without it is one that a changed run file is not compared with; without a seal it is none at all.
    log.warn('what the series is trained with is not sealed in', { error: String(error) });
    return undefined;
  }
}
