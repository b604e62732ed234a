/**
 * How many documents repeat another one, of any number of them in bounded memory: of all different documents those
 * with the smallest digests are kept, and how often each occurred (bottom-k sampling; Cohen and Kaplan, 2007). What is kept
 * of a whole follows from what is kept of its parts, so that shards do not matter.
 *
 * Documents are told apart by their ids. Whether one is kept at all is decided by every 16th id, which is cheap; only of
 * those that may be, all ids are looked at.
 */
export interface RepeatSample {
  /** Ascending, below 2^53. */
  digests: number[];
  /** How often each occurred. */
  counts: number[];
}

export const KEPT = 2048;
const STRIDE = 16;
const TAIL_BITS = 21;
const SEED = 0x2545f491;

/** Of a document that comes in portions, cut anywhere. */
export interface DocumentDigest {
  write(ids: Int32Array): void;
  end(): number;
}

export function createRepeats() {
  const counts = new Map<number, number>();
  let limit = Infinity;

  function add(digest: number): void {
    if (digest > limit) return;
    counts.set(digest, (counts.get(digest) ?? 0) + 1);
    if (counts.size < 2 * KEPT) return;
    const kept = [...counts.keys()].sort(ascending).slice(0, KEPT);
    limit = kept.at(-1)!;
    for (const digest of counts.keys()) if (digest > limit) counts.delete(digest);
  }

  return {
    /** A document that is in memory as a whole. */
    offer(ids: Int32Array): void {
      const head = headOf(sparseOver(SEED, ids, 0), ids.length);
      if (head * 2 ** TAIL_BITS <= limit) add(digestOf(head, fullOver(SEED, ids)));
    },
    add,
    sample: (): RepeatSample => smallest(counts),
  };
}

/** The same number for the same ids, however they come. */
export function createDocumentDigest(): DocumentDigest {
  let [length, sparse, full] = [0, SEED, SEED];
  return {
    write(ids) {
      sparse = sparseOver(sparse, ids, length);
      full = fullOver(full, ids);
      length += ids.length;
    },
    end() {
      const digest = digestOf(headOf(sparse, length), full);
      [length, sparse, full] = [0, SEED, SEED];
      return digest;
    },
  };
}

export function mergeSamples(a: RepeatSample, b: RepeatSample): RepeatSample {
  const counts = new Map(a.digests.map((digest, index) => [digest, a.counts[index]!]));
  for (const [index, digest] of b.digests.entries()) counts.set(digest, (counts.get(digest) ?? 0) + b.counts[index]!);
  return smallest(counts);
}

/**
 * How many of `documents` repeat another. Exact while no more than `KEPT` different ones were seen. Else how often those that were kept
 * occurred says it, within some 0.3 % where one in a hundred does; but a text that is there very often may not be among
 * them. Then the smallest digests, which tell the number of different documents within 7 %, contradict, and are believed.
 */
export function repeatsIn({ digests, counts }: RepeatSample, documents: number): { documents: number; exact: boolean } {
  const occurred = counts.reduce((sum, count) => sum + count, 0);
  if (digests.length < KEPT) return { documents: occurred - digests.length, exact: true };
  const byCounts = digests.length / occurred;
  const byDensity = ((KEPT - 1) * 2 ** 53) / digests.at(-1)! / documents;
  const agree = Math.abs(byCounts - byDensity) <= (3 / Math.sqrt(KEPT)) * byDensity;
  const different = Math.min(1, agree ? byCounts : byDensity);
  return { documents: Math.round((1 - different) * documents), exact: false };
}

const ascending = (a: number, b: number): number => a - b;

function smallest(counts: Map<number, number>): RepeatSample {
  const digests = [...counts.keys()].sort(ascending).slice(0, KEPT);
  return { digests, counts: digests.map((digest) => counts.get(digest)!) };
}

/** Over every 16th id of a document of which `before` came before. */
function sparseOver(state: number, ids: Int32Array, before: number): number {
  let next = state;
  for (let i = (STRIDE - (before % STRIDE)) % STRIDE; i < ids.length; i += STRIDE) next = round(next, ids[i]!);
  return next;
}

function fullOver(state: number, ids: Int32Array): number {
  let next = state;
  for (let i = 0; i < ids.length; i++) next = round(next, ids[i]!);
  return next;
}

/** A round of MurmurHash3 (Appleby), whose end is `finished`. */
function round(state: number, id: number): number {
  const word = Math.imul(id, 0xcc9e2d51);
  const mixed = state ^ Math.imul((word << 15) | (word >>> 17), 0x1b873593);
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0;
}

function finished(state: number): number {
  let next = state;
  next = Math.imul(next ^ (next >>> 16), 0x85ebca6b);
  next = Math.imul(next ^ (next >>> 13), 0xc2b2ae35);
  return (next ^ (next >>> 16)) >>> 0;
}

const headOf = (sparse: number, length: number): number => finished(sparse ^ length);

const digestOf = (head: number, full: number): number => head * 2 ** TAIL_BITS + (finished(full) >>> (32 - TAIL_BITS));
