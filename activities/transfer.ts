/**
 * Copies an artifact from other nodes: any block from whichever peer has it, every byte proven, the manifest last.
 * What has arrived is passed on to peers that fetch it as well, long before the rest is here.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Artifact } from '../workflows/contract.js';
import {
  confined,
  isFile,
  manifestBytes,
  readManifest,
  sizeOf,
  unseal,
  unsealDamaged,
  writeManifest,
  type Manifest,
} from './artifact.js';
import { isFullDisk } from './atomic.js';
import { blocksOf, type Block } from './blocks.js';
import { exclusive } from './exclusive.js';
import { readPart, writePart } from './held-part.js';
import { commitPart, fillPart, openPart, partOf, roomTaken } from './part-file.js';
import { createSignal, whileShown, type Partial } from './partial.js';
import { fetchBlock, type Asker } from './peer-client.js';
import {
  forgetWhole,
  nobodyAnswers,
  nobodyHas,
  noteProblem,
  taskOf,
  wantedOf,
  wholeManifest,
  type Pull,
  type PullOptions,
} from './pull-task.js';
import { requireSpace, withSpace } from './promised-space.js';
import { keepInStore, placeFromStore } from './store.js';
import { fetchBlocks } from './swarm.js';

export type { PullOptions } from './pull-task.js';

export const pullArtifact = (asker: Asker, options: PullOptions): Promise<Artifact> =>
  exclusive(join(asker.dataDir, options.artifact.dir), () => pull(taskOf(asker, options)));

/** Bytes of what such a copy has not brought here yet, without bringing any of them. */
export const bytesToPull = (asker: Asker, options: PullOptions): Promise<number> =>
  exclusive(join(asker.dataDir, options.artifact.dir), async () => {
    const { files } = wantedOf(await wholeManifest(taskOf(asker, options)), options.only);
    const root = confined(asker.dataDir, options.artifact.dir);
    let bytes = 0;
    for (const { path, size } of files) {
      const place = join(root, path);
      if ((await sizeOf(place)) !== size) bytes += size - (await roomTaken(partOf(asker.name, place), size));
    }
    return bytes;
  });

async function pull(asked: Pull): Promise<Artifact> {
  const { asker, artifact, signal, onProgress } = asked;
  const { dataDir } = asker;
  const { dir, digest } = artifact;
  const root = confined(dataDir, dir);
  const manifest = await wholeManifest(asked);
  const { only, ...all } = asked;
  const task: Pull = only && !manifest.files.every(({ path }) => only(path)) ? asked : all;
  const wanted = wantedOf(manifest, task.only);
  const held = await readManifest(dataDir, dir);
  const part = await readPart(dataDir, dir);
  const isVouchedFor = held?.artifact.digest === digest || (task.only !== undefined && part?.digest === digest);
  const of = bytesOf(wanted);

  let done = 0;
  const count = (more: number) => onProgress?.({ bytes: (done += more), of });
  const missing = new Set<number>();
  for (const [index, file] of manifest.files.entries()) {
    if (!wanted.files.includes(file)) continue;
    if (await isFile(join(root, file.path), file, signal ? { signal } : {})) count(file.size);
    else missing.add(index);
  }
  if (!isVouchedFor || missing.size > 0) {
    // Of what was complete and is not, is remembered what it was: perhaps nobody gives a better one.
    if (held?.artifact.digest === digest) await unsealDamaged(dataDir, dir);
    else if (held ?? part) await unseal(dataDir, dir);
    await mkdir(root, { recursive: true });
    await bringFiles(task, manifest, missing, count);
  }
  if (only) await forgetWhole(task);
  return { dir, digest, files: wanted.files.length, bytes: of };
}

const bytesOf = ({ files }: Manifest): number => files.reduce((sum, { size }) => sum + size, 0);

/** From the content store, from what an earlier attempt left, and the rest from peers; then what vouches for it. */
async function bringFiles(
  task: Pull,
  manifest: Manifest,
  missing: Set<number>,
  count: (bytes: number) => void,
): Promise<void> {
  const { asker, artifact, link, signal, only = () => true } = task;
  const { name: node, dataDir } = asker;
  const root = confined(dataDir, artifact.dir);
  const placeOf = (file: number) => confined(root, manifest.files[file]!.path);
  const blocks = blocksOf(manifest);
  const proven = blocks.map(({ file }) => only(manifest.files[file]!.path) && !missing.has(file));
  const files: number[] = [];
  let need = 0;
  for (const file of missing) {
    const { size } = manifest.files[file]!;
    if (link && (await placeFromStore(dataDir, manifest.files[file]!, placeOf(file), signal ? { signal } : {}))) {
      for (const block of blocks) if (block.file === file) proven[block.index] = true;
      count(size);
    } else {
      files.push(file);
      need += size - (await roomTaken(partOf(node, placeOf(file)), size));
    }
  }
  // Before any part gets its size, which may be more than the file system takes.
  const room = { path: root, bytes: need, left: () => need };
  const written = (bytes: number) => void (need -= bytes);
  await (asker.withSpace ?? withSpace)(room, { node, name: `copy ${artifact.dir}` }, () =>
    bringBlocks(task, { manifest, blocks, proven, files, placeOf, count, written }),
  );
}

interface Missing {
  manifest: Manifest;
  blocks: Block[];
  /** By index of the block. */
  proven: boolean[];
  /** Those to bring, by their places in the manifest. */
  files: number[];
  placeOf(file: number): string;
  count(bytes: number): void;
  written(bytes: number): void;
}

async function bringBlocks(
  task: Pull,
  { manifest, blocks, proven, files, placeOf, count, written }: Missing,
): Promise<void> {
  const { asker, artifact, link, signal } = task;
  const { name: node, dataDir } = asker;
  const open = new Map<number, Set<number>>();
  for (const file of files) {
    const { size } = manifest.files[file]!;
    const mine = blocks.filter((block) => block.file === file);
    for (const { index, length } of await openPart(partOf(node, placeOf(file)), size, mine, signal)) {
      proven[index] = true;
      count(length);
    }
    open.set(file, new Set(mine.map(({ index }) => index).filter((index) => !proven[index])));
  }
  const wanted = new Set([...open.values()].flatMap((indexes) => [...indexes]));

  const commit = async (file: number) => {
    await commitPart(partOf(node, placeOf(file)), placeOf(file));
    open.delete(file);
    if (link) await keepInStore(dataDir, manifest.files[file]!.sha256, placeOf(file));
  };
  for (const [file, indexes] of [...open]) if (indexes.size === 0) await commit(file);

  const news = createSignal();
  const shown: Partial & { fetching: ReadonlySet<number> } = {
    ...{ dir: artifact.dir, manifest: manifestBytes(manifest), blocks, proven, version: 1, changed: news.next },
    fetching: new Set<number>(),
    pathsOf: (file) => (open.has(file) ? [partOf(node, placeOf(file)), placeOf(file)] : [placeOf(file)]),
  };
  let isTelling = false;
  const changed = () => {
    shown.version++;
    if (isTelling) return;
    isTelling = true;
    // A block that is here and the next that is asked for are one piece of news.
    setImmediate(() => {
      isTelling = false;
      news.notify();
    });
  };
  const got = async (block: Block) => {
    proven[block.index] = true;
    const left = open.get(block.file)!;
    left.delete(block.index);
    if (left.size === 0) await commit(block.file);
    changed();
  };
  const left = () =>
    blocks.reduce((sum, { index, file, length }) => (open.get(file)?.has(index) ? sum + length : sum), 0);
  await whileShown(dataDir, artifact.digest, shown, async () => {
    const fetching = fetchBlocks({
      ...{ asker, digest: artifact.digest, blocks: blocks.length, wanted, signal },
      ...{ from: task.from, beside: task.beside, idleMs: task.idleMs, asksHolders: task.asksHolders },
      onProblem: (peer, problem, lied) => noteProblem(task, peer, problem, lied),
      onFetching(fetching) {
        shown.fetching = fetching;
        changed();
      },
      async fetch(index, peer, ending, onBytes) {
        const block = blocks[index]!;
        const both = (bytes: number) => {
          count(bytes);
          written(bytes);
          onBytes(bytes);
        };
        const options = { signal: ending, idleMs: task.idleMs, onBytes: both };
        await fillPart(partOf(node, placeOf(block.file)), block, (file) =>
          fetchBlock(asker, peer, artifact.digest, block, file, options),
        );
        await got(block);
      },
    });
    const outcome = await fetching.catch(async (error: unknown) => {
      // Others filled it meanwhile: what it still takes, and what there is, says more than that it is full.
      if (isFullDisk(error))
        await requireSpace(confined(dataDir, artifact.dir), left(), { node, name: `copy ${artifact.dir}` });
      throw error;
    });
    if (outcome === 'unreached') throw nobodyAnswers(task);
    if (outcome === 'nobody') throw nobodyHas(task, manifest.files[blocks[[...wanted][0]!]!.file]!);
    // While it is shown as partial: peers that ask in between must find one or the other.
    if (task.only) await writePart(dataDir, artifact.dir, manifest, task.only);
    else await writeManifest(dataDir, artifact.dir, manifest);
  });
}
