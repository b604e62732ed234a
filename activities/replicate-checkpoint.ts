/**
 * Follows the saves of one generation: seals what this node writes, and keeps proven copies of what others write.
 * When an iteration is sealed and copied here, the generation hears of it.
 */
import { log, sleep } from '@temporalio/activity';
import type { NodeActivities, ReplicateCheckpointInput } from '../workflows/contract.js';
import type { CheckpointReplicated } from '../workflows/messages.js';
import { checkpointsDir } from '../workflows/plan.js';
import { parseManifest, sha256 } from './artifact.js';
import { createPatientAsk, type PatientAsk } from './ask-patiently.js';
import { createBesideTraining, type BesideTraining } from './beside-training.js';
import { parseTracker, readTracker, sealShard, shardDir } from './checkpoint-files.js';
import { isMissing, readJson } from './atomic.js';
import { reasonOf } from './failures.js';
import { FenceDamaged, newestToken } from './fence.js';
import { filesOf, generationDir, type ExitFile } from './generation-files.js';
import type { NodeDeps } from './node-deps.js';
import { removeOld } from './remove-checkpoints.js';
import { step } from './step.js';

const LOOK_EVERY_MS = 500;
/** Between looks at a peer that is still writing or hashing its part: seconds here are iterations lost later. */
const NOT_READY_MS = 100;
/** Looks at the master's tracker after the ranks here have ended: its last move may come a moment later. */
const LAST_LOOKS = 5;

export const createReplicateCheckpoint = (deps: NodeDeps): NodeActivities['replicateCheckpoint'] => {
  const beside = createBesideTraining(deps);
  return (input) => {
    let done = input.after;
    const options = { node: deps.name, name: `copies of checkpoints of ${input.series}`, details: () => ({ done }) };
    return step(options, async (signal) => {
      const dir = checkpointsDir(input.series);
      const ask = createPatientAsk(deps, input.patienceSeconds * 1000);
      let unremoved: string | undefined;
      let told: string | undefined;
      for (let looks = LAST_LOOKS; ;) {
        const newer = await newerLaunch(deps, input);
        if (newer !== undefined) return { iteration: done, unfinished: newer };
        const tracked = await trackerOf(deps, ask, input);
        const isNews = tracked !== undefined && tracked > done;
        const followed = isNews
          ? await follow(deps, beside, ask, { ...input, unremoved }, dir, tracked, signal)
          : undefined;
        if (followed === 'later') {
          await sleep(NOT_READY_MS);
          continue;
        }
        if (followed === 'done') {
          done = tracked!;
          // Only what the generation knows to be whole on all nodes makes older ones superfluous.
          const retention = await deps.retention(input.reportTo);
          unremoved = retention && (await removeOld(deps.dataDir, dir, retention, tracked)).failed?.join('; ');
          if (done >= input.until) return { iteration: done };
          continue;
        }
        if (followed && followed.missing !== told) log.warn('a checkpoint is not all here', { ...followed });
        told = followed?.missing;
        if (tracked !== undefined && (await isOver(deps, input)) && --looks === 0)
          return { iteration: done, ...(followed && { unfinished: followed.missing }) };
        await sleep(LOOK_EVERY_MS);
      }
    });
  };
};

/**
 * Why this node has no part in the generation any more, if so: the checkpoints here are another launch's by now, as after
 * a restore of the server's database to before that launch, and must not be mixed with this one's.
 */
async function newerLaunch(
  { name, dataDir }: NodeDeps,
  { generation, token }: ReplicateCheckpointInput,
): Promise<string | undefined> {
  const newest = await newestToken(dataDir).catch((error: unknown) => {
    // It keeps launches out; a copy does nothing that a launch would have to be kept out for.
    if (error instanceof FenceDamaged) return 0;
    throw error;
  });
  return newest > token
    ? `${name} has seen a newer launch (token ${newest}) than generation ${generation} (token ${token})`
    : undefined;
}

/** Ended before `until`: a member sees it by its exit file; a spare, which has none, is told or cancelled. */
async function isOver(deps: NodeDeps, input: ReplicateCheckpointInput): Promise<boolean> {
  if (input.over) return true;
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
  return parseTracker((await ask(master, `/series/${series}/tracker`))?.toString());
}

/** `later`: a peer is not ready, and is asked again. Of what is missing nobody will have more, unless a newer save comes. */
type Followed = 'done' | 'later' | { missing: string };

/** Seals and copies one iteration, which its ranks say is written. */
async function follow(
  deps: NodeDeps,
  beside: BesideTraining,
  ask: PatientAsk,
  input: ReplicateCheckpointInput & { unremoved: string | undefined },
  dir: string,
  iteration: number,
  signal: AbortSignal,
): Promise<Followed> {
  const { dataDir } = deps;
  let bytes = 0;
  const how = { signal, token: input.token, seal: beside.seal };
  const missing = (node: string, shard: string) => ({ missing: `${node} has no ${shard} of iteration ${iteration}` });
  for (const shard of input.seals) {
    const sealed = await sealShard(dataDir, shardDir(dir, iteration, shard), how).catch((error: unknown) => {
      if (!isMissing(error)) throw error;
    });
    if (!sealed) return missing(deps.name, shard);
    bytes += sealed.bytes;
  }
  for (const { shard, from } of input.copies) {
    const at = shardDir(dir, iteration, shard);
    const manifest = await ask(from, `/series/${input.series}/${iteration}/${shard}`);
    if (manifest === 'gone') return missing(from.name, shard);
    const files = manifest && parseManifest(manifest)?.files;
    if (!files) return 'later';
    const artifact = {
      dir: at,
      digest: sha256(manifest),
      files: files.length,
      bytes: files.reduce((sum, { size }) => sum + size, 0),
    };
    try {
      await beside.pull({ artifact, from: [from] }, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      // Its writer died, or wrote a newer one meanwhile: training goes on, and so does the looking.
      log.warn('a checkpoint shard was not copied', { shard, iteration, from: from.name, why: reasonOf(error) });
      return 'later';
    }
    bytes += artifact.bytes;
  }
  const { token, task, unremoved } = input;
  const news: CheckpointReplicated = { token, task, iteration, bytes, ...(unremoved && { unremoved }) };
  try {
    await deps.signal(input.reportTo, 'checkpointReplicated', news);
  } catch (error) {
    log.warn('a replicated checkpoint was not reported', { iteration, why: reasonOf(error) });
    return 'later';
  }
  return 'done';
}
