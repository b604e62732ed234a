/** Makes this node ready to load one iteration: its shards proven byte by byte, nothing newer in the way, the tracker last. */
import { log } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { link, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { NodeActivities, Peer, RestoreCheckpointInput } from '../workflows/contract.js';
import { confined, readManifest, verifyArtifact } from './artifact.js';
import { besides, errorCode, isMissing, readIfThere, syncPath, writeFileAtomic } from './atomic.js';
import { isModel, iterationDir, iterationsIn, parseTracker, SET_ASIDE, shardDir, TRACKER } from './checkpoint-files.js';
import { layStep, setStepsAside } from './dcp-tree.js';
import { exclusive } from './exclusive.js';
import { failure } from './failures.js';
import { dumpDir, dumpsIn } from './last-gasp.js';
import type { NodeDeps } from './node-deps.js';
import { asideIn } from './remove-checkpoints.js';
import { forgetLaunch } from './series-launch.js';
import { step } from './step.js';
import { pullArtifact } from './transfer.js';

export const createRestoreCheckpoint =
  (deps: NodeDeps): NodeActivities['restoreCheckpoint'] =>
  (input) => {
    let progress: unknown;
    const options = {
      node: deps.name,
      name: `restore ${input.dir} at iteration ${input.iteration}`,
      details: () => progress,
    };
    const restore = async (signal: AbortSignal) => {
      const root = confined(deps.dataDir, input.dir);
      await mkdir(root, { recursive: true });
      // A copy that ends half-way is not to be taken for what a launch saved here.
      if (input.setAsideNewer || input.shards.length > 0) await forgetLaunch(deps.dataDir, input.dir);
      // Beside nothing that a launch here would load there is to be none.
      const tracks = input.iteration > 0 && input.shards.length > 0;
      // No tracker while the tree is between two states: a launch would load from it.
      if (!input.leavesTracker) await (tracks ? rm(join(root, TRACKER), { force: true }) : dropTracker(deps, input));
      if (input.setAsideNewer) await setAside(deps, input);
      for (const shard of input.shards)
        await bringShard(deps, input, shard, signal, (done) => (progress = { shard: shard.shard, ...done }));
      // Whose workflow has turned to another iteration says nothing of this one any more.
      signal.throwIfAborted();
      if (!input.leavesTracker)
        await layStep(
          deps.dataDir,
          input.dir,
          input.iteration,
          input.shards.map(({ shard }) => shard),
        );
      if (tracks && !input.leavesTracker) await writeFileAtomic(join(root, TRACKER), String(input.iteration));
      const aside = await asideIn(deps.dataDir, input.dir);
      return aside ? { aside } : {};
    };
    // One that nobody waits for any more may still be at work, and would write its tracker over a later one's.
    return step(options, (signal) => exclusive(join(deps.dataDir, input.dir, TRACKER), () => restore(signal)));
  };

/** One that names this iteration stays: a node that shares the storage and loads it may have written it just now. */
async function dropTracker({ dataDir }: NodeDeps, { dir, iteration }: RestoreCheckpointInput): Promise<void> {
  const path = join(confined(dataDir, dir), TRACKER);
  const isRight = (text: Buffer | undefined) => iteration > 0 && parseTracker(text?.toString()) === iteration;
  if (isRight(await readIfThere(path))) return;
  const taken = besides(path);
  try {
    await rename(path, taken);
    if (isRight(await readIfThere(taken))) await link(taken, path);
  } catch (error) {
    // There is none; or another one was written meanwhile.
    if (!isMissing(error) && errorCode(error) !== 'EEXIST') throw error;
  } finally {
    await rm(taken, { force: true });
  }
}

type Shard = RestoreCheckpointInput['shards'][number];

async function bringShard(
  deps: NodeDeps,
  { dir: tree, iteration, beside, asksHolders }: RestoreCheckpointInput,
  { shard, digest, bytes, from, modelOnly }: Shard,
  signal: AbortSignal,
  onProgress: (done: object) => void,
): Promise<void> {
  const { name: node, dataDir } = deps;
  const dir = shardDir(tree, iteration, shard);
  const held = await readManifest(dataDir, dir);
  if (held?.artifact.digest === digest) {
    const bad = await verifyArtifact(dataDir, dir, { signal });
    if (bad?.length === 0) return;
    log.warn('a checkpoint shard here is damaged: fetching it from another node', { dir, bad });
  }
  const peers = from.filter(({ name }) => name !== node);
  const damaged = (why: string) => damagedShard({ node, iteration, shard, digest, from }, why);
  if (peers.length === 0) throw damaged('no other node has a copy');
  try {
    // Never shared with the content store: the trainer writes these files in place.
    const artifact = { dir, digest, bytes, files: 0 };
    await pullArtifact(deps, {
      ...{ artifact, from: peers, beside, asksHolders, signal, onProgress },
      ...(modelOnly && { only: isModel }),
    });
  } catch (error) {
    if (error instanceof ApplicationFailure && error.type === 'DataCorrupt') throw damaged(error.message);
    throw error;
  }
}

interface Damage {
  node: string;
  iteration: number;
  shard: string;
  digest: string;
  from: Peer[];
}

const damagedShard = ({ node, iteration, shard, digest, from }: Damage, why: string) =>
  failure(
    'DataCorrupt',
    `${node}: no good copy of ${shard} of iteration ${iteration} on ${from.map(({ name }) => name).join(', ')}: ${why}`,
    { nonRetryable: true, details: { iteration, shard, digest, node } },
  );

/** Newer iterations are kept, out of the trainer's sight: what a failed generation left is evidence, and may be all there is. */
async function setAside({ dataDir }: NodeDeps, { dir, iteration }: RestoreCheckpointInput): Promise<void> {
  const root = confined(dataDir, dir);
  const newer = (await iterationsIn(dataDir, dir)).filter((found) => found > iteration).map(iterationDir);
  // Dumps all of them: the next launch's must not be taken together with an older one's.
  newer.push(...(await dumpsIn(dataDir, dir)).map(dumpDir));
  const aside = join(root, SET_ASIDE, new Date().toISOString().replace(/[:.]/g, '-'));
  await setStepsAside(dataDir, dir, iteration, aside);
  if (newer.length === 0) return;
  await mkdir(aside, { recursive: true });
  for (const found of newer)
    await rename(join(root, found), join(aside, found)).catch((error: unknown) => {
      // A node that shares the storage was first.
      if (!isMissing(error)) throw error;
    });
  await syncPath(root);
}
