/**
 * Fetches the blocks of one artifact from every peer that has some, several at once. A peer that sends wrong bytes is
 * not asked again, one that fails several times in a row neither; both are named.
 */
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Peer } from '../workflows/contract.js';
import { DownloadError } from './download.js';
import { reasonOf } from './failures.js';
import { createSignal, unpackBits } from './partial.js';
import { askBytes, PeerUnreached, type Asker } from './peer-client.js';
import { pickBlock, type SourceView } from './pick-block.js';
import type { Progress } from './shown-artifact.js';
import { nearOnes, stepsTo, stripesFor } from './spread.js';
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
  /** It is over as soon as none of `from` answers and nobody else has what is wanted. */
  asksHolders?: true | undefined;
  signal?: AbortSignal | undefined;
  idleMs: number;
  onProblem(peer: string, problem: string, lied: boolean): void;
  /** Fetches and proves one block; `onBytes` hears of what has come of it. */
  fetch(block: number, from: Peer, signal: AbortSignal, onBytes: (bytes: number) => void): Promise<void>;
  onFetching(blocks: ReadonlySet<number>): void;
}

const AT_ONCE = 6;
/** Two, so that its line is not idle between one block and the next. */
const OF_ONE = 2;
/** Failures in a row after which a peer is left. */
const STRIKES = 3;
const AGAIN_MS = 500;
/** While it is expected to begin at any moment. */
const EARLY_MS = 100;
const IMPATIENT_AFTER_MS = 1000;
/** Time passes without news: a peer may be asked again, or is given up. */
const LOOK_EVERY_MS = 200;
/** Who fetches the same may begin so much later: nobody goes round it before. */
const EXPECTED_WITHIN_MS = 2000;
/** Nothing to be had from anybody for this long, with every origin gone, and the attempt is over. */
const HOPELESS_AFTER_MS = 10_000;
/** So many times as long as blocks take from others, and a block is asked for there. */
const SLOW_TIMES = 8;
/** Less than this a second is next to nothing, whatever others send. */
const LEAST_RATE = 1024;
/** A slow peer is left alone for this long. */
const ASIDE_MS = 60_000;
/** Newest blocks of a peer that tell how long one takes. */
const REMEMBERED = 20;
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
  /** Did not answer when it was asked last. */
  unreached: boolean;
  /** Was slow: not asked before this time while there is anybody else. */
  asideUntil: number;
  /** Milliseconds that its newest blocks took. */
  took: number[];
  /** Fetches the same, and answers; `undefined` until it has for the first time. */
  lives: boolean | undefined;
  has: boolean[] | 'all';
  /** How many that is. */
  count: number;
  fetching: Set<number>;
}

/** One block that is on its way. */
interface Request {
  block: number;
  source: Source;
  began: number;
  /** What has come, and since when. */
  bytes: number;
  since: number | undefined;
  stop: AbortController;
  done: Promise<void>;
}

/**
 * Resolves when every wanted block is here, or nobody is left to have one from, or nobody answers who has all; throws nothing
 * but the signal's reason and failures of this node's own.
 */
export async function fetchBlocks(options: SwarmOptions): Promise<'all' | 'nobody' | 'unreached'> {
  const { wanted, signal, beside } = options;
  const receivers = [...beside.map(({ name }) => name), options.asker.name].sort();
  const place = receivers.indexOf(options.asker.name);
  const stripes = stripesFor(options.blocks, receivers.length);
  const near = nearOnes(stripes, place, receivers.length);
  // Far down nothing is seen to be on its way for as long as the first block takes to come near.
  const patienceMs = IMPATIENT_AFTER_MS * Math.max(1, stepsTo(stripes, place, receivers.length));
  const sources = [
    ...options.from.map((peer) => sourceOf(peer, true, options.blocks)),
    ...beside
      .filter(({ name }) => near.has(receivers.indexOf(name)))
      .map((peer) => sourceOf(peer, false, options.blocks)),
  ];
  const inFlight = new Map<number, Request>();
  /** How often each block was taken back from a slow peer: it is given more time each time. */
  const takenBack = new Map<number, number>();
  const news = createSignal();
  const stop = new AbortController();
  const ending = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  // Every peer that is kept up with listens, and every request: more than Node takes for a leak.
  setMaxListeners(0, ending);
  const watching = sources.filter(({ seed }) => !seed).map((source) => watch(options, source, ending, news.notify));
  let failed: { error: unknown } | undefined;
  const began = performance.now();
  let [idleSince, cameAt] = [began, began];

  const start = (block: number, source: Source): void => {
    source.busy++;
    wanted.delete(block);
    const stop = new AbortController();
    const request: Request = {
      ...{ block, source, began: performance.now(), bytes: 0, since: undefined, stop },
      done: Promise.resolve(),
    };
    inFlight.set(block, request);
    const work = fetchOne(options, request, AbortSignal.any([ending, stop.signal])).then(
      (done) => {
        if (done) cameAt = performance.now();
        else wanted.add(block);
      },
      (error: unknown) => {
        failed ??= { error };
      },
    );
    request.done = work.finally(() => {
      source.busy--;
      inFlight.delete(block);
      idleSince = performance.now();
      options.onFetching(new Set(inFlight.keys()));
      news.notify();
    });
    options.onFetching(new Set(inFlight.keys()));
  };

  /** Blocks that a peer holds up while another one could send them at once are to come from there. */
  const takeBack = (): void => {
    const now = performance.now();
    for (const { block, source, bytes, stop, ...request } of inFlight.values()) {
      const age = now - request.began;
      const often = takenBack.get(block) ?? 0;
      if (stop.signal.aborted || age < options.idleMs * 2 ** often) continue;
      const others = sources.filter((other) => other !== source && !other.dropped);
      if (!others.some((other) => isFree(other, now) && hasBlock(other, block))) continue;
      const flowing = now - (request.since ?? now);
      if (!isSlow({ age, flowing, bytes, others: others.flatMap(({ took }) => took) }, options.idleMs)) continue;
      takenBack.set(block, often + 1);
      source.asideUntil = now + ASIDE_MS;
      const problem = `sent ${bytes} bytes of block ${block} in ${Math.round(age)} ms, while others have it`;
      options.onProblem(source.peer.name, problem, false);
      stop.abort();
    }
  };

  try {
    while (wanted.size > 0 || inFlight.size > 0) {
      if (failed) throw failed.error;
      signal?.throwIfAborted();
      const idleFor = performance.now() - idleSince;
      const starvedFor = performance.now() - cameAt;
      const impatience = {
        starved: starvedFor > IMPATIENT_AFTER_MS,
        impatient: inFlight.size === 0 && idleFor > patienceMs,
        // Also beside requests that are under way: a peer may send next to nothing without ever being silent.
        overdue: starvedFor > options.idleMs,
      };
      takeBack();
      if (options.asksHolders && isUnreached(sources, wanted, [...inFlight.values()])) return 'unreached';
      while (inFlight.size < AT_ONCE) {
        const here = options.blocks - wanted.size - inFlight.size;
        const view = { receivers, sources: viewOf(sources, began), ...impatience, here };
        const pick = pickBlock({
          ...view,
          wanted,
          blocks: options.blocks,
          self: options.asker.name,
          random: Math.random,
        });
        if (!pick) break;
        start(
          pick.block,
          sources.find(({ peer, dropped }) => !dropped && peer.name === pick.from)!,
        );
      }
      if (inFlight.size === 0 && isHopeless(sources, began, idleFor)) return 'nobody';
      const turn = timeLimit(LOOK_EVERY_MS, ending);
      await news.next(turn.signal);
      turn.lift();
    }
    // Of the last block there is nobody left to wait for.
    if (failed) throw failed.error;
    return 'all';
  } finally {
    stop.abort();
    await Promise.all([...watching, ...[...inFlight.values()].map(({ done }) => done)]);
  }
}

const sourceOf = (peer: Peer, seed: boolean, blocks: number): Source => ({
  ...{
    peer,
    seed,
    busy: 0,
    failures: 0,
    after: 0,
    dropped: false,
    unreached: false,
    asideUntil: 0,
    took: [],
    lives: undefined,
  },
  ...{ has: seed ? 'all' : [], count: seed ? blocks : 0, fetching: new Set<number>() },
});

const isThere = ({ seed, lives }: Source, began: number): boolean =>
  seed || (lives ?? performance.now() - began < EXPECTED_WITHIN_MS);

const isFree = (source: Source, now: number): boolean =>
  source.busy < OF_ONE && source.after <= now && source.asideUntil <= now;

const hasBlock = ({ has }: Source, block: number): boolean => has === 'all' || has[block] === true;

export interface Held {
  /** Milliseconds since a block was asked for, and since its first byte came: before that it may be in line. */
  age: number;
  flowing: number;
  bytes: number;
  /** Milliseconds that blocks of others took. */
  others: number[];
}

export function isSlow({ age, flowing, bytes, others }: Held, idleMs: number): boolean {
  if (flowing > idleMs && bytes < (LEAST_RATE * flowing) / 1000) return true;
  const median = [...others].sort((a, b) => a - b)[Math.floor(others.length / 2)];
  return median !== undefined && age > SLOW_TIMES * median;
}

function viewOf(sources: Source[], began: number): SourceView[] {
  const now = performance.now();
  const left = sources.filter(({ dropped }) => !dropped);
  const quick = left.filter(({ asideUntil }) => asideUntil <= now);
  return (quick.length > 0 ? quick : left).map((source) => ({
    ...{ name: source.peer.name, seed: source.seed, fetching: source.fetching, count: source.count },
    ...{ there: isThere(source, began), free: source.busy < OF_ONE && source.after <= now },
    has: (block) => hasBlock(source, block),
  }));
}

/** Whether it is here now. A peer's failures are the peer's, this node's own are thrown. */
async function fetchOne(options: SwarmOptions, request: Request, signal: AbortSignal): Promise<boolean> {
  const { source, block } = request;
  try {
    await options.fetch(block, source.peer, signal, (bytes) => {
      request.bytes += bytes;
      request.since ??= performance.now();
    });
    source.failures = 0;
    source.unreached = false;
    source.took = [...source.took, performance.now() - request.began].slice(-REMEMBERED);
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    if (!(error instanceof DownloadError)) throw error;
    const lied = error.kind === 'wrong';
    source.failures++;
    source.unreached = error instanceof PeerUnreached;
    source.after = performance.now() + AGAIN_MS * source.failures;
    source.dropped = lied || source.failures >= STRIKES;
    options.onProblem(source.peer.name, reasonOf(error), lied);
    return false;
  }
}

/** Blocks that those who do not answer were asked for are not waited for, unless somebody else sends some. */
function isUnreached(sources: Source[], wanted: ReadonlySet<number>, inFlight: Request[]): boolean {
  const seeds = sources.filter(({ seed }) => seed);
  if (seeds.length === 0 || !seeds.every(({ unreached }) => unreached)) return false;
  if (inFlight.some(({ source }) => !source.seed)) return false;
  const blocks = [...wanted, ...inFlight.map(({ block }) => block)];
  return !sources.some((source) => !source.seed && !source.dropped && blocks.some((block) => hasBlock(source, block)));
}

function isHopeless(sources: Source[], began: number, idleMs: number): boolean {
  const left = sources.filter(({ dropped }) => !dropped);
  if (left.some(({ seed }) => seed)) return false;
  return !left.some((source) => isThere(source, began)) || idleMs > HOPELESS_AFTER_MS;
}

/** Keeps up with what another receiver has. One that is not there yet, or no longer, is asked again now and then. */
async function watch(options: SwarmOptions, source: Source, signal: AbortSignal, notify: () => void): Promise<void> {
  const began = performance.now();
  let after = '';
  while (!signal.aborted && !source.dropped) {
    try {
      const path = `/artifacts/${options.digest}/progress${after}`;
      const answer = await askBytes(options.asker, source.peer, path, { signal, idleMs: NEWS_WITHIN_MS });
      const progress = JSON.parse(answer.toString('utf8')) as Progress;
      source.lives = true;
      if ('all' in progress) {
        [source.has, source.count, source.fetching] = ['all', options.blocks, new Set()];
        return notify();
      }
      after = `?after=${progress.version}`;
      source.has = unpackBits(progress.blocks, options.blocks);
      source.count = source.has.filter(Boolean).length;
      source.fetching = new Set(progress.fetching);
      notify();
    } catch (error) {
      if (signal.aborted) return;
      if (source.lives) options.onProblem(source.peer.name, reasonOf(error), false);
      if (source.lives !== undefined) source.lives = false;
      [source.has, source.count, source.fetching, after] = [[], 0, new Set(), ''];
      const isEarly = source.lives === undefined && performance.now() - began < EXPECTED_WITHIN_MS;
      await sleep(isEarly ? EARLY_MS : AGAIN_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}
