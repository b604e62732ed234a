/** Brings files of a source into a directory of this node, each proven, and seals it. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { bytewise } from '../workflows/byte-order.js';
import type { FetchFilesInput, NodeActivities, SourceFile } from '../workflows/contract.js';
import { confined, MANIFEST, readWhole, sealArtifact, sizeOf, unseal, type Manifest } from './artifact.js';
import { fetchedPart } from './download.js';
import { exclusive } from './exclusive.js';
import { digestKnown, etagOf, fetchFile } from './fetch-file.js';
import { refuseForeignCode } from './foreign-code.js';
import { withTokenFor } from './hub-tokens.js';
import type { NodeDeps } from './node-deps.js';
import { withSpace } from './promised-space.js';
import { isSound } from './proof.js';
import { invalid, parseSource, type Source } from './source.js';
import { step } from './step.js';

/** Small files are many; large ones fill the line by themselves. */
const AT_ONCE = 4;

export const createFetchFiles =
  (deps: NodeDeps): NodeActivities['fetchFiles'] =>
  (input) => {
    const { source, dir, files } = input;
    const progress = { bytes: 0, of: files.reduce((sum, { size }) => sum + size, 0), files: 0, ofFiles: files.length };
    return step({ node: deps.name, name: `fetch ${source}`, details: () => progress }, (signal) =>
      exclusive(join(deps.dataDir, dir), () => fetchAll(deps, input, signal, progress)),
    );
  };

interface Progress {
  bytes: number;
  of: number;
  files: number;
}

async function fetchAll(deps: NodeDeps, input: FetchFilesInput, signal: AbortSignal, progress: Progress) {
  const { dataDir, name: node } = deps;
  const { dir, files } = input;
  const source = parseSource(input.source);
  const readable = withTokenFor(deps, source, input.tokens);
  refuseUnpinned(input.source, source, files);
  refuseManifest(input.source, files);
  const root = confined(dataDir, dir);
  const there = await readWhole(dataDir, dir);
  // What is made of it is sealed under a name that stands for these bytes.
  if (there && sameFiles(there.manifest, files) && (await isSound(dataDir, there, { signal }))) return there.artifact;

  await unseal(dataDir, dir);
  await mkdir(root, { recursive: true });
  const bytes = progress.of - (await bytesHeld(deps, root, source, files));
  const left = () => progress.of - progress.bytes;
  const step = { node, name: `fetch ${input.source}` };
  return withSpace({ path: root, bytes, left }, step, () => fetchEach(readable, input, source, signal, progress));
}

async function fetchEach(
  deps: NodeDeps,
  input: FetchFilesInput,
  source: Source,
  signal: AbortSignal,
  progress: Progress,
) {
  const { dataDir } = deps;
  const { dir, files } = input;
  const root = confined(dataDir, dir);
  const known = new Map<string, string>();
  const waiting = files.values();
  // All workers stop at the first failure; the SDK's signal alone would let the others run on behind a finished attempt.
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const work = async () => {
    for (const file of waiting) {
      known.set(file.path, await fetchFile(deps, source, file, root, either, progress));
      progress.files++;
    }
  };
  const workers = Array.from({ length: AT_ONCE }, () =>
    work().catch((error: unknown) => {
      stop.abort(error);
      throw error;
    }),
  );
  const failed = (await Promise.allSettled(workers)).find((result) => result.status === 'rejected');
  if (failed) throw stop.signal.reason ?? failed.reason;
  await refuseForeignCode(input.source, root, known.keys());
  return sealArtifact(dataDir, dir, [...known.keys()], { known, signal });
}

/** ModelScope has no name for a commit: without a digest nothing tells what was listed from what is there a day later. */
function refuseUnpinned(address: string, { kind }: Source, files: SourceFile[]): void {
  const bare = kind === 'modelscope' && files.find(({ sha256 }) => sha256 === undefined);
  if (bare)
    throw invalid(
      address,
      `the hub gives no SHA-256 of ${bare.path}, so that a change of it would pass unseen. Take it from another place, as https:// with #sha256=`,
    );
}

/** It would be overwritten when the directory is declared complete. */
function refuseManifest(address: string, files: SourceFile[]): void {
  if (files.some(({ path }) => path === MANIFEST))
    throw invalid(
      address,
      `a file cannot be called ${MANIFEST}, as the list of files beside it is here. Give it another name, or leave it out by a pattern`,
    );
}

function sameFiles({ files }: Manifest, wanted: SourceFile[]): boolean {
  const sorted = [...wanted].sort((a, b) => bytewise(a.path, b.path));
  return (
    files.length === sorted.length &&
    files.every((file, index) => {
      const { path, size, sha256 = file.sha256 } = sorted[index]!;
      return file.path === path && file.size === size && file.sha256 === sha256;
    })
  );
}

async function bytesHeld(deps: NodeDeps, root: string, source: Source, files: SourceFile[]): Promise<number> {
  let bytes = 0;
  for (const file of files) {
    const to = join(root, file.path);
    const isKnown = (await digestKnown(deps, source, file)) !== undefined;
    // What nothing proves stays until it has been fetched again beside it.
    const whole = isKnown ? await sizeOf(to) : undefined;
    const held = whole ?? (await sizeOf(fetchedPart(deps.name, to, etagOf(source, file)))) ?? 0;
    bytes += Math.min(file.size, held);
  }
  return bytes;
}
