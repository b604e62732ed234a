/**
 * Copies an artifact from other nodes: any block from whichever peer has it, every byte proven, the manifest last.
 * What has arrived is passed on to peers that fetch it as well, long before the rest is here.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Artifact, Peer } from '../workflows/contract.js';
import {
  confined,
  isFile,
  MANIFEST,
  parseManifest,
  readManifest,
  sha256,
  unseal,
  writeManifest,
  type Manifest,
  type ManifestFile,
} from './artifact.js';
import { blocksOf, type Block } from './blocks.js';
import { DownloadError } from './download.js';
import { exclusive } from './exclusive.js';
import { failure, reasonOf } from './failures.js';
import { commitPart, fillPart, openPart, partOf } from './part-file.js';
import { createSignal, whileShown, type Partial } from './partial.js';
import { askBytes, fetchBlock, type Asker } from './peer-client.js';
import { requireSpace } from './step.js';
import { keepInStore, placeFromStore } from './store.js';
import { fetchBlocks } from './swarm.js';

export interface PullOptions {
  artifact: Artifact;
  /** Peers that have it. */
  from: Peer[];
  /** Peers that fetch it at the same time: each passes on what it has. */
  beside?: Peer[] | undefined;
  /** Share the files with the content store. Never for what a trainer writes in place. */
  link?: boolean;
  signal?: AbortSignal;
  onProgress?: (done: { bytes: number; of: number }) => void;
  /** Hears of every peer that could not give what it was asked for, or gave something else. */
  onProblem?: (peer: string, problem: string) => void;
  /** A peer that sends nothing for this long is left. */
  idleMs?: number;
}

interface Pull extends PullOptions {
  asker: Asker;
  from: Peer[];
  beside: Peer[];
  idleMs: number;
  problems: { peer: string; problem: string; lied: boolean }[];
}

export const pullArtifact = (asker: Asker, options: PullOptions): Promise<Artifact> =>
  exclusive(join(asker.dataDir, options.artifact.dir), () => {
    const isOther = ({ name }: Peer) => name !== asker.name;
    const from = options.from.filter(isOther);
    const beside = (options.beside ?? []).filter((peer) => isOther(peer) && !from.some((f) => f.name === peer.name));
    return pull({ idleMs: 60_000, ...options, asker, from, beside, problems: [] });
  });

async function pull(task: Pull): Promise<Artifact> {
  const { asker, artifact, signal, onProgress } = task;
  const { dataDir } = asker;
  const { dir, digest, bytes } = artifact;
  const root = confined(dataDir, dir);
  const held = await readManifest(dataDir, dir);
  const sealed = held?.artifact.digest === digest;
  const manifest = sealed ? held.manifest : await pullManifest(task);

  let done = 0;
  const count = (more: number) => onProgress?.({ bytes: (done += more), of: bytes });
  const missing = new Set<number>();
  for (const [index, file] of manifest.files.entries()) {
    if (await isFile(join(root, file.path), file, signal ? { signal } : {})) count(file.size);
    else missing.add(index);
  }
  if (sealed && missing.size === 0) return artifact;

  if (held) await unseal(dataDir, dir);
  await mkdir(root, { recursive: true });
  return bringFiles(task, manifest, missing, count);
}

/** From the content store, from what an earlier attempt left, and the rest from peers; then the manifest. */
async function bringFiles(
  task: Pull,
  manifest: Manifest,
  missing: Set<number>,
  count: (bytes: number) => void,
): Promise<Artifact> {
  const { asker, artifact, link, signal } = task;
  const { name: node, dataDir } = asker;
  const root = confined(dataDir, artifact.dir);
  const placeOf = (file: number) => confined(root, manifest.files[file]!.path);
  const blocks = blocksOf(manifest);
  const open = new Map<number, Set<number>>();
  const proven = blocks.map(({ file }) => !missing.has(file));
  for (const file of missing) {
    const { size } = manifest.files[file]!;
    if (link && (await placeFromStore(dataDir, manifest.files[file]!, placeOf(file), signal ? { signal } : {}))) {
      for (const block of blocks) if (block.file === file) proven[block.index] = true;
      count(size);
      continue;
    }
    const mine = blocks.filter((block) => block.file === file);
    for (const { index, length } of await openPart(partOf(node, placeOf(file)), size, mine, signal)) {
      proven[index] = true;
      count(length);
    }
    open.set(file, new Set(mine.map(({ index }) => index).filter((index) => !proven[index])));
  }
  const wanted = new Set([...open.values()].flatMap((indexes) => [...indexes]));
  const need = [...wanted].reduce((sum, index) => sum + blocks[index]!.length, 0);
  await requireSpace(root, need, { node, name: `copy ${artifact.dir}` });

  const commit = async (file: number) => {
    await commitPart(partOf(node, placeOf(file)), placeOf(file));
    open.delete(file);
    if (link) await keepInStore(dataDir, manifest.files[file]!.sha256, placeOf(file));
  };
  for (const [file, indexes] of [...open]) if (indexes.size === 0) await commit(file);

  const news = createSignal();
  const shown: Partial & { fetching: ReadonlySet<number> } = {
    ...{ manifest: Buffer.from(`${JSON.stringify(manifest)}\n`), blocks, proven, version: 1, changed: news.next },
    fetching: new Set<number>(),
    pathsOf: (file) => (open.has(file) ? [partOf(node, placeOf(file)), placeOf(file)] : [placeOf(file)]),
  };
  const changed = () => {
    shown.version++;
    news.notify();
  };
  const got = async (block: Block) => {
    proven[block.index] = true;
    const left = open.get(block.file)!;
    left.delete(block.index);
    if (left.size === 0) await commit(block.file);
    changed();
  };
  return whileShown(dataDir, artifact.digest, shown, async () => {
    const outcome = await fetchBlocks({
      ...{ asker, digest: artifact.digest, blocks: blocks.length, wanted, signal },
      ...{ from: task.from, beside: task.beside, idleMs: task.idleMs },
      onProblem: (peer, problem, lied) => noteProblem(task, peer, problem, lied),
      onFetching(fetching) {
        shown.fetching = fetching;
        changed();
      },
      async fetch(index, peer, ending) {
        const block = blocks[index]!;
        const options = { signal: ending, idleMs: task.idleMs, onBytes: count };
        await fillPart(partOf(node, placeOf(block.file)), block, (file) =>
          fetchBlock(asker, peer, artifact.digest, block, file, options),
        );
        await got(block);
      },
    });
    if (outcome === 'nobody') throw nobodyHas(task, manifest.files[blocks[[...wanted][0]!]!.file]!);
    return writeManifest(dataDir, artifact.dir, manifest);
  });
}

/** From the first peer that has it; digest and manifest fit or it is not believed. */
async function pullManifest(task: Pull): Promise<Manifest> {
  const { asker, artifact, signal, idleMs } = task;
  for (const peer of [...task.from, ...task.beside]) {
    const path = `/artifacts/${artifact.digest}/manifest`;
    try {
      const bytes = await askBytes(asker, peer, path, { signal, idleMs });
      const manifest = sha256(bytes) === artifact.digest ? parseManifest(bytes) : undefined;
      if (manifest) return manifest;
      noteProblem(task, peer.name, `${peer.url}${path} is another manifest`, true);
      task.from = task.from.filter((other) => other !== peer);
      task.beside = task.beside.filter((other) => other !== peer);
    } catch (error) {
      if (!(error instanceof DownloadError)) throw error;
      if (task.from.includes(peer)) noteProblem(task, peer.name, reasonOf(error), false);
    }
  }
  throw nobodyHas(task, { path: MANIFEST });
}

function noteProblem(task: Pull, peer: string, problem: string, lied: boolean): void {
  task.problems.push({ peer, problem, lied });
  task.onProblem?.(peer, problem);
}

function nobodyHas({ asker, artifact, problems, from }: Pull, { path }: Pick<ManifestFile, 'path'>) {
  const { name: node } = asker;
  const told = problems.map(({ peer, problem }) => `${peer}: ${problem}`).join('; ') || 'no peer was named';
  const liars = new Set(problems.filter(({ lied }) => lied).map(({ peer }) => peer));
  const allLied = problems.length > 0 && from.every(({ name }) => liars.has(name));
  return failure(
    allLied ? 'DataCorrupt' : 'CommandFailed',
    `${node}: copy ${artifact.dir}: no peer gave a good ${path} (${told}). ${allLied ? 'Remove that directory there, so that it is made again' : 'Check that these nodes run and reach each other'}`,
    { nonRetryable: allLied, details: { node, dir: artifact.dir, file: path, problems: problems.slice(-10) } },
  );
}
