/**
 * Fetches the blocks of one artifact from every peer that has some, several at once. A peer that sends wrong bytes is
 * not asked again, one that fails several times in a row neither; both are named.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Peer } from '../workflows/contract.js';
import { DownloadError } from './download.js';
import { reasonOf } from './failures.js';
import { createSignal, unpackBits } from './partial.js';
import { askBytes, type Asker } from './peer-client.js';
import { pickBlock } from './pick-block.js';
import type { Progress } from './shown-artifact.js';
import { timeLimit } from './time-limit.js';

export interface SwarmOptions {
  asker: Asker;
  digest: string;
  /** Number of all blocks of the artifact, and those to fetch. */
  blocks: number;
  wanted: Set<number>;
  /** Peers that have it all, and peers that fetch it at the same time. */
  from: Peer[];
  beside: Peer[];
  signal?: AbortSignal | undefined;
  idleMs: number;
  onProblem(peer: string, problem: string, lied: boolean): void;
  /** Fetches and proves one block. */
  fetch(block: number, from: Peer, signal: AbortSignal): Promise<void>;
  onFetching(blocks: ReadonlySet<number>): void;
}

const AT_ONCE = 4;
/** Of one origin at a time; its line is for others as well. */
const OF_A_SEED = 2;
/** Failures in a row after which a peer is left. */
const STRIKES = 3;
const AGAIN_MS = 500;
const IMPATIENT_AFTER_MS = 1000;
/** Time passes without news: a peer may be asked again, or is given up. */
const LOOK_EVERY_MS = 200;
/** Before the first block: who else is there? */
const INTRODUCTION_MS = 300;
/** Nothing to be had from anybody for this long, with every origin gone, and the attempt is over. */
const HOPELESS_AFTER_MS = 10_000;
/** A peer holds its answer back for a while if it has no news. */
const NEWS_WITHIN_MS = 10_000;

interface Source {
  peer: Peer;
  seed: boolean;
  busy: number;
  failures: number;
  /** Not asked before this time. */
  after: number;
  dropped: boolean;
  /** Fetches the same: it counts as a receiver while it answers. */
  lives: boolean;
  has: boolean[] | 'all';
  fetching: Set<number>;
}

/** Resolves when every wanted block is here; throws nothing but the signal's reason and failures of this node's own. */
export async function fetchBlocks(options: SwarmOptions): Promise<'all' | 'nobody'> {
  const { wanted, signal, beside } = options;
  const sources = [...options.from.map((peer) => sourceOf(peer, true)), ...beside.map((peer) => sourceOf(peer, false))];
  const inFlight = new Map<number, Promise<void>>();
  const news = createSignal();
  const stop = new AbortController();
  const ending = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const watching = sources.filter(({ seed }) => !seed).map((source) => watch(options, source, ending, news.notify));
  let failed: { error: unknown } | undefined;
  let idleSince = performance.now();

  const start = (block: number, source: Source): void => {
    source.busy++;
    wanted.delete(block);
    const work = fetchOne(options, source, block, ending).then(
      (done) => {
        if (!done) wanted.add(block);
      },
      (error: unknown) => {
        failed ??= { error };
      },
    );
    inFlight.set(
      block,
      work.finally(() => {
        source.busy--;
        inFlight.delete(block);
        idleSince = performance.now();
        options.onFetching(new Set(inFlight.keys()));
        news.notify();
      }),
    );
    options.onFetching(new Set(inFlight.keys()));
  };

  try {
    if (beside.length > 0) await introduced(sources, ending);
    while (wanted.size > 0 || inFlight.size > 0) {
      if (failed) throw failed.error;
      signal?.throwIfAborted();
      const idleFor = performance.now() - idleSince;
      const impatient = inFlight.size === 0 && idleFor > IMPATIENT_AFTER_MS;
      while (inFlight.size < AT_ONCE) {
        const pick = pickBlock(viewOf(options, sources, impatient));
        if (!pick) break;
        start(
          pick.block,
          sources.find(({ peer, dropped }) => !dropped && peer.name === pick.from)!,
        );
      }
      if (inFlight.size === 0 && isHopeless(sources, idleFor)) return 'nobody';
      const turn = timeLimit(LOOK_EVERY_MS, ending);
      await news.next(turn.signal);
      turn.lift();
    }
    return 'all';
  } finally {
    stop.abort();
    await Promise.all([...watching, ...inFlight.values()]);
  }
}

const sourceOf = (peer: Peer, seed: boolean): Source => ({
  ...{ peer, seed, busy: 0, failures: 0, after: 0, dropped: false, lives: false },
  ...{ has: seed ? 'all' : [], fetching: new Set<number>() },
});

/** Waits until every receiver has been heard of or has not answered, so that the shares are the same for all. */
async function introduced(sources: Source[], signal: AbortSignal): Promise<void> {
  const until = performance.now() + INTRODUCTION_MS;
  while (performance.now() < until && !signal.aborted && sources.some(({ seed, lives }) => !seed && !lives))
    await sleep(20);
}

function viewOf({ asker, blocks, wanted }: SwarmOptions, sources: Source[], impatient: boolean) {
  const now = performance.now();
  const asked = sources.filter(({ dropped }) => !dropped);
  const receivers = asked.filter(({ seed, lives }) => !seed && lives).map(({ peer }) => peer.name);
  const names = [...receivers, asker.name].sort();
  return {
    ...{ wanted, blocks, impatient, random: Math.random },
    ...{ place: names.indexOf(asker.name), receivers: names.length },
    sources: asked.map(({ peer, seed, busy, after, lives, has, fetching }) => ({
      ...{ name: peer.name, seed, fetching: lives ? fetching : new Set<number>() },
      free: busy < (seed ? OF_A_SEED : 1) && after <= now,
      has: (block: number) => has === 'all' || has[block] === true,
    })),
  };
}

/** Whether it is here now. A peer's failures are the peer's, this node's own are thrown. */
async function fetchOne(options: SwarmOptions, source: Source, block: number, signal: AbortSignal): Promise<boolean> {
  try {
    await options.fetch(block, source.peer, signal);
    source.failures = 0;
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    if (!(error instanceof DownloadError)) throw error;
    const lied = error.kind === 'wrong';
    source.failures++;
    source.after = performance.now() + AGAIN_MS * source.failures;
    source.dropped = lied || source.failures >= STRIKES;
    options.onProblem(source.peer.name, reasonOf(error), lied);
    return false;
  }
}

function isHopeless(sources: Source[], idleMs: number): boolean {
  if (sources.some(({ seed, dropped }) => seed && !dropped)) return false;
  return !sources.some(({ dropped, lives }) => !dropped && lives) || idleMs > HOPELESS_AFTER_MS;
}

/** Keeps up with what another receiver has. One that is not there yet, or no longer, is asked again now and then. */
async function watch(options: SwarmOptions, source: Source, signal: AbortSignal, notify: () => void): Promise<void> {
  let after = '';
  while (!signal.aborted && !source.dropped) {
    try {
      const path = `/artifacts/${options.digest}/progress${after}`;
      const answer = await askBytes(options.asker, source.peer, path, { signal, idleMs: NEWS_WITHIN_MS });
      const progress = JSON.parse(answer.toString('utf8')) as Progress;
      source.lives = true;
      if ('all' in progress) {
        [source.has, source.fetching] = ['all', new Set()];
        return notify();
      }
      after = `?after=${progress.version}`;
      source.has = unpackBits(progress.blocks, options.blocks);
      source.fetching = new Set(progress.fetching);
      notify();
    } catch (error) {
      if (signal.aborted) return;
      if (source.lives) options.onProblem(source.peer.name, reasonOf(error), false);
      [source.lives, source.has, source.fetching, after] = [false, [], new Set(), ''];
      await sleep(AGAIN_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}
