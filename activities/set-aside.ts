/**
 * What is damaged here and can be made again makes room for that: it is moved beside what it was a part of, with what is
 * wrong with it. Nobody removes it but a person; what it was made of may be gone, and it is evidence.
 */
import { log } from '@temporalio/activity';
import { mkdir, rename } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { NodeActivities } from '../workflows/contract.js';
import { confined, isFile, lastManifest, unseal, type HashOptions, type ManifestFile } from './artifact.js';
import { isMissing, syncPath, writeJson } from './atomic.js';
import { iterationsIn, SET_ASIDE, shardDir, shardsIn, TRACKER } from './checkpoint-files.js';
import { exclusive } from './exclusive.js';
import type { NodeDeps } from './node-deps.js';
import { step } from './step.js';

/** In an answer; all of them are in the reason beside what is set aside. */
const MAX_TOLD = 3;

export const createSetAsideDamaged =
  (deps: NodeDeps): NodeActivities['setAsideDamaged'] =>
  ({ dir }) => {
    const { name: node, dataDir } = deps;
    let read = 0;
    const options = { node, name: `set aside what is damaged of ${dir}`, details: () => ({ bytes: read }) };
    const path = join(dataDir, dir);
    // Whoever makes it holds the first lock, and a restore that brings it the second.
    return step(options, (signal) =>
      exclusive(path, () =>
        exclusive(join(path, TRACKER), () =>
          setAsideDamaged(deps, dir, { signal, onBytes: (bytes) => void (read += bytes) }),
        ),
      ),
    );
  };

async function setAsideDamaged({ name: node, dataDir }: NodeDeps, dir: string, options: HashOptions) {
  const at = new Date().toISOString();
  const aside = `${dirname(dir)}/${SET_ASIDE}/${at.replace(/[:.]/g, '-')}/${basename(dir)}`;
  const damaged: ManifestFile[] = [];
  for (const part of await partsOf(dataDir, dir)) {
    const bad = await damagedIn(dataDir, part, options);
    // Whoever gave this up may have had it made again since.
    options.signal?.throwIfAborted();
    for (const file of bad) damaged.push({ ...file, path: `${part}/${file.path}`.slice(dir.length + 1) });
    for (const { path } of bad) await move(dataDir, `${part}/${path}`, aside + `${part}/${path}`.slice(dir.length));
    // Last: whoever begins anew after a crash finds by it what is missing.
    if (bad.length > 0) await unseal(dataDir, part);
  }
  if (damaged.length === 0) return {};
  log.warn('damaged files are set aside, to be made again', { dir, aside, damaged: damaged.map(({ path }) => path) });
  const why = `on ${node} these files of ${dir} were not what its manifest says: their sizes and SHA-256 there`;
  const files = damaged.map(({ path, size, sha256 }) => ({ path, size, sha256 }));
  await writeJson(`${confined(dataDir, aside)}.reason.json`, { at, why, files });
  return { aside, files: damaged.length, some: damaged.slice(0, MAX_TOLD).map(({ path }) => path) };
}

/** Of a checkpoint tree each shard is sealed by itself. */
async function partsOf(dataDir: string, dir: string): Promise<string[]> {
  const parts = [dir];
  for (const iteration of await iterationsIn(dataDir, dir))
    for (const shard of await shardsIn(dataDir, dir, iteration)) parts.push(shardDir(dir, iteration, shard));
  return parts;
}

/** As the manifest of these files says they are to be. */
async function damagedIn(dataDir: string, dir: string, options: HashOptions): Promise<ManifestFile[]> {
  const root = confined(dataDir, dir);
  const bad: ManifestFile[] = [];
  for (const file of (await lastManifest(dataDir, dir))?.files ?? [])
    if (!(await isFile(join(root, file.path), file, options))) bad.push(file);
  return bad;
}

async function move(dataDir: string, from: string, to: string): Promise<void> {
  const [source, target] = [confined(dataDir, from), confined(dataDir, to)];
  await mkdir(dirname(target), { recursive: true });
  try {
    await rename(source, target);
  } catch (error) {
    // It was missing itself, or a node that shares the storage was first.
    if (!isMissing(error)) throw error;
  }
  await syncPath(dirname(target));
}
