/** The process that hashes and copies checkpoints while ranks train: see beside-training.ts. It ends when its parent does. */
import type { Artifact } from '../workflows/contract.js';
import { createSpaceAsker, type SpaceAsked, type SpaceGiven } from './asked-space.js';
import { sealFiles, type SealFiles } from './checkpoint-files.js';
import { failure } from './failures.js';
import { holdDirectory } from './hold-directory.js';
import { lowerPriority } from './low-priority.js';
import type { Asker } from './peer-client.js';
import { pause } from './process.js';
import { timeLimit } from './time-limit.js';
import { toldOf, type Told } from './told-error.js';
import { pullArtifact, type PullOptions } from './transfer.js';

export type BesideJob =
  | { seal: { dir: string; names: string[]; options: Omit<Parameters<SealFiles>[3], 'signal'> } }
  | { pull: Pick<PullOptions, 'artifact' | 'from'> };

export type Order =
  { asker: Asker; heldMs: number } | { id: number; job: BesideJob } | { abort: number } | { space: SpaceGiven };
export type BesideAnswer =
  { received: number } | { space: SpaceAsked } | ({ id: number } & ({ artifact: Artifact } | { failed: Told }));

const HELD_AGAIN_MS = 50;
const RECEIVED_EVERY_MS = 500;

/** One object for all copies: they keep the node's rate together. */
let ready: Promise<Asker> | undefined;
/** How long a job waits for that. */
let heldMs = 0;
const running = new Map<number, AbortController>();

const space = createSpaceAsker((asked) => process.send!({ space: asked } satisfies BesideAnswer));

process.on('disconnect', () => process.exit(1));
process.on('message', (order: Order) => {
  if ('asker' in order) [ready, heldMs] = [begin(order.asker), order.heldMs];
  else if ('space' in order) space.onGiven(order.space);
  else if ('abort' in order) running.get(order.abort)?.abort();
  else void take(order.id, order.job);
});

/** One whose worker was killed may not have seen it yet, and be at the same files for a moment. */
async function begin(asker: Asker): Promise<Asker> {
  while (!(await holdDirectory(asker.dataDir, 'copier'))) await pause(HELD_AGAIN_MS);
  await lowerPriority();
  return { ...asker, onReceived: (bytes) => (received += bytes), withSpace: space.withSpace };
}

/** Since the worker, which counts, was told last. */
let received = 0;
function tellReceived(): void {
  if (received > 0) process.send!({ received } satisfies BesideAnswer);
  received = 0;
}
setInterval(tellReceived, RECEIVED_EVERY_MS).unref();

async function take(id: number, job: BesideJob): Promise<void> {
  const controller = new AbortController();
  running.set(id, controller);
  const answer = (await perform(job, controller.signal).then(
    (artifact) => ({ id, artifact }),
    (error: unknown) => ({ id, failed: toldOf(error) }),
  )) satisfies BesideAnswer;
  running.delete(id);
  tellReceived();
  process.send!(answer);
}

/** One that does not end, as it hangs in the kernel, is for a person to look after: no job waits for that, nor one that is called off. */
async function whenReady(signal: AbortSignal): Promise<Asker> {
  const limit = timeLimit(heldMs, signal);
  const over = new Promise<undefined>((resolve) => {
    if (limit.signal.aborted) resolve(undefined);
    limit.signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  const asker = await Promise.race([ready!, over]);
  limit.lift();
  signal.throwIfAborted();
  if (asker) return asker;
  throw failure(
    'EnvCheckFailed',
    `an earlier process for checkpoints (beside-process) does not end, and may be writing. It hangs at a disk, or is stopped: look for it with ps, and restart the machine where it cannot be killed`,
  );
}

async function perform(job: BesideJob, signal: AbortSignal): Promise<Artifact> {
  const asker = await whenReady(signal);
  signal.throwIfAborted();
  if ('pull' in job) return pullArtifact(asker, { ...job.pull, signal });
  const { dir, names, options } = job.seal;
  return sealFiles(asker.dataDir, dir, names, { ...options, signal });
}
