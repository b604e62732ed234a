/** Which checkpoint a run may go on from, and where copies go. Pure: listings in, decisions out. */
import type { CheckpointHeld, Peer, ShardHeld } from './contract.js';
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

/** A copy that was found bad after it had been listed. */
export interface BadShard {
  iteration: number;
  shard: string;
}

/**
 * The newest iteration of which the living nodes together hold every shard, or nothing. Where two nodes hold
 * different bytes under one name (a shard that was written again after a resume), the bytes that more nodes agree on win.
 */
export function newestComplete(
  listings: NodeListing[],
  shards: string[],
  bad: BadShard[] = [],
): CompleteCheckpoint | undefined {
  const iterations = [...new Set(listings.flatMap(({ checkpoints }) => checkpoints.map(({ iteration }) => iteration)))];
  for (const iteration of iterations.sort((a, b) => b - a)) {
    const found = shards.map((shard) =>
      bad.some((b) => b.iteration === iteration && b.shard === shard)
        ? undefined
        : holdersOf(listings, iteration, shard),
    );
    if (found.every((source) => source !== undefined))
      return { iteration, shards: Object.fromEntries(found.map((source) => [source.shard, source])) };
  }
  return undefined;
}

function holdersOf(listings: NodeListing[], iteration: number, shard: string): ShardSource | undefined {
  const byDigest = new Map<string, ShardSource>();
  for (const { peer, checkpoints } of listings) {
    const held = checkpoints.find((c) => c.iteration === iteration)?.shards.find((s) => s.shard === shard);
    if (!held) continue;
    const source = byDigest.get(held.digest) ?? { ...held, from: [] };
    source.from.push(peer);
    byDigest.set(held.digest, source);
  }
  return [...byDigest.values()].sort((a, b) => b.from.length - a.from.length || (a.digest < b.digest ? -1 : 1))[0];
}

/** Per node of the lease, by name: the shards that it copies from their writers after every save. */
export type CopyPlan = Record<string, { shard: string; from: Peer }[]>;

/**
 * Sends each shard to `replicas` other nodes: the next ones in a ring over gang and spares, counted from the
 * writer, so that no single loss takes a shard along and a spare already holds something of use. With fewer
 * other nodes than replicas, every other node gets one.
 */
export function planCopies(places: NodePlace[], members: Peer[], spares: Peer[], replicas: number): CopyPlan {
  const ring = [...members, ...spares];
  const plan: CopyPlan = Object.fromEntries(ring.map(({ name }) => [name, []]));
  for (const place of places) {
    const writer = members[place.nodeRank]!;
    for (let step = 1; step <= Math.min(replicas, ring.length - 1); step++) {
      // Spares first: they have nothing else to do, and it is they who will need the bytes.
      const others = [...spares, ...ring.slice(place.nodeRank + 1, members.length), ...ring.slice(0, place.nodeRank)];
      const target = others[(place.nodeRank + step - 1) % others.length]!;
      plan[target.name]!.push(...place.writes.map((shard) => ({ shard, from: writer })));
    }
  }
  return plan;
}
