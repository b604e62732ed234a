/**
 * Along which way a block reaches every receiver when all links have one rate, so that each carries the artifact about
 * once in each direction and its origin sends it once. Few receivers of many blocks make a chain: the last one is done
 * as many blocks after the first as there are receivers between. Many receivers make two trees, one for even blocks and
 * one for odd, as in SplitStream (Castro et al., 2003): who passes on in one is a leaf of the other. Nobody needs to
 * agree on anything but the list of receivers. A slow one holds up those below it, but no longer than it takes itself,
 * and nobody can use an artifact before the slowest has it. Pure.
 */

/** In a chain of so many receivers to a block or fewer, the way takes a quarter longer than the blocks at most. */
const BLOCKS_A_RECEIVER = 4;
/** In a longer one the last would wait for its first block as if nobody were at work on it. */
const LONGEST_CHAIN = 16;
/** So many in each direction are kept up with: nobody can keep up with all of a thousand. */
export const NEAR = 4;

/** How many trees there are. Block b goes down tree b mod that number; in each, one passes on to as many. */
export const stripesFor = (blocks: number, receivers: number): 1 | 2 =>
  receivers <= LONGEST_CHAIN && receivers * BLOCKS_A_RECEIVER <= blocks ? 1 : 2;

/** Places of the receivers that pass the blocks of a stripe on to the one at `place`, the nearest first. */
export function wayUp(stripes: 1 | 2, stripe: number, place: number, receivers: number): number[] {
  if (stripes === 1) return Array.from({ length: place }, (_, index) => place - 1 - index);
  // A binary heap with those that pass on in this stripe first.
  const inner = Math.ceil((receivers - stripe) / 2);
  const placeAt = (rank: number) => (rank < inner ? 2 * rank + stripe : 2 * (rank - inner) + 1 - stripe);
  const way: number[] = [];
  for (let rank = Math.floor(place / 2) + (place % 2 === stripe ? 0 : inner); rank > 0;) {
    rank = (rank - 1) >> 1;
    way.push(placeAt(rank));
  }
  return way;
}

/** How many others a block passes at most before it comes to the one at `place`. */
export const stepsTo = (stripes: 1 | 2, place: number, receivers: number): number =>
  Math.max(...Array.from({ length: stripes }, (_, stripe) => wayUp(stripes, stripe, place, receivers).length));

/** Whom the one at `place` keeps up with: the nearest on its ways, and those that follow in the list, round its end. */
export function nearOnes(stripes: 1 | 2, place: number, receivers: number): Set<number> {
  const above = Array.from({ length: stripes }, (_, stripe) => wayUp(stripes, stripe, place, receivers).slice(0, NEAR));
  const next = Array.from({ length: Math.min(NEAR, receivers - 1) }, (_, index) => (place + 1 + index) % receivers);
  return new Set([...above.flat(), ...next]);
}
