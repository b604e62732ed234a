/**
 * Trainers keep the shuffled index of a dataset beside it, never bring it to the disk, and believe whatever bears its
 * name: after a power cut they train on documents of number 0, and say nothing. A generation seals the index as soon as
 * it is written; an index without a seal, or that is not what was sealed, goes before the next launch and is built anew.
 */
import { open, readdir, rm, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { log } from '@temporalio/activity';
import { bytewise } from '../workflows/byte-order.js';
import type { LaunchTrainingInput } from '../workflows/contract.js';
import { hashFile, type HashOptions } from './artifact.js';
import { noneIfMissing, readJson, syncPath, writeJson } from './atomic.js';
import { reasonOf } from './failures.js';
import { valueOf } from './launch-checks.js';
import { isRecent, isSame, stampOf, type Stamp } from './proof.js';
import { timeLimit } from './time-limit.js';

interface Seal {
  /** When all of it was last read and found right. */
  at: number;
  files: Record<string, { sha256: string; stamp: Stamp }>;
}

/** One index: the trainer names its files after the MD5 of what it is an index of. */
interface Index {
  id: string;
  files: string[];
  isSealed: boolean;
}

const PARTS = ['description.txt', 'document_index.npy', 'sample_index.npy', 'shuffle_index.npy'];
const LOOK_EVERY_MS = 5_000;
/** A stop waits behind a launch; and an index is built about as fast as it is read. */
const PROVE_WITHIN_MS = 20_000;
/** Another run on shared storage may be building what was written so lately. Its own generation will seal it, or it grows old. */
const BUILDING_MS = 10 * 60_000;

const sealOf = (id: string): string => `.${id}.sealed.json`;

/**
 * Where the ranks of this member build their index, below the data directory; nothing where those of another one do:
 * with shared storage rank 0 alone does.
 */
export function indexCacheOf({ script, saves }: Pick<LaunchTrainingInput, 'script' | 'saves'>): string | undefined {
  const prefix = valueOf(script, '--data-path') ?? tokensOf(valueOf(script, '--data.dataset'));
  const builds =
    saves.isFirst || script.includes('--no-shared-storage') || valueOf(script, '--data.no_shared_storage') === 'True';
  if (prefix === undefined || !builds) return undefined;
  return valueOf(script, '--data-cache-path') ?? `${prefix}/cache/GPTDataset_indices`;
}

/** Where `train_fsdp2.py` writes the tokens of a file of text. */
function tokensOf(dataset: string | undefined): string | undefined {
  if (dataset === undefined) return undefined;
  const { file_name: text } = JSON.parse(dataset) as { file_name: string };
  return `${text.slice(0, text.length - extname(text).length)}_text_document`;
}

/**
 * To be called before ranks start. Unlinks, and writes nothing in place: ranks of another run may have it mapped.
 * @param isShared other nodes' ranks build in it too: what they may be building stays
 */
export async function removeUnproven(root: string, isShared: boolean): Promise<void> {
  const options = { signal: timeLimit(PROVE_WITHIN_MS).signal };
  const removed: string[] = [];
  for (const index of await indicesIn(root)) {
    if (await isProven(root, index, options)) continue;
    if (isShared && !index.isSealed && (await isRecentlyWritten(root, index))) continue;
    for (const name of [sealOf(index.id), ...index.files]) await rm(join(root, name), { force: true });
    removed.push(index.id);
  }
  if (removed.length === 0) return;
  await syncPath(root);
  log.warn('index caches here are not what a trainer was seen to write: they are built again', { root, removed });
}

async function isRecentlyWritten(root: string, { files }: Index): Promise<boolean> {
  const written = await Promise.all(files.map(async (name) => (await stat(join(root, name))).mtimeMs));
  return Math.max(...written) > Date.now() - BUILDING_MS;
}

/** Seals what ranks build in `root` while `work` goes on, and after it. A failure to costs that the index is built again. */
export async function sealingIndices<T>(root: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const over = new AbortController();
  const look = () =>
    sealWritten(root, signal).catch((error: unknown) => {
      if (!signal.aborted) log.warn('an index cache was not sealed', { root, why: reasonOf(error) });
    });
  const looking = (async () => {
    while (!over.signal.aborted && !signal.aborted) {
      await look();
      await sleep(LOOK_EVERY_MS, undefined, { signal: over.signal }).catch(() => undefined);
    }
  })();
  try {
    return await work();
  } finally {
    over.abort();
    await looking;
    if (!signal.aborted) await look();
  }
}

/** A seal is never renewed here: after a launch, what differs from it was not written by its ranks. */
async function sealWritten(root: string, signal: AbortSignal): Promise<void> {
  for (const { id, files, isSealed } of await indicesIn(root)) {
    if (isSealed || !(await isWritten(root, files))) continue;
    const seal: Seal = { at: Date.now(), files: {} };
    for (const name of files) {
      const path = join(root, name);
      await syncPath(path);
      const stamp = await stampOf(path);
      seal.files[name] = { sha256: await hashFile(path, { signal }), stamp };
    }
    const isStill = await Promise.all(
      Object.entries(seal.files).map(async ([name, { stamp }]) => isSame(stamp, await stampOf(join(root, name)), true)),
    );
    if (isStill.every(Boolean)) await writeJson(join(root, sealOf(id)), seal);
  }
}

async function isProven(root: string, { id, files }: Index, options: HashOptions): Promise<boolean> {
  try {
    const seal = await readJson<Seal>(join(root, sealOf(id)));
    if (!seal || Object.keys(seal.files).sort(bytewise).join() !== files.join()) return false;
    const again: Seal = { at: Date.now(), files: {} };
    let isAsSealed = isRecent(seal.at);
    for (const [name, { sha256, stamp }] of Object.entries(seal.files)) {
      again.files[name] = { sha256, stamp: await stampOf(join(root, name)) };
      isAsSealed &&= isSame(stamp, again.files[name].stamp, true);
    }
    if (isAsSealed) return true;
    for (const [name, { sha256 }] of Object.entries(seal.files))
      if ((await hashFile(join(root, name), options)) !== sha256) return false;
    // A full disk must not keep a node from using what is right.
    await writeJson(join(root, sealOf(id)), again).catch(() => undefined);
    return true;
  } catch (error) {
    log.warn('an index cache cannot be proven', { root, id, why: reasonOf(error) });
    return false;
  }
}

async function indicesIn(root: string): Promise<Index[]> {
  const names = (await readdir(root).catch(noneIfMissing)).sort(bytewise);
  const ids = new Set(names.flatMap((name) => /^\.?([0-9a-f]{32})[-.]/.exec(name)?.[1] ?? []));
  return [...ids].map((id) => ({
    id,
    files: names.filter((name) => name.startsWith(id)),
    isSealed: names.includes(sealOf(id)),
  }));
}

/** All parts are there, each as long as its header says: they are written one after the other, and in one go. */
async function isWritten(root: string, files: string[]): Promise<boolean> {
  if (!PARTS.every((part) => files.some((name) => name.endsWith(`-${part}`)))) return false;
  for (const name of files.filter((name) => name.endsWith('.npy')))
    if (!(await isWholeArray(join(root, name)))) return false;
  return true;
}

/** NumPy's format 1.0, which `numpy.save` writes for arrays as plain as these. */
async function isWholeArray(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const head = Buffer.alloc(Math.min(size, 10 + 2 ** 16));
    await file.read(head, 0, head.length, 0);
    if (head.length < 10 || head.toString('latin1', 0, 8) !== '\x93NUMPY\x01\x00') return false;
    const end = 10 + head.readUInt16LE(8);
    const header = head.toString('latin1', 10, end);
    const bytes = /'descr': '[<>|][a-z](\d+)'/.exec(header)?.[1];
    const shape = /'shape': \(([\d, ]+)\)/.exec(header)?.[1]?.match(/\d+/g);
    return !!bytes && !!shape && size === end + shape.reduce((product, n) => product * Number(n), Number(bytes));
  } finally {
    await file.close();
  }
}
