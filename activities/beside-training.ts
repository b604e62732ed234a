/**
 * Hashing and copying while ranks train, in a process of its own at the lowest priority: a node's heartbeats, its watch
 * over the ranks and what it serves to others stay at that of the worker. Priority is relative: where nobody trains, it
 * costs nothing.
 */
import { fork } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Artifact } from '../workflows/contract.js';
import { confined } from './artifact.js';
import { createSpaceGiver } from './asked-space.js';
import type { BesideAnswer, BesideJob, Order } from './beside-process.js';
import { sealFiles, type SealFiles } from './checkpoint-files.js';
import { exclusive } from './exclusive.js';
import { programOf } from './own-program.js';
import { withSpace } from './promised-space.js';
import type { Asker } from './peer-client.js';
import { errorOf } from './told-error.js';
import { pullArtifact, type PullOptions } from './transfer.js';

export interface BesideTraining {
  seal: SealFiles;
  pull(what: Pick<PullOptions, 'artifact' | 'from'>, signal: AbortSignal): Promise<Artifact>;
}

/** Of less there is less work than in starting a process. */
export const WORTH_BYTES = 16 * 2 ** 20;
/** Between saves its memory is for others. */
const IDLE_MS = 60_000;

/** For one that a killed worker left: it ends by itself when it sees that, at once or after a large write. */
const HELD_MS = 60_000;

/** @param heldMs how long a job waits for such a process, which is at the same files */
export function createBesideTraining(asker: Asker, heldMs = HELD_MS): BesideTraining {
  const { name, dataDir, peerCa, copyRate, onReceived } = asker;
  let helper: Helper | undefined;
  const run = (job: BesideJob, signal: AbortSignal | undefined): Promise<Artifact> => {
    const mine = (helper ??= startHelper(
      { name, dataDir, ...(peerCa && { peerCa }), ...(copyRate && { copyRate }) },
      heldMs,
      { onGone: () => (helper = undefined), onReceived: (bytes) => onReceived?.(bytes) },
    ));
    return mine(job, signal);
  };
  return {
    async seal(_, dir, names, how) {
      if (!(await isWorth(dataDir, dir, names))) return sealFiles(dataDir, dir, names, how);
      const { signal, ...options } = how;
      return run({ seal: { dir, names, options } }, signal);
    },
    pull: ({ artifact, from }, signal) =>
      artifact.bytes < WORTH_BYTES
        ? pullArtifact(asker, { artifact, from, signal })
        : exclusive(join(dataDir, artifact.dir), () => run({ pull: { artifact, from } }, signal)),
  };
}

async function isWorth(dataDir: string, dir: string, names: string[]): Promise<boolean> {
  const root = confined(dataDir, dir);
  let bytes = 0;
  for (const name of names) bytes += (await stat(join(root, name))).size;
  return bytes >= WORTH_BYTES;
}

type Helper = (job: BesideJob, signal: AbortSignal | undefined) => Promise<Artifact>;

interface HelperEvents {
  /** It takes no more jobs: it ended, or is about to for want of some. */
  onGone(): void;
  onReceived(bytes: number): void;
}

function startHelper(asker: Asker, heldMs: number, { onGone, onReceived }: HelperEvents): Helper {
  const { path, execArgv } = programOf(import.meta.url, './beside-process');
  // Detached: a session of its own, see low-priority.ts.
  const child = fork(path, [], { execArgv, detached: true });
  const waiting = new Map<number, (answer: { artifact: Artifact } | { error: Error }) => void>();
  let [last, isGone] = [0, false];
  let idle: NodeJS.Timeout | undefined;
  // What cannot be sent is told by its end.
  const send = (order: Order) => void child.send(order, () => undefined);
  const leave = () => {
    if (!isGone) onGone();
    isGone = true;
    clearTimeout(idle);
  };
  const space = createSpaceGiver(withSpace, (given) => send({ space: given }));
  const end = (why: string) => {
    leave();
    space.onGone();
    for (const settle of waiting.values()) settle({ error: new Error(`the process for checkpoints ended: ${why}`) });
  };
  child.on('message', (answer: BesideAnswer) => {
    if ('received' in answer) return onReceived(answer.received);
    if ('space' in answer) return space.onAsked(answer.space);
    waiting.get(answer.id)?.('failed' in answer ? { error: errorOf(answer.failed) } : answer);
  });
  child.once('error', (error) => end(error.message));
  child.once('exit', (code, killedBy) => end(String(killedBy ?? code)));
  const hold = (isHeld: boolean) => {
    for (const handle of [child, child.channel])
      if (isHeld) handle?.ref();
      else handle?.unref();
  };
  send({ asker, heldMs });
  return (job, signal) =>
    new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const id = last++;
      const abort = () => send({ abort: id });
      signal?.addEventListener('abort', abort);
      clearTimeout(idle);
      // Whoever waits for it stays; an idle one holds nobody.
      hold(true);
      waiting.set(id, (answer) => {
        waiting.delete(id);
        signal?.removeEventListener('abort', abort);
        if (waiting.size === 0 && !isGone) {
          hold(false);
          idle = setTimeout(() => {
            leave();
            child.disconnect();
          }, IDLE_MS).unref();
        }
        if ('artifact' in answer) resolve(answer.artifact);
        else reject(signal?.aborted ? (signal.reason as Error) : answer.error);
      });
      send({ id, job });
    });
}
