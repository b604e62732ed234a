/** Copies an artifact from other nodes: any file from whichever peer has it, every byte proven, the manifest last. */
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
import { download, DownloadError, refusal } from './download.js';
import { exclusive } from './exclusive.js';
import { failure, reasonOf } from './failures.js';
import { requireSpace } from './step.js';
import { keepInStore, placeFromStore } from './store.js';

export interface PullOptions {
  /** Name of this node, for messages. */
  node: string;
  dataDir: string;
  artifact: Artifact;
  from: Peer[];
  /** Share the files with the content store. Never for what a trainer writes in place. */
  link?: boolean;
  signal?: AbortSignal;
  onProgress?: (done: { bytes: number; of: number; file?: string }) => void;
  /** Hears of every peer that could not give what it was asked for, or gave something else. */
  onProblem?: (peer: string, problem: string) => void;
  /** A peer that sends nothing for this long is left. */
  idleMs?: number;
}

interface Pull extends PullOptions {
  /** Peers that are still worth asking, best first. */
  peers: Peer[];
  problems: { peer: string; problem: string; lied: boolean }[];
}

export const pullArtifact = (options: PullOptions): Promise<Artifact> =>
  exclusive(join(options.dataDir, options.artifact.dir), () =>
    pull({ ...options, peers: [...options.from], problems: [] }),
  );

async function pull(task: Pull): Promise<Artifact> {
  const { node, dataDir, artifact, link, signal, onProgress } = task;
  const { dir, digest, bytes } = artifact;
  const root = confined(dataDir, dir);
  const held = await readManifest(dataDir, dir);
  const sealed = held?.artifact.digest === digest;
  const manifest = sealed ? held.manifest : await pullManifest(task);

  let done = 0;
  const hashing = signal ? { signal } : {};
  const missing: ManifestFile[] = [];
  for (const file of manifest.files) {
    if (!(await isFile(join(root, file.path), file, hashing))) missing.push(file);
    else onProgress?.({ bytes: (done += file.size), of: bytes });
  }
  if (sealed && missing.length === 0) return artifact;

  if (held) await unseal(dataDir, dir);
  await mkdir(root, { recursive: true });
  const need = missing.reduce((sum, { size }) => sum + size, 0);
  await requireSpace(root, need, { node, name: `copy ${dir}` });
  for (const file of missing) {
    const to = confined(root, file.path);
    const stored = link && (await placeFromStore(dataDir, file, to, hashing));
    if (!stored) {
      await pullFile(task, file, to, (more) => onProgress?.({ bytes: (done += more), of: bytes, file: file.path }));
      if (link) await keepInStore(dataDir, file.sha256, to);
    }
  }
  return writeManifest(dataDir, dir, manifest);
}

const pullFile = (task: Pull, file: ManifestFile, to: string, onBytes: (bytes: number) => void): Promise<string> =>
  fromAnyPeer(task, file.path, (peer) => {
    const { signal, idleMs } = task;
    const { size, sha256 } = file;
    const url = urlOf(peer, task.artifact.dir, file.path);
    return download({ url, to, size, sha256, signal, onBytes, ...(idleMs ? { idleMs } : {}) });
  });

const pullManifest = (task: Pull): Promise<Manifest> =>
  fromAnyPeer(task, MANIFEST, async (peer) => {
    const url = urlOf(peer, task.artifact.dir, MANIFEST);
    const limit = AbortSignal.timeout(task.idleMs ?? 60_000);
    const response = await fetch(url, { signal: task.signal ? AbortSignal.any([task.signal, limit]) : limit });
    if (!response.ok) throw refusal(url, response);
    const bytes = new Uint8Array(await response.arrayBuffer());
    const manifest = sha256(bytes) === task.artifact.digest ? parseManifest(bytes) : undefined;
    if (!manifest) throw new DownloadError('wrong', `${url} is not the manifest ${task.artifact.digest.slice(0, 12)}`);
    return manifest;
  });

/** Asks one peer after the other. One that lied is not asked again, one that broke off only when nobody else is left. */
async function fromAnyPeer<T>(task: Pull, file: string, ask: (peer: Peer) => Promise<T>): Promise<T> {
  for (const peer of [...task.peers]) {
    try {
      return await ask(peer);
    } catch (error) {
      if (task.signal?.aborted) throw task.signal.reason;
      const lied = error instanceof DownloadError && error.kind === 'wrong';
      if (!(error instanceof DownloadError || error instanceof TypeError || isTimeout(error))) throw error;
      const problem = reasonOf(error);
      task.problems.push({ peer: peer.name, problem, lied });
      task.onProblem?.(peer.name, problem);
      task.peers = task.peers.filter((other) => other !== peer);
      if (!lied) task.peers.push(peer);
    }
  }
  const { node, artifact, problems } = task;
  const told = problems.map(({ peer, problem }) => `${peer}: ${problem}`).join('; ') || 'no peer was named';
  const allLied = task.peers.length === 0 && problems.length > 0;
  throw failure(
    allLied ? 'DataCorrupt' : 'CommandFailed',
    `${node}: copy ${artifact.dir}: no peer gave a good ${file} (${told}). ${allLied ? 'Remove that directory there, so that it is made again' : 'Check that these nodes run and reach each other'}`,
    { nonRetryable: allLied, details: { node, dir: artifact.dir, file, problems: problems.slice(-10) } },
  );
}

const urlOf = ({ url }: Peer, dir: string, path: string): string =>
  `${url}/${`${dir}/${path}`.split('/').map(encodeURIComponent).join('/')}`;

const isTimeout = (error: unknown): boolean => error instanceof Error && error.name === 'TimeoutError';
