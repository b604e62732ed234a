/** Keeping what a gang saves: sealed where it was written, and copied to other nodes for as long as there are some. */
import { CancellationScope, condition, isCancellation, log, patched, sleep, workflowInfo } from '@temporalio/workflow';
import { onNode, onProbe, peerOf, type NodeInfo, type Peer } from './contract.js';
import { milliseconds } from './duration.js';
import { failureIn, lostNode, messageOf } from './failure-chain.js';
import { createCopyRoles, type CopyRoles, type CopyTask } from './copy-roles.js';
import type { GenerationInput, Progress } from './generation-progress.js';
import type { MemberFailure } from './failure-cause.js';
import { createAddresses } from './present-addresses.js';
import { patienceWith } from './witnesses.js';

/** How long the copies of the last checkpoint may take before it counts as not replicated. */
export const LAST_COPIES = '30 minutes';
/** Generations that began before know a lost copier by nothing but its peers. */
const SILENT_IS_ASKED = 'a silent copier is asked';
/** Generations that began before go on asking a copier that fails, until the time for the last copies is over. */
const FAILING_IS_LEFT = 'a failing copier is left in the end';
/** Generations that began before wait for the others as long as for any. */
const NOBODY_WAITS = 'no copier waits for a save that cannot be whole';
/** Generations that began before give the last save the parts that nodes had at the launch. */
const ROLES_LAST = 'the last save is copied by those who keep copies by then';
/** Generations that began before count of the last save what a node had done before it was given more. */
const COUNTED_ANEW = 'the last save counts what its parts have done';
/** Generations that began before go on asking a spare for what it took over, when the run has given it back. */
const WHOLE_SPARE = 'all that a spare keeps is handed over';
/** Between attempts of a copier whose work no other node is to do. */
const AGAIN = '10 seconds';

export interface CopyOptions {
  /** The launch was some time ago: its addresses may be old. */
  askFirst: boolean;
  /** Whether the ranks have ended: then nobody else notices that a node is gone for good. */
  isLast: () => boolean;
}

/** Seals and copies each save, on all nodes that have a part in it, until iteration `until` is safe or the ranks are gone. */
export async function copyAll(
  input: GenerationInput,
  progress: Progress,
  until: number,
  { askFirst, isLast }: CopyOptions,
): Promise<void> {
  const { arrived } = progress;
  const roles = rolesNow(input, progress);
  const addresses = createAddresses(roles.everyone);
  let running = 0;
  let isInVain = false;
  let giveUp = (): void => undefined;
  /** Resolves when a part of the last save is never to be there: the others have nothing to wait for. */
  const inVain = new Promise<void>((resolve) => {
    giveUp = () => {
      isInVain = true;
      resolve();
    };
  });
  /** What ends each part that is under way. */
  const under = new Map<CopyTask, CancellationScope>();
  const take = async (task: CopyTask): Promise<void> => {
    const scope = new CancellationScope({ cancellable: true });
    under.set(task, scope);
    await scope.run(() => follow(task)).catch(unlessCancelled);
    under.delete(task);
  };
  const begin = (task: CopyTask): void => {
    running++;
    void take(task).finally(() => running--);
  };
  // A part of the same node that was less has done less, and may still be about to say that it is done.
  const tasks = roles.tasks(roles.isChanged() && patched(COUNTED_ANEW) ? ' in the end' : '');
  // What another part copied before counts for nobody now, and is found in place.
  progress.expect(tasks.map(({ name }) => name));
  for (const task of tasks) begin(task);
  try {
    for (;;) {
      await condition(() => running === 0 || arrived.length > 0);
      const spare = arrived.shift();
      if (!spare) return;
      addresses.add(spare.node);
      const task = roles.gain(spare);
      if (!task) continue;
      progress.add(task.name);
      begin(task);
    }
  } catch (error) {
    // Where a watcher has failed nobody asks for it any more.
    unlessCancelled(error);
  }

  async function follow(task: CopyTask): Promise<void> {
    const { name, node, seals, copies } = task;
    const askAfter = patienceWith(node, roles.everyone, input.timing, progress.looking);
    const asked = [input.nodes[0]!, ...copies.map(({ from }) => from)].map((peer) => peer.name);
    let silentSince: number | undefined;
    let failingSince: number | undefined;
    const isTooLong = (since = Infinity) => Date.now() - since > milliseconds(input.timing.agentGrace);
    for (let isFresh = !askFirst; !isInVain; isFresh = false) {
      if (!isFresh) await addresses.refresh(asked.filter((peer) => peer !== node.name));
      const began = Date.now();
      try {
        const how = { present: addresses.of, over: isLast() };
        const ended = await Promise.race([replicate(input, progress, until, task, how), inVain]);
        if (!ended) return;
        return progress.copies(name, ended.unfinished);
      } catch (error) {
        if (isCancellation(error)) return;
        log.warn('a copier of checkpoints ended', { node: node.name, error: String(error) });
        const silent = silentPeer(error);
        progress.copies(name, silent?.why ?? messageOf(error));
        silentSince = silent && (silentSince ?? Date.now());
        // Whoever copies it instead gets no better bytes.
        const isPeers = silent !== undefined || failureIn(error, 'DataCorrupt') !== undefined;
        const isLost = lostNode(error) !== undefined;
        // It was silent, and is there: a worker that was started again, or a server that was.
        if (isLost && patched(SILENT_IS_ASKED) && (await isThere(node))) continue;
        const isGone = isLost && (await askAfter(began)).over;
        // What a node writes only it can seal; when it does not come back, its watcher ends the generation.
        if (seals.length === 0 && !isPeers && (!isLost || isGone)) return handOver(task, isLost);
        // It has tried several times since the ranks ended.
        if (isLast() && !isLost && patched(FAILING_IS_LEFT)) failingSince ??= Date.now();
        if (isLast() && (isGone || isTooLong(silentSince) || isTooLong(failingSince)))
          return patched(NOBODY_WAITS) ? giveUp() : undefined;
      }
      await sleep(AGAIN);
    }
  }

  async function handOver(task: CopyTask, isGone: boolean): Promise<void> {
    if (!under.delete(task)) return;
    const { name } = task.node;
    const lostSpare = roles.isSpare(name) ? name : undefined;
    // The run gives it back, with all that it keeps.
    const others = lostSpare === undefined ? [] : [...under.keys()].filter(({ node }) => node.name === name);
    const leaving = others.length > 0 && patched(WHOLE_SPARE) ? [task, ...others] : [task];
    const tasks = leaving.flatMap((part) => {
      under.get(part)?.cancel();
      under.delete(part);
      const handed = roles.lose(part, { isGone });
      progress.replace(
        part.name,
        handed.map((other) => other.name),
        part === task ? lostSpare : undefined,
      );
      return handed;
    });
    await Promise.all(tasks.map(take));
  }
}

/** Who keeps what: at the end as it has become. */
function rolesNow(input: GenerationInput, { roles }: Progress): CopyRoles {
  return !roles.isChanged() || patched(ROLES_LAST) ? roles : createCopyRoles(input);
}

function unlessCancelled(error: unknown): void {
  if (!isCancellation(error)) throw error;
}

const isThere = ({ name }: NodeInfo): Promise<boolean> =>
  onProbe(name)
    .pingNode()
    .then(
      () => true,
      () => false,
    );

/** Whom a copier asked in vain, if that is why it ended. */
const silentPeer = (error: unknown): { silent: string; why: string } | undefined => {
  const details = failureIn(error, 'CommandFailed')?.details?.[0] as { silent?: string; why?: string } | undefined;
  return details?.silent === undefined ? undefined : (details as { silent: string; why: string });
};

const replicate = (
  input: GenerationInput,
  progress: Progress,
  until: number,
  task: CopyTask,
  { present, over }: { present: (peer: Peer) => Peer; over: boolean },
) => {
  const { run, series, generation, token, timing } = input;
  const { name, node, seals } = task;
  const copies = task.copies.map(({ shard, from }) => ({ shard, from: present(from) }));
  return onNode(node.name, timing).replicateCheckpoint({
    ...{ run, series, generation, token, task: name, seals, copies, until },
    after: task.after ?? progress.state.replicated,
    ...(over && { over }),
    ...(input.saveInterval !== undefined && { saveInterval: input.saveInterval }),
    ...(input.keepEvery !== undefined && { keepEvery: input.keepEvery }),
    master: present(peerOf(input.nodes[0]!)),
    patienceSeconds: milliseconds(timing.heartbeat) / 1000,
    reportTo: { workflowId: workflowInfo().workflowId, runId: workflowInfo().runId },
  });
};

/** What the ranks saved on their way out is where training goes on: it is to be safe as well. */
export async function keepLastSave(
  input: GenerationInput,
  progress: Progress,
  members: MemberFailure[],
): Promise<void> {
  const saved = Math.max(0, ...members.map(({ evidence }) => evidence?.lastSaved ?? 0));
  // A member that is gone has its part of the save with it.
  if (saved <= progress.state.replicated || !members.every(({ evidence }) => evidence?.confirmed)) return;
  progress.state.saved = Math.max(saved, progress.state.saved);
  const scope = new CancellationScope({ cancellable: true });
  const copiers = () => copyAll(input, progress, saved, { askFirst: true, isLast: () => true });
  await scope.run(() => Promise.race([copiers(), sleep(LAST_COPIES)]));
  scope.cancel();
}
