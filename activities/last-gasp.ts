/**
 * Checkpoints that MindIO makes of a gang while it fails (MindSpeed-LLM's core/high_availability/tft_dump.py): ranks that
 * are left write into `iter_NNNNNNN_tmp`, and not those that save otherwise, so what is there is found by listing. When
 * all have written theirs, one rank gives its directory the usual name and moves its tracker; where storage is not
 * shared, all other nodes keep theirs as they are.
 */
import { mkdir, open, readdir, rename, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { LastGasp } from '../workflows/contract.js';
import { confined, isVouchedFor } from './artifact.js';
import { isPart, noneIfMissing, syncPath } from './atomic.js';
import { isShard, iterationDir, numbersIn, readTracker, shardDir, shardsIn } from './checkpoint-files.js';
import type { SeriesLaunch } from './series-launch.js';

const MODEL = 'model_optim_rng.pt';
const DUMP = /^iter_(\d{7,})_tmp$/;

export const dumpDir = (iteration: number): string => `${iterationDir(iteration)}_tmp`;

/** Iterations of which there is an unnamed dump, oldest first. */
export const dumpsIn = (dataDir: string, dir: string): Promise<number[]> => numbersIn(dataDir, dir, DUMP);

/** What a launch dumped here, and nobody sealed. */
export async function findDumps(
  dataDir: string,
  dir: string,
  { after, isFirst }: Pick<SeriesLaunch['saves'], 'after' | 'isFirst'>,
): Promise<LastGasp[]> {
  const found: LastGasp[] = [];
  for (const iteration of await dumpsIn(dataDir, dir)) {
    if (iteration <= after) continue;
    const names = await readdir(join(confined(dataDir, dir), dumpDir(iteration))).catch(noneIfMissing);
    found.push({ iteration, shards: names.filter(isShard).sort() });
  }
  const tracked = await readTracker(dataDir, dir);
  if (tracked === undefined || tracked <= after || found.some(({ iteration }) => iteration === tracked)) return found;
  const shards = await shardsIn(dataDir, dir, tracked);
  const said = await Promise.all(shards.map((shard) => isVouchedFor(dataDir, shardDir(dir, tracked, shard))));
  const unsealed = shards.filter((_, index) => !said[index]);
  return [...found, { iteration: tracked, shards: unsealed, isNamed: true, ...(!isFirst && { isCertain: true }) }];
}

/**
 * Gives the dump of a shard its usual name, unless something is there. All of its files are to be there, and each is looked at:
 * `torch.save` writes a zip archive, whose end is written last.
 * @returns whether it may be sealed
 */
export async function nameDump(dataDir: string, dir: string, iteration: number, shard: string): Promise<boolean> {
  const root = confined(dataDir, dir);
  const dump = join(root, dumpDir(iteration), shard);
  const named = confined(dataDir, shardDir(dir, iteration, shard));
  const isNamed = (await readdir(dump).catch(noneIfMissing)).length === 0;
  const from = isNamed ? named : dump;
  const files: string[] = await readdir(from).catch(noneIfMissing);
  // Written last; and of a copy that is under way nothing is taken.
  if (!files.includes(MODEL) || files.some(isPart)) return false;
  for (const file of files) if (file.endsWith('.pt') && !(await endsAsZip(join(from, file)))) return false;
  if (isNamed) return true;
  // What another node's copy had begun is nothing that this one may be mixed with.
  if ((await readdir(named).catch(noneIfMissing)).length > 0) return false;
  await mkdir(dirname(named), { recursive: true });
  await rename(dump, named);
  await rmdir(dirname(dump)).catch(() => undefined);
  for (const path of [dirname(named), root]) await syncPath(path);
  return true;
}

/** End of central directory, with no comment, as torch's writer leaves it. */
const END_BYTES = 22;
const END_MAGIC = 0x06054b50;

async function endsAsZip(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    if (size < END_BYTES) return false;
    const { buffer } = await file.read(Buffer.alloc(END_BYTES), 0, END_BYTES, size - END_BYTES);
    return buffer.readUInt32LE(0) === END_MAGIC;
  } finally {
    await file.close();
  }
}
