/** Before a launch: what there is of the series on the run's nodes and, where that may not be all, on others. */
import { ApplicationFailure, patched } from '@temporalio/workflow';
import { moreOf, newestComplete, type NodeListing } from './checkpoints.js';
import { onNode } from './contract.js';
import { checkpointsDir } from './plan.js';
import type { PreparationInput } from './preparation.js';
import { listKeepers, type Silent } from './restore.js';
import { findSaves, orLess, sealLeft, type Sealing } from './seal-saves.js';
import type { NodeSaves } from './unsealed.js';

export interface FoundCheckpoints {
  listings: NodeSaves[];
  /** Newest iteration that is complete, if one is. */
  newest: number | undefined;
  /** Nodes of the run that hold nothing of the series. */
  empty: string[];
  /** Nodes that served the series and do not say what they have. */
  silent: Silent[];
}

/** Preparations that began before know of no older checkpoint than each node told of. */
const OLDER_ASKED = 'older checkpoints are asked for where none is whole';

/**
 * What the run's nodes hold, `there`, with what nobody had sealed; at first, and where that is less than the run had, also what
 * other nodes hold that served the series: it may have moved since it was trained last.
 */
export async function findCheckpoints(
  { run, spec, keepers, generation, replicated }: PreparationInput,
  there: NodeSaves[],
  shards: string[],
  note: (text: string) => Promise<void>,
): Promise<FoundCheckpoints> {
  const dir = checkpointsDir(spec.series);
  const timing = spec.recovery;
  const names = new Set(there.map(({ peer }) => peer.name));
  const keep = spec.train.keepCheckpoints;
  const sealing: Sealing = { series: spec.series, shards, timing, own: names, note, keep };
  const own = await sealLeft(there, sealing);
  const empty = own
    .filter(({ checkpoints, saves }) => checkpoints.length + (saves?.iterations.length ?? 0) === 0)
    .map(({ peer }) => peer.name);
  const newestOf = (listings: NodeListing[]) => newestComplete(listings, shards)?.iteration;
  if (generation > 0 && (newestOf(own) ?? 0) >= replicated)
    return { listings: own, newest: newestOf(own), empty, silent: [] };
  const others = keepers.filter(({ name }) => !empty.includes(name) && !sealing.own.has(name));
  const asked = await listKeepers(dir, others, timing, { run, series: spec.series, keep });
  const kept = await findSaves(asked.listings, sealing);
  let listings = kept.length > 0 ? await sealLeft([...own, ...kept], sealing) : own;
  // What one node has not sealed of the last saves, others have many of, and told of no older ones.
  let told = keep;
  while ((newestOf(listings) ?? 0) < Math.max(1, replicated)) {
    const more = moreOf(listings, told);
    if (more === undefined || !patched(OLDER_ASKED)) break;
    listings = await listedAgain(listings, sealing, (told = more));
  }
  return { listings, newest: newestOf(listings), empty, silent: asked.silent };
}

const listedAgain = (listings: NodeSaves[], sealing: Sealing, keep: number): Promise<NodeSaves[]> =>
  Promise.all(
    listings.map(async (listing) => {
      const { name } = listing.peer;
      const list = () => onNode(name, sealing.timing).listCheckpoints({ dir: checkpointsDir(sealing.series), keep });
      return { ...listing, checkpoints: (await orLess(sealing, name, list)) ?? listing.checkpoints };
    }),
  );

/** Which parts of an iteration no node has of those that were asked. */
export function describeMissing(listings: NodeListing[], shards: string[], iteration: number): string {
  const held = listings.flatMap(({ checkpoints }) => checkpoints.filter((one) => one.iteration === iteration));
  const there = new Set(held.flatMap((one) => one.shards.map(({ shard }) => shard)));
  const missing = shards.filter((shard) => !there.has(shard));
  return `no node has ${missing.join(', ') || 'all parts as one launch wrote them'} of iteration ${iteration}`;
}

/**
 * Starting from nothing is right for a new series, and after failures before the first checkpoint. It is wrong
 * where part of a checkpoint is here and the rest on a node that is not: the real script would overwrite it.
 */
export function refuseToStartOver(
  { series, generation, replicated }: { series: string; generation: number; replicated: number },
  { listings, silent }: FoundCheckpoints,
): void {
  const leftovers = [
    ...listings.flatMap(({ peer, checkpoints }) =>
      checkpoints.map(
        ({ iteration, shards }) =>
          `${peer.name} has ${shards.map(({ shard }) => shard).join(', ')} of iteration ${iteration}`,
      ),
    ),
    ...silent.map(
      ({ name, why }) =>
        `${name} served this series and does not ${why === undefined ? 'answer' : `say what it has (${why})`}`,
    ),
  ];
  const lostProgress = replicated > 0;
  if (!lostProgress && (generation > 0 || leftovers.length === 0)) return;
  throw ApplicationFailure.nonRetryable(
    `series ${series} has no checkpoint that is complete over the nodes of this run${lostProgress ? `, though iteration ${replicated} was` : ''}: ${leftovers.join('; ') || 'no node has any part'}. Bring back the node with the rest, or use another series to start over`,
    'NoCheckpoint',
  );
}
