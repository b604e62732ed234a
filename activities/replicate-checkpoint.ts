/**
 * Follows the saves of one generation: seals what this node writes, and keeps proven copies of what others write.
 * When an iteration is sealed and copied here, the generation hears of it.
 */
import { randomUUID } from 'node:crypto';
import { log, sleep } from '@temporalio/activity';
import { readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { NodeActivities, ReplicateCheckpointInput } from '../workflows/contract.js';
import type { CheckpointReplicated } from '../workflows/messages.js';
import { checkpointsDir } from '../workflows/plan.js';
import { confined, parseManifest, sha256 } from './artifact.js';
import { createPatientAsk, type PatientAsk } from './ask-patiently.js';
import {
  iterationDir,
  iterationsIn,
  parseTracker,
  readTracker,
  sealShard,
  SET_ASIDE,
  shardDir,
} from './checkpoint-files.js';
import { reasonOf } from './failures.js';
import { isMissing, readJson } from './atomic.js';
import { filesOf, generationDir, type ExitFile } from './generation-files.js';
import type { NodeDeps } from './node-deps.js';
import { step } from './step.js';
import { pullArtifact } from './transfer.js';

const LOOK_EVERY_MS = 500;
/** Between looks at a peer that is still writing or hashing its part: seconds here are iterations lost later. */
const NOT_READY_MS = 100;
/** Looks at the master's tracker after the ranks here have ended: its last move may come a moment later. */
const LAST_LOOKS = 5;

export const createReplicateCheckpoint =
  (deps: NodeDeps): NodeActivities['replicateCheckpoint'] =>
  (input) => {
    let done = input.after;
    const options = { node: deps.name, name: `copies of checkpoints of ${input.series}`, details: () => ({ done }) };
    return step(options, async (signal) => {
      const dir = checkpointsDir(input.series);
      const ask = createPatientAsk(deps, input.patienceSeconds * 1000);
      for (let looks = LAST_LOOKS; ;) {
        const tracked = await trackerOf(deps, ask, input);
        if (tracked !== undefined && tracked > done) {
          if (!(await follow(deps, ask, input, dir, tracked, signal))) {
            await sleep(NOT_READY_MS);
            continue;
          }
          done = tracked;
          await prune(deps, dir, await deps.replicated(input.reportTo), input.keep);
          if (done >= input.until) return { iteration: done };
          continue;
        }
        if (tracked !== undefined && tracked <= done && (await isOver(deps, input)) && --looks === 0)
          return { iteration: done };
        await sleep(LOOK_EVERY_MS);
      }
    });
  };

/** Ended before `until`: a member sees it by its exit file; a spare, which has none, is cancelled with the generation. */
async function isOver(deps: NodeDeps, input: ReplicateCheckpointInput): Promise<boolean> {
  const exit = await readJson<ExitFile>(filesOf(generationDir(deps.dataDir, input)).exit);
  return exit?.token === input.token;
}

/** Only rank 0's node has a tracker that moves, and it moves when every rank of every node has written. */
async function trackerOf(
  deps: NodeDeps,
  ask: PatientAsk,
  { series, master }: ReplicateCheckpointInput,
): Promise<number | undefined> {
  if (master.name === deps.name) return readTracker(deps.dataDir, checkpointsDir(series));
  return parseTracker((await ask(master, `/series/${series}/tracker`))?.toString('utf8'));
}

/** Seals and copies one iteration. False where a peer is not ready: it is asked again. */
async function follow(
  deps: NodeDeps,
  ask: PatientAsk,
  input: ReplicateCheckpointInput,
  dir: string,
  iteration: number,
  signal: AbortSignal,
): Promise<boolean> {
  const { dataDir } = deps;
  let bytes = 0;
  const seal = { signal, token: input.token };
  for (const shard of input.seals) bytes += (await sealShard(dataDir, shardDir(dir, iteration, shard), seal)).bytes;
  for (const { shard, from } of input.copies) {
    const at = shardDir(dir, iteration, shard);
    const manifest = await ask(from, `/series/${input.series}/${iteration}/${shard}`);
    const files = manifest && parseManifest(manifest)?.files;
    if (!files) return false;
    const artifact = {
      dir: at,
      digest: sha256(manifest),
      files: files.length,
      bytes: files.reduce((sum, { size }) => sum + size, 0),
    };
    try {
      await pullArtifact(deps, { artifact, from: [from], signal });
    } catch (error) {
      if (signal.aborted) throw error;
      // Its writer died, or wrote a newer one meanwhile: training goes on, and so does the looking.
      log.warn('a checkpoint shard was not copied', { shard, iteration, from: from.name, why: reasonOf(error) });
      return false;
    }
    bytes += artifact.bytes;
  }
  const news: CheckpointReplicated = { token: input.token, task: input.task, iteration, bytes };
  try {
    await deps.signal(input.reportTo, 'checkpointReplicated', news);
  } catch (error) {
    log.warn('a replicated checkpoint was not reported', { iteration, why: reasonOf(error) });
    return false;
  }
  return true;
}

/**
 * Keeps the newest `keep` iterations of those that are replicated everywhere, and all newer ones: this node may be
 * ahead of a copier that is stuck, and then the older iteration is the one to go on from.
 */
async function prune({ dataDir }: NodeDeps, dir: string, done: number | undefined, keep: number): Promise<void> {
  if (done === undefined) return;
  const old = (await iterationsIn(dataDir, dir)).filter((iteration) => iteration <= done).slice(0, -Math.max(1, keep));
  const root = confined(dataDir, dir);
  for (const iteration of old) await remove(join(root, iterationDir(iteration)));
  for (const name of await readdir(root).catch(() => []))
    if (name.startsWith(REMOVED)) await rm(join(root, name), { recursive: true, force: true });

  // What a restore has set aside is kept as long as it is newer than anything else there is.
  const aside = `${dir}/${SET_ASIDE}`;
  for (const batch of await readdir(confined(dataDir, aside)).catch(() => [])) {
    const iterations = await iterationsIn(dataDir, `${aside}/${batch}`);
    const trained = iterations.filter((iteration) => iteration <= done);
    for (const iteration of trained)
      await remove(join(confined(dataDir, `${aside}/${batch}`), iterationDir(iteration)));
    if (trained.length === iterations.length) await remove(confined(dataDir, `${aside}/${batch}`));
  }
}

const REMOVED = '.removed-';

/**
 * Out of its place first: half of an iteration must not be taken for one that nobody has sealed yet. Where storage is
 * shared, or a node copies for another, somebody else may remove it at the same time.
 */
async function remove(path: string): Promise<void> {
  const removed = join(dirname(path), `${REMOVED}${basename(path)}-${randomUUID()}`);
  try {
    await rename(path, removed);
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  await rm(removed, { recursive: true, force: true });
}
