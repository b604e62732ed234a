/** Which checkpoint a run may go on from, and where copies go. Pure: listings in, decisions out. */
import type { CheckpointHeld, Peer, ShardHeld } from './contract.js';
import { storageOf, type Groups } from './islands.js';
import type { SeriesIdentity } from './series-identity.js';
import type { NodePlace } from './topology.js';

/** What one living node holds. */
export interface NodeListing {
  peer: Peer;
  checkpoints: CheckpointHeld[];
}

/** A shard with every living node that has these very bytes. */
export type ShardSource = ShardHeld & { from: Peer[] };

export interface CompleteCheckpoint {
  iteration: number;
  /** One entry a shard of the layout, by shard name. */
  shards: Record<string, ShardSource>;
}

/** Bytes of which no good copy was found after they had been listed. */
export interface BadShard {
  iteration: number;
  shard: string;
  digest: string;
}

/**
 * The newest iteration of which the living nodes together hold every shard as one launch wrote it, or nothing. An
 * iteration that was trained again after a failure is there twice, and halves of the two are no checkpoint: the
 * newer launch's wins where it is whole.
 */
export const newestComplete = (
  listings: NodeListing[],
  shards: string[],
  bad: BadShard[] = [],
): CompleteCheckpoint | undefined => completeCheckpoints(listings, shards, bad).next().value;

/** All such iterations, newest first. */
export function* completeCheckpoints(
  listings: NodeListing[],
  shards: string[],
  bad: BadShard[] = [],
): Generator<CompleteCheckpoint, undefined> {
  const held = listings.flatMap(({ peer, checkpoints }) =>
    checkpoints.flatMap(({ iteration, shards: there }) => there.map((shard) => ({ ...shard, iteration, peer }))),
  );
  const good = held.filter((h) => !bad.some((b) => b.iteration === h.iteration && b.digest === h.digest));
  for (const iteration of newestFirst(good.map((h) => h.iteration))) {
    const saved = good.filter((h) => h.iteration === iteration);
    for (const token of newestFirst(saved.map(tokenOf))) {
      const found = shards.map((shard) => sourceOf(saved.filter((h) => h.shard === shard && tokenOf(h) === token)));
      if (!found.every((source) => source !== undefined)) continue;
      yield { iteration, shards: Object.fromEntries(found.map((source) => [source.shard, source])) };
      break;
    }
  }
  return undefined;
}

const newestFirst = (numbers: number[]): number[] => [...new Set(numbers)].sort((a, b) => b - a);
const tokenOf = ({ token = 0 }: ShardHeld): number => token;

/** The bytes that most nodes agree on: one that was sealed after it had been damaged stands alone. */
function sourceOf(held: (ShardHeld & { peer: Peer })[]): ShardSource | undefined {
  const byDigest = new Map<string, ShardSource>();
  for (const { shard, digest, bytes, peer } of held) {
    const source = byDigest.get(digest) ?? { shard, digest, bytes, from: [] };
    source.from.push(peer);
    byDigest.set(digest, source);
  }
  return [...byDigest.values()].sort((a, b) => b.from.length - a.from.length || (a.digest < b.digest ? -1 : 1))[0];
}

/** What the newest launch that saved this iteration trained with, or without one the newest iteration that says so. */
export function trainedWith(
  listings: NodeListing[],
  iteration?: number,
): { iteration: number; identity: SeriesIdentity } | undefined {
  const told = listings.flatMap(({ checkpoints }) =>
    checkpoints.flatMap(({ iteration, shards, identityAs, ...told }) => {
      const { identity } = checkpoints.find((other) => other.iteration === identityAs) ?? told;
      return identity ? [{ iteration, identity, token: Math.max(...shards.map(tokenOf)) }] : [];
    }),
  );
  return told
    .filter((one) => iteration === undefined || one.iteration === iteration)
    .sort((a, b) => b.iteration - a.iteration || b.token - a.token)[0];
}

/** Per node of the lease, by name: the shards that it copies from their writers after every save. */
export type CopyPlan = Record<string, { shard: string; from: Peer }[]>;

/**
 * Sends each shard to `replicas` other nodes: the next ones in a ring over gang and spares, counted from the
 * writer, so that no single loss takes a shard along and a spare already holds something of use. Each is on a storage
 * that has the shard from nobody else: on one that nodes share, a second copy would be the first one again. With fewer
 * other storages than replicas, every other one gets one.
 *
 * @param groups nodes by the storage of their checkpoints, where only some share it
 */
export function planCopies(
  places: NodePlace[],
  members: Peer[],
  spares: Peer[],
  replicas: number,
  groups?: Groups,
): CopyPlan {
  const ring = [...members, ...spares];
  const storage = storageOf(groups);
  const plan: CopyPlan = Object.fromEntries(ring.map(({ name }) => [name, []]));
  for (const place of places) {
    const writer = members[place.nodeRank]!;
    // Spares first: they have nothing else to do, and it is they who will need the bytes.
    const others = [...spares, ...ring.slice(place.nodeRank + 1, members.length), ...ring.slice(0, place.nodeRank)];
    const taken = new Set([storage(writer.name)]);
    for (let step = 0; step < others.length && taken.size <= replicas; step++) {
      const target = others[(place.nodeRank + step) % others.length]!;
      if (taken.has(storage(target.name))) continue;
      taken.add(storage(target.name));
      plan[target.name]!.push(...place.writes.map((shard) => ({ shard, from: writer })));
    }
  }
  return plan;
}

/**
 * Who else keeps the copies that a lost node kept: for each shard a node on whose storage nobody wrote it nor keeps a
 * copy, the one with the fewest first. Shards for which there is nobody are left out.
 *
 * @param plan what is kept without these
 */
export function shareOut(copies: CopyPlan[string], plan: CopyPlan, candidates: Peer[], groups?: Groups): CopyPlan {
  const storage = storageOf(groups);
  const shares: CopyPlan = {};
  const kept = (name: string) => (plan[name]?.length ?? 0) + (shares[name]?.length ?? 0);
  const there = (name: string, shard: string) => `${storage(name)}/${shard}`;
  // Of everybody: one that takes no more keeps what it has.
  const has = new Set(Object.entries(plan).flatMap(([name, own]) => own.map(({ shard }) => there(name, shard))));
  for (const copy of copies) {
    const { shard, from } = copy;
    const able = candidates.filter(({ name }) => storage(name) !== storage(from.name) && !has.has(there(name, shard)));
    const target = able.sort((a, b) => kept(a.name) - kept(b.name))[0];
    if (!target) continue;
    (shares[target.name] ??= []).push(copy);
    has.add(there(target.name, shard));
  }
  return shares;
}

/** What one more node is to keep: of the shards that are written, those with fewer than `replicas` copies on other storages. */
export function copiesLacking(
  newcomer: Peer,
  written: CopyPlan[string],
  { plan, replicas, groups }: { plan: CopyPlan; replicas: number; groups?: Groups },
): CopyPlan[string] {
  const storage = storageOf(groups);
  const own = storage(newcomer.name);
  const kept = new Map<string, Set<string>>(written.map(({ shard }) => [shard, new Set()]));
  for (const [name, copies] of Object.entries(plan))
    for (const { shard } of copies) kept.get(shard)?.add(storage(name));
  return written.filter(({ shard, from }) => {
    const storages = kept.get(shard)!;
    return own !== storage(from.name) && !storages.has(own) && storages.size < replicas;
  });
}

/** Older ones are told for as long as all together take little: a run asks all of its nodes, and remembers the answers. */
export const LITTLE = 64_000;
/** Newer ones than the newest complete: a save under way, and one that a node left out. */
export const NEWER = 2;

/** Each time that more are asked for. */
const TIMES = 4;
/** A save of the last hours is not further back, and a preparation does not remember more. */
const MOST = 64;

/** How many to ask for where there may be older ones than so many nodes told of; nothing where that is all, or enough. */
export function moreOf(listings: NodeListing[], keep: number): number | undefined {
  const isCut = listings.some(
    ({ checkpoints }) => checkpoints.length >= keep + NEWER && JSON.stringify(checkpoints).length > LITTLE,
  );
  return isCut && keep < MOST ? keep * TIMES : undefined;
}
