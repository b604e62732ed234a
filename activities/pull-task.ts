/** One copy from other nodes: what is asked for, the manifest that tells its files, and who could not give them. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Artifact, Peer } from '../workflows/contract.js';
import {
  confined,
  MANIFEST,
  manifestBytes,
  parseManifest,
  readManifest,
  sha256,
  type Manifest,
  type ManifestFile,
  type Wanted,
} from './artifact.js';
import { readIfThere, writeFileAtomic } from './atomic.js';
import { DownloadError } from './download.js';
import { failure, reasonOf } from './failures.js';
import { readPart } from './held-part.js';
import { askBytes, PeerUnreached, type Asker } from './peer-client.js';

export interface PullOptions {
  artifact: Artifact;
  /** Peers that have it. */
  from: Peer[];
  /** Peers that fetch it at the same time: each passes on what it has. */
  beside?: Peer[] | undefined;
  /** Whoever asked for the copy asks these then: where none of `from` answers it fails at once, with `HoldersAway`. */
  asksHolders?: true | undefined;
  /** Only these of its files: what is here then is no copy of it. Where that leaves nothing out, it is one. */
  only?: Wanted;
  /** Share the files with the content store. Never for what a trainer writes in place. */
  link?: boolean;
  signal?: AbortSignal;
  onProgress?: (done: { bytes: number; of: number }) => void;
  /** Hears of every peer that could not give what it was asked for, or gave something else. */
  onProblem?: (peer: string, problem: string) => void;
  /** A peer that sends nothing for this long is left. */
  idleMs?: number;
}

export interface Pull extends PullOptions {
  asker: Asker;
  from: Peer[];
  beside: Peer[];
  idleMs: number;
  problems: { peer: string; problem: string; lied: boolean }[];
}

/**
 * Three times as long as a file service takes to say that it lives while others have their turn: where a machine is
 * gone, nothing ever breaks a connection that was there before.
 */
const IDLE_MS = 15_000;

export function taskOf(asker: Asker, options: PullOptions): Pull {
  const isOther = ({ name }: Peer) => name !== asker.name;
  const from = options.from.filter(isOther);
  const beside = (options.beside ?? []).filter((peer) => isOther(peer) && !from.some((f) => f.name === peer.name));
  return { idleMs: IDLE_MS, ...options, asker, from, beside, problems: [] };
}

export const wantedOf = (manifest: Manifest, only?: Wanted): Manifest =>
  only ? { ...manifest, files: manifest.files.filter(({ path }) => only(path)) } : manifest;

/** While only some files of an artifact are brought, its whole manifest is beside them: it alone tells its blocks by number. */
const WHOLE = '.whole.json';

export const forgetWhole = ({ asker, artifact }: Pull): Promise<void> =>
  rm(join(confined(asker.dataDir, artifact.dir), WHOLE), { force: true });

export async function wholeManifest(task: Pull): Promise<Manifest> {
  const { asker, artifact, only } = task;
  const { dataDir } = asker;
  if (!only) {
    const held = await readManifest(dataDir, artifact.dir);
    return held?.artifact.digest === artifact.digest ? held.manifest : pullManifest(task);
  }
  const path = join(confined(dataDir, artifact.dir), WHOLE);
  const bytes = await readIfThere(path);
  const kept = bytes && sha256(bytes) === artifact.digest ? parseManifest(bytes) : undefined;
  if (kept) return kept;
  const part = await readPart(dataDir, artifact.dir);
  if (part?.digest === artifact.digest) return part.manifest;
  const manifest = await pullManifest(task);
  await writeFileAtomic(path, manifestBytes(manifest));
  return manifest;
}

/** From the first peer that has it; digest and manifest fit or it is not believed. */
async function pullManifest(task: Pull): Promise<Manifest> {
  const { asker, artifact, signal, idleMs } = task;
  let unreached = 0;
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
      if (!task.from.includes(peer)) continue;
      noteProblem(task, peer.name, reasonOf(error), false);
      if (error instanceof PeerUnreached) unreached++;
    }
  }
  if (task.asksHolders && unreached > 0 && unreached === task.from.length) throw nobodyAnswers(task);
  throw nobodyHas(task, { path: MANIFEST });
}

export function noteProblem(task: Pull, peer: string, problem: string, lied: boolean): void {
  task.problems.push({ peer, problem, lied });
  task.onProblem?.(peer, problem);
}

/** The same attempt again is for whoever asks them. */
export function nobodyAnswers({ asker, artifact, problems, from }: Pull) {
  const { name: node } = asker;
  const unanswered = from.map(({ name }) => name);
  const told = problems.slice(-unanswered.length).map(({ peer, problem }) => `${peer}: ${problem}`);
  return failure(
    'HoldersAway',
    `${node}: copy ${artifact.dir}: nobody answers who has it (${told.join('; ')}). Check that these nodes run and that ${node} reaches them`,
    { nonRetryable: true, details: { node, dir: artifact.dir, unanswered, problems: problems.slice(-10) } },
  );
}

export function nobodyHas({ asker, artifact, problems, from, beside }: Pull, { path }: Pick<ManifestFile, 'path'>) {
  const { name: node } = asker;
  const told = problems.map(({ peer, problem }) => `${peer}: ${problem}`).join('; ') || 'no other node has it';
  const liars = new Set(problems.filter(({ lied }) => lied).map(({ peer }) => peer));
  // With nobody to ask, what is missing here was here alone.
  const isOnly = problems.length + from.length + beside.length === 0;
  const allLied = isOnly || (problems.length > 0 && from.every(({ name }) => liars.has(name)));
  return failure(
    allLied ? 'DataCorrupt' : 'CommandFailed',
    `${node}: copy ${artifact.dir}: no peer gave a good ${path} (${told}). ${allLied ? 'What was proven there once is damaged: look at their disks' : 'Check that these nodes run and reach each other'}`,
    { nonRetryable: allLied, details: { node, dir: artifact.dir, file: path, problems: problems.slice(-10) } },
  );
}
