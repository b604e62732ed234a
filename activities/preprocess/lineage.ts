/**
 * Beside a dataset lies what it is made of, by name, and what its figures are the sum of: with that, one that begins
 * with it is made of it and of what is new.
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Lineage, LineageFound } from '../../workflows/contract.js';
import { ENGINES } from '../../workflows/engines.js';
import { confined, MANIFEST, readWhole } from '../artifact.js';
import { noneIfMissing, readJson, writeJson } from '../atomic.js';
import { failure } from '../failures.js';
import type { Figures } from './figures.js';
import type { Summary } from './summary.js';

export const LINEAGE = 'lineage.json';

/** As many as a node tells of, the newest. */
const MOST = 16;

interface Noted extends Lineage {
  engine: string;
  parts: Figures;
}

const read = (dataDir: string, dir: string): Promise<Noted | undefined> =>
  readJson<Noted>(join(confined(dataDir, dir), LINEAGE)).catch(() => undefined);

export const noteLineage = (dataDir: string, dir: string, lineage: Lineage, parts: Figures): Promise<void> =>
  writeJson(join(confined(dataDir, dir), LINEAGE), { ...lineage, engine: ENGINES.native, parts } satisfies Noted);

/** Whether a dataset here says that it is of another version of the preprocessor: its node was not on this one yet. */
export async function isOfOtherVersion(dataDir: string, dir: string): Promise<boolean> {
  const noted = await read(dataDir, dir);
  return noted !== undefined && noted.engine !== ENGINES.native;
}

/** What the figures of a shard, or of a dataset that another one begins with, are the sum of. */
export async function figuresOf(dataDir: string, dir: string, summary: Summary): Promise<Figures> {
  const parts = summary.parts ?? (await read(dataDir, dir))?.parts;
  if (parts) return parts;
  throw failure('DataCorrupt', `${dir} does not say what its figures are made of`, { details: { dir } });
}

/** Datasets here that were made like this, by this version of the preprocessor. */
export async function lineagesIn(dataDir: string, like: string): Promise<LineageFound[]> {
  const names = (await readdir(join(dataDir, 'datasets')).catch(noneIfMissing)).filter((name) => !name.startsWith('.'));
  const found: (LineageFound & { at: number })[] = [];
  for (const dir of names.map((name) => `datasets/${name}`)) {
    const noted = await read(dataDir, dir);
    if (noted?.like !== like || noted.engine !== ENGINES.native) continue;
    const whole = await readWhole(dataDir, dir);
    if (!whole?.manifest.files.some(({ path }) => path === LINEAGE)) continue;
    const { mtimeMs: at } = await stat(join(confined(dataDir, dir), MANIFEST));
    found.push({ name: noted.name, artifact: whole.artifact, at });
  }
  return found
    .sort((a, b) => b.at - a.at)
    .slice(0, MOST)
    .map(({ name, artifact }) => ({ name, artifact }));
}
