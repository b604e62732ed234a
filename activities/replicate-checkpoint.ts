/**
 * Follows the saves of one generation: seals what this node writes, and keeps proven copies of what others write.
 * When an iteration is sealed and copied here, the generation hears of it.
 */
import { log, sleep } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { NodeActivities, ReplicateCheckpointInput } from '../workflows/contract.js';
import type { CheckpointReplicated, CopiesBehind } from '../workflows/messages.js';
import { isDcpShard } from '../workflows/dcp-shards.js';
import { checkpointsDir } from '../workflows/plan.js';
import { parseManifest, sha256 } from './artifact.js';
import { createPatientAsk, silent, type PatientAsk } from './ask-patiently.js';
import { createBesideTraining, type BesideTraining } from './beside-training.js';
import { parseTracker, readTracker, sealShard, shardDir } from './checkpoint-files.js';
import { isMissing, readJson } from './atomic.js';
import { isFinal, isGivenUp, isLasting, troubled, waitOf, type Trouble } from './copy-trouble.js';
import { takeSteps, trackSteps } from './dcp-tree.js';
import { reasonOf } from './failures.js';
import { FenceDamaged, newestToken } from './fence.js';
import { filesOf, generationDir, type ExitFile } from './generation-files.js';
import type { NodeDeps } from './node-deps.js';
import { createSealOvertaken } from './overtaken-saves.js';
import { removeOld } from './remove-checkpoints.js';
import { forgetOlderLaunch } from './series-launch.js';
import { step, toFailure } from './step.js';
import { createWhichSave } from './which-save.js';

const LOOK_EVERY_MS = 500;
/** Between looks at a peer that is still writing or hashing its part: seconds here are iterations lost later. */
const NOT_READY_MS = 100;
/** Looks at the master's tracker after the ranks here have ended: its last move may come a moment later. */
const LAST_LOOKS = 5;

export const createReplicateCheckpoint = (deps: NodeDeps): NodeActivities['replicateCheckpoint'] => {
  const beside = createBesideTraining(deps);
  return (input) => {
    let done = input.after;
    let trouble: Trouble | undefined;
    const options = {
      ...{ node: deps.name, name: `copies of checkpoints of ${input.series}` },
      details: () => ({ done, ...(trouble && { why: trouble.failure.message }) }),
    };
    return step(options, async (signal) => {
      const dir = checkpointsDir(input.series);
      if (input.copies.length > 0) await forgetOlderLaunch(deps.dataDir, dir, input.token);
      const patienceMs = input.patienceSeconds * 1000;
      const ask = createPatientAsk(deps, patienceMs);
      const tell = createTeller(deps, input);
      const how = { deps, beside, ask, dir, signal, failed: (error: unknown) => settled(toFailure(error, options)) };
      const sealOvertaken = createSealOvertaken({
        ...{ dataDir: deps.dataDir, dir, seals: input.seals, after: input.after },
        options: { signal, token: input.token, seal: beside.seal },
      });
      const which = createWhichSave({ interval: input.saveInterval, every: input.keepEvery });
      let unremoved: string | undefined;
      // Up to which saves have been seen to, done or not.
      let seen = input.after;
      // Once: what was removed since is not to come again, though the script has it still.
      let taken = input.after;
      for (let looks = LAST_LOOKS; ;) {
        const newer = await newerLaunch(deps, input);
        if (newer !== undefined) return { iteration: done, unfinished: newer };
        const tracked = await trackerOf(deps, ask, input);
        if (tracked !== undefined && tracked > taken) {
          await takeSteps(deps.dataDir, dir, input.seals, { after: taken, upTo: tracked });
          taken = tracked;
        }
        const over = tracked !== undefined && (await isOver(deps, input));
        const isLast = over || (tracked ?? 0) >= input.until;
        const next = tracked === undefined ? undefined : which.next(seen, tracked, isLast);
        const overtakenBy = next === tracked ? undefined : tracked;
        const followed = next === undefined ? undefined : await follow(how, { ...input, unremoved, overtakenBy }, next);
        if (followed === 'later') {
          which.isWaiting();
          await sleep(NOT_READY_MS);
          continue;
        }
        if (followed === 'done') {
          done = seen = next!;
          trouble = undefined;
          which.isDone();
          // Only what the generation knows to be whole on all nodes makes older ones superfluous.
          const retention = await deps.retention(input.reportTo);
          unremoved = retention && (await removeOld(deps.dataDir, dir, retention, tracked)).failed?.join('; ');
          if (done < input.until) continue;
          while (await sealOvertaken(done));
          return { iteration: done };
        }
        if (followed && 'failed' in followed) {
          which.hasFailed();
          const now = performance.now();
          trouble = troubled(trouble, next!, followed.failed, now);
          if (overtakenBy !== undefined && isGivenUp(trouble)) {
            log.warn('an older save was not copied', { iteration: next, why: trouble.failure.message });
            seen = next!;
            continue;
          }
          if (isFinal(trouble, { over, copiesOnly: input.seals.length === 0, patienceMs, now })) throw trouble.failure;
          if (isLasting(trouble, now)) await tell(next!, trouble.failure.message, trouble.failure.type ?? '');
          await sleep(waitOf(trouble));
          continue;
        }
        if (followed) which.hasFailed();
        if (followed && overtakenBy !== undefined) {
          seen = next!;
          continue;
        }
        if (followed) await tell(next!, followed.missing);
        if (await sealOvertaken(seen)) continue;
        if (over && --looks === 0) return { iteration: done, ...(followed && { unfinished: followed.missing }) };
        await sleep(LOOK_EVERY_MS);
      }
    });
  };
};

/** One that the server does not answer with another attempt: only the workflow knows when there is no use in one. */
const settled = ({ type, message, details, cause }: ApplicationFailure): ApplicationFailure =>
  ApplicationFailure.create({
    ...{ type: type ?? 'CommandFailed', message, nonRetryable: true },
    ...{ details: details ?? [], ...(cause && { cause }) },
  });

/** Says to the generation, and in the log, why a save does not get on: once for each save and kind of trouble. */
function createTeller(deps: NodeDeps, { token, task, reportTo }: ReplicateCheckpointInput) {
  let told = '';
  return async (iteration: number, why: string, kind = 'missing'): Promise<void> => {
    const about = `${iteration} ${kind}`;
    if (about === told) return;
    log.warn('a checkpoint is not all here', { iteration, why });
    try {
      await deps.signal(reportTo, 'copiesBehind', { token, task, why } satisfies CopiesBehind);
      told = about;
    } catch (error) {
      log.warn('a generation did not hear that its copies are behind', { why: reasonOf(error) });
    }
  };
}

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
  { series, master, seals, after }: ReplicateCheckpointInput,
): Promise<number | undefined> {
  const dir = checkpointsDir(series);
  if (master.name !== deps.name) return parseTracker((await ask(master, `/series/${series}/tracker`))?.toString());
  if (seals.some(isDcpShard)) await trackSteps(deps.dataDir, dir, after);
  return readTracker(deps.dataDir, dir);
}

/**
 * `later`: a peer is not ready, and is asked again. Of what is missing nobody will have more, unless a newer save comes;
 * what failed may go better the next time.
 */
type Followed = 'done' | 'later' | { missing: string } | { failed: ApplicationFailure };

interface How {
  deps: NodeDeps;
  beside: BesideTraining;
  ask: PatientAsk;
  dir: string;
  signal: AbortSignal;
  failed(error: unknown): ApplicationFailure;
}

/** Seals and copies one iteration, which its ranks say is written. */
async function follow(
  how: How,
  input: ReplicateCheckpointInput & { unremoved: string | undefined; overtakenBy: number | undefined },
  iteration: number,
): Promise<Followed> {
  const { deps, beside, ask, dir, signal, failed } = how;
  let bytes = 0;
  const missing = (node: string, shard: string) => ({ missing: `${node} has no ${shard} of iteration ${iteration}` });
  for (const shard of input.seals) {
    const options = { signal, token: input.token, seal: beside.seal };
    try {
      bytes += (await sealShard(deps.dataDir, shardDir(dir, iteration, shard), options)).bytes;
    } catch (error) {
      if (signal.aborted) throw error;
      return isMissing(error) ? missing(deps.name, shard) : { failed: failed(error) };
    }
  }
  for (const { shard, from } of input.copies) {
    const at = shardDir(dir, iteration, shard);
    const asked = (of: number) => ask(from, `/series/${input.series}/${of}/${shard}`);
    const manifest = await asked(iteration);
    if (manifest === 'gone') return missing(from.name, shard);
    // Its writer seals what stays for ever in order: where a newer one is sealed, this one will not be.
    if (!manifest && input.overtakenBy !== undefined && (await asked(input.overtakenBy)) instanceof Buffer)
      return missing(from.name, shard);
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
      // Its writer died, or wrote a newer one meanwhile: training goes on, and so does the looking.
      if (signal.aborted) throw error;
      const isPeers = error instanceof ApplicationFailure && error.type === 'CommandFailed';
      return { failed: isPeers ? silent(deps.name, from.name, error.message) : failed(error) };
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
