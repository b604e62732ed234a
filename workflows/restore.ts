/** Bringing each node the checkpoint shards that its ranks load, proven, with the tracker written last. */
import { ApplicationFailure, CancellationScope, isCancellation, log, patched } from '@temporalio/workflow';
import { newestComplete, type BadShard, type CompleteCheckpoint, type NodeListing } from './checkpoints.js';
import { onNode, peerOf, type CheckpointsRemoved, type NodeInfo, type Peer, type Timing } from './contract.js';
import { failureIn, lostNode, messageOf } from './failure-chain.js';
import { storageOf, type Groups } from './islands.js';
import { modelOnly } from './optimizer-state.js';
import { createHolders } from './silent-holders.js';
import { nextTask, oncePerStorage, toldAtATime } from './place.js';
import type { NodePlace } from './topology.js';

/** @param keep how many complete ones are to stay, at the least: older ones are told only where that takes little; absent: all are */
export const listCheckpoints = (
  dir: string,
  nodes: NodeInfo[],
  timing: Timing,
  keep?: number,
): Promise<NodeListing[]> =>
  Promise.all(
    nodes.map(async (node) => ({
      peer: peerOf(node),
      checkpoints: await onNode(node.name, timing).listCheckpoints({ dir, ...(keep !== undefined && { keep }) }),
    })),
  );

/** A node that served the series and does not say what it has. */
export interface Silent {
  name: string;
  /** Absent where it does not answer at all. */
  why?: string;
}

export const describeSilent = (silent: Silent[]): string =>
  silent.map(({ name, why }) => (why === undefined ? name : `${name} (${why})`)).join(', ');

/** What nodes list that are not the run's own, and which of them do not: these are for somebody else to mend or replace. */
export async function listKeepers(
  dir: string,
  keepers: NodeInfo[],
  timing: Timing,
  run: { run: string; series: string; keep: number },
): Promise<{ listings: NodeListing[]; silent: Silent[] }> {
  const silent: Silent[] = [];
  const asked = keepers.map(async (node) => {
    try {
      const { access } = await onNode(node.name, timing).admitRun({ run: run.run, series: run.series });
      return await listCheckpoints(dir, [{ ...node, access }], timing, run.keep);
    } catch (error) {
      if (isCancellation(error)) throw error;
      silent.push({ name: node.name, ...(lostNode(error) === undefined && { why: messageOf(error) }) });
      return [];
    }
  });
  return { listings: (await Promise.all(asked)).flat(), silent };
}

export interface RestoreTarget {
  dir: string;
  members: NodeInfo[];
  /** They load nothing, but what is newer goes out of sight on them too: a later listing must not mix it in. */
  spares: NodeInfo[];
  places: NodePlace[];
  timing: Timing;
  setAsideNewer: boolean;
  /** Nodes by the storage that `dir` is on, where only some share it. */
  groups?: Groups | undefined;
  /** How many storages are to hold all of each shard, though fewer nodes may read it. Absent: each that loads it. */
  copies?: number;
  /** Hears of each node what lies set aside there. */
  onAside?: (node: string, aside: CheckpointsRemoved['aside']) => void;
}

/** Runs that began before turn to an older checkpoint while other nodes may still bring the damaged one. */
const ENDED_FIRST = 'a damaged checkpoint is left on all nodes';

export async function restore(target: RestoreTarget, checkpoint: CompleteCheckpoint): Promise<void> {
  const under: Promise<void>[] = [];
  const scope = new CancellationScope({ cancellable: true });
  try {
    await scope.run(() => restoreOn(target, checkpoint, under));
  } catch (error) {
    if (damagedShard(error) && patched(ENDED_FIRST)) {
      scope.cancel();
      await Promise.allSettled(under);
    }
    throw error;
  }
}

/** @param under is filled with what runs on nodes, which one that fails does not end */
async function restoreOn(target: RestoreTarget, checkpoint: CompleteCheckpoint, under: Promise<void>[]): Promise<void> {
  const { dir, members, spares, places, timing, setAsideNewer, groups, onAside } = target;
  const { iteration } = checkpoint;
  const parts = readInPart(target, checkpoint);
  const own = new Set([...members, ...spares].map(({ name }) => name));
  const outlasting = createHolders(timing, (name) => own.has(name));
  const isPart = (node: NodeInfo, shard: string) => parts[members.indexOf(node)]?.includes(shard) === true;
  const bring = async (node: NodeInfo, names: string[], beside: Peer[]) => {
    const rank = members.indexOf(node);
    const shards = names.map((shard) => ({
      ...checkpoint.shards[shard]!,
      from: askedOf(checkpoint.shards[shard]!.from, node.name, rank, groups),
      ...(isPart(node, shard) && { modelOnly: true as const }),
    }));
    const { aside } = await outlasting((asks) =>
      onNode(node.name, timing).restoreCheckpoint({
        ...{ dir, iteration, shards, setAsideNewer, ...asks },
        ...(beside.length > 0 && { beside }),
      }),
    );
    if (setAsideNewer) onAside?.(node.name, aside);
  };
  const on = (node: NodeInfo, names: string[], beside: Peer[] = []) => {
    const work = bring(node, names, beside);
    under.push(work);
    return work;
  };
  const loads = members.map(({ name }, rank) => ({ node: name, shards: places[rank]!.loads }));
  const { first, then } = oneBringsEach(loads, groups);
  const swarms = swarmsOf(first, parts);
  const besides = (rank: number) => swarms[rank]!.map((other) => peerOf(members[other]!));
  const rank = (node: NodeInfo) => members.indexOf(node);
  const beginning = [...members, ...(setAsideNewer ? spares : [])];
  const peers = Math.max(0, ...places.map(({ loads }) => loads.length)) * MOST_ASKED + LARGEST_SWARM;
  const atATime = toldAtATime(peers);
  const rounds = beginning.length > atATime && patched(IN_ROUNDS) ? { atATime, between: nextTask } : undefined;
  const isMember = (node: NodeInfo) => rank(node) >= 0;
  const bringFirst = (node: NodeInfo) =>
    isMember(node) ? on(node, first[rank(node)]!, besides(rank(node))) : on(node, []);
  await oncePerStorage(beginning, undefined, bringFirst, rounds);
  const others = members.filter((node) => then[rank(node)]!.length > 0);
  await oncePerStorage(others, undefined, (node) => on(node, then[rank(node)]!), rounds);
}

/** Of those that have a shard, as many as one node is told of. */
const MOST_ASKED = 16;
/** Before, each node was told of all that have a shard, in one workflow task. */
const IN_ROUNDS = 'checkpoints are brought to many nodes in rounds';

/**
 * Another choice for each node, so that none is asked by all; what it has itself it is told in any case, and of each storage
 * somebody first: those that share one have the same bytes, which may be damaged.
 */
export function askedOf(from: Peer[], node: string, rank: number, groups?: Groups): Peer[] {
  if (from.length <= MOST_ASKED) return from;
  const own = from.filter(({ name }) => name === node);
  const others = from.filter(({ name }) => name !== node);
  const first = (rank * MOST_ASKED) % others.length;
  const turned = [...others.slice(first), ...others.slice(0, first)];
  const storage = storageOf(groups);
  const taken = new Set(own.map(({ name }) => storage(name)));
  const apart = turned.filter(({ name }) => !taken.has(storage(name)) && taken.add(storage(name)));
  return [...own, ...apart, ...turned.filter((peer) => !apart.includes(peer))].slice(0, MOST_ASKED);
}

/** The loss of one node is not to take a shard along that the next save has no copies of yet. */
function readInPart({ members, spares, places, groups, copies }: RestoreTarget, { shards }: CompleteCheckpoint) {
  if (copies === undefined) return [];
  const own = new Set([...members, ...spares].map(({ name }) => name));
  const nodes = members.map(({ name }, rank) => ({ name, ...places[rank]! }));
  const holders = (shard: string) => shards[shard]!.from.flatMap(({ name }) => (own.has(name) ? [name] : []));
  return modelOnly(nodes, { holders, copies, groups });
}

/** Each is told of all others, and that is to stay little. */
const LARGEST_SWARM = 64;

/**
 * By rank of the node, the ranks of those that bring the very same shards, itself among them; none where nobody does.
 * Replicas of one stage all load what only one of them wrote, so that its copies would send it to each of them.
 *
 * @param parts by rank, shards of which it brings the model only
 */
export function swarmsOf(brings: string[][], parts: string[][] = []): number[][] {
  const groups = new Map<string, number[][]>();
  return brings
    .map((shards, rank) => {
      if (shards.length === 0) return [];
      const key = shards.map((shard) => (parts[rank]?.includes(shard) ? `model of ${shard}` : shard)).join();
      const known = groups.get(key) ?? [];
      groups.set(key, known);
      if ((known.at(-1)?.length ?? LARGEST_SWARM) === LARGEST_SWARM) known.push([]);
      known.at(-1)!.push(rank);
      return known.at(-1)!;
    })
    .map((swarm) => (swarm.length > 1 ? swarm : []));
}

/**
 * On storage that nodes share, a shard that several of them load is brought by one of them, the one with the fewest;
 * the others, which find it there `then`, prove it.
 */
export function oneBringsEach(
  loads: { node: string; shards: string[] }[],
  groups?: Groups,
): { first: string[][]; then: string[][] } {
  const first = loads.map(({ shards }): string[] => (groups ? [] : shards));
  const storage = storageOf(groups);
  const loading = new Map<string, { shard: string; ranks: number[] }>();
  for (const [rank, { node, shards }] of loads.entries())
    for (const shard of groups ? shards : []) {
      const key = `${storage(node)}/${shard}`;
      loading.set(key, { shard, ranks: [...(loading.get(key)?.ranks ?? []), rank] });
    }
  for (const { shard, ranks } of loading.values())
    first[ranks.reduce((least, rank) => (first[rank]!.length < first[least]!.length ? rank : least))]!.push(shard);
  return {
    first,
    then: loads.map(({ shards }, rank) => shards.filter((shard) => !first[rank]!.includes(shard))),
  };
}

/** Sets everything aside that stands where a series is about to start from nothing. */
export const clearCheckpoints = (target: RestoreTarget): Promise<void> =>
  restore({ ...target, places: target.places.map((place) => ({ ...place, loads: [] })) }, { iteration: 0, shards: {} });

/**
 * Restores the newest checkpoint that is complete over the nodes and whose bytes are right. One that turns out
 * to be damaged everywhere is passed over for the next older one. Resolves to its iteration, or 0 without any.
 */
export async function restoreNewest(target: RestoreTarget, listings: NodeListing[], shards: string[]): Promise<number> {
  const bad: BadShard[] = [];
  let told = listings;
  for (;;) {
    const newest = newestComplete(told, shards, bad);
    if (!newest) {
      if (bad.length === 0 || told !== listings) break;
      // Of the older ones not all are told at first.
      told = await listAll(target, listings);
      continue;
    }
    try {
      await restore(target, newest);
      return newest.iteration;
    } catch (error) {
      const damaged = damagedShard(error);
      if (!damaged) throw error;
      bad.push(damaged);
    }
  }
  if (bad.length)
    throw ApplicationFailure.nonRetryable(
      `every checkpoint of ${target.dir} is damaged on every node that has it: ${bad.map((b) => `iteration ${b.iteration} ${b.shard}`).join(', ')}. Nothing was overwritten; to start over, use another series`,
      'NoCheckpoint',
      { bad },
    );
  return 0;
}

/** Before, older ones that none of the run's own nodes has were not asked for. */
const KEEPERS_TOO = 'older checkpoints are asked for on all nodes that have some';

/** Of a node that is none of the run's, and does not answer, there is what it told before. */
async function listAll({ dir, members, spares, timing }: RestoreTarget, before: NodeListing[]): Promise<NodeListing[]> {
  const own = await listCheckpoints(dir, [...members, ...spares], timing);
  const others = before.filter(({ peer }) => !own.some((listing) => listing.peer.name === peer.name));
  if (others.length === 0 || !patched(KEEPERS_TOO)) return own;
  const asked = others.map(async (listing) => {
    try {
      return { ...listing, checkpoints: await onNode(listing.peer.name, timing).listCheckpoints({ dir }) };
    } catch (error) {
      if (isCancellation(error)) throw error;
      log.warn('older checkpoints of a node are not used', { node: listing.peer.name, error: String(error) });
      return listing;
    }
  });
  return [...own, ...(await Promise.all(asked))];
}

/** Which bytes were bad, if that is what was wrong: only then is there another checkpoint to turn to. */
export function damagedShard(error: unknown): BadShard | undefined {
  const bad = failureIn(error, 'DataCorrupt')?.details?.[0] as Partial<BadShard> | undefined;
  return bad?.digest === undefined ? undefined : (bad as BadShard);
}
