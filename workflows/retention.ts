/** Which checkpoints may go: a decision over what all nodes hold, and what it means on one of them. Pure. */
import { completeCheckpoints, type NodeListing } from './checkpoints.js';
import type { Peer } from './contract.js';
import type { Groups } from './islands.js';

/** An iteration of which every shard is there. */
export interface Complete {
  iteration: number;
  /** On as many nodes, with storage of their own, as it is to be: the loss of one does not take it along. */
  copied: boolean;
}

/** `train.keepCheckpoints`, and `train.keepEvery`: every n-th iteration is kept for ever. */
export interface KeepRule {
  keep: number;
  every?: number;
}

/** What may be removed: iterations older than `before`, but for `keep` and every `every`-th. */
export interface Retention {
  before: number;
  keep: number[];
  every?: number;
}

/**
 * Nothing goes before something newer is complete and copied, and that one stays whatever it is among. What is newer
 * stays as well, whole or not: a save may be under way. An older one that is not whole goes, as nothing needs it.
 */
export function retention(complete: Complete[], { keep, every }: KeepRule): Retention {
  const newestFirst = [...complete].sort((a, b) => b.iteration - a.iteration);
  const before = newestFirst.find(({ copied }) => copied)?.iteration ?? 0;
  const newest = [...new Set(newestFirst.map(({ iteration }) => iteration))].slice(0, Math.max(1, keep));
  return { before, keep: newest.filter((iteration) => iteration < before), ...(every !== undefined && { every }) };
}

/**
 * Of the iterations that a node has, those to remove.
 *
 * @param tracked what trackers of the series name, where that is known: the trainer may be asked to load it
 */
export const expendable = (
  held: number[],
  { before, keep, every }: Retention,
  tracked: (number | undefined)[] = [],
): number[] =>
  held.filter(
    (iteration) =>
      iteration < before &&
      !keep.includes(iteration) &&
      !tracked.includes(iteration) &&
      !(every !== undefined && iteration % every === 0),
  );

/**
 * @param copies how many nodes are to have each shard, or storages where there are groups
 * @param groups nodes by the storage of their checkpoints, where only some share it: two listings of one are one copy
 */
export const completeOf = (listings: NodeListing[], shards: string[], copies: number, groups?: Groups): Complete[] =>
  [...completeCheckpoints(listings, shards)].map(({ iteration, shards: held }) => ({
    iteration,
    copied: Object.values(held).every(({ from }) => storagesOf(from, groups) >= copies),
  }));

/** Of a node that is in no group nobody knows whether its storage is another's: it is not counted. */
const storagesOf = (from: Peer[], groups: Groups | undefined): number =>
  groups ? groups.filter((group) => from.some(({ name }) => group.includes(name))).length : from.length;

/** All that a later decision needs of these, each once; the list of a long training does not grow. */
export function remembered(complete: Complete[], { keep }: KeepRule): Complete[] {
  const known = new Map<number, boolean>();
  for (const { iteration, copied } of complete) known.set(iteration, copied || known.get(iteration) === true);
  const newestFirst = [...known]
    .map(([iteration, copied]) => ({ iteration, copied }))
    .sort((a, b) => b.iteration - a.iteration);
  const copied = newestFirst.findIndex((one) => one.copied);
  return newestFirst.slice(0, Math.max(keep, copied + 1));
}

/** Iterations that all parts of a generation have done. */
export const inAll = ([first = [], ...others]: number[][]): number[] =>
  first.filter((iteration) => others.every((other) => other.includes(iteration)));

export const newerThan = (iterations: number[], than: number): number[] => iterations.filter((it) => it > than);
