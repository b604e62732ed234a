/**
 * Which node is to blame where collectives fail or are slow: nodes are tried in pairs, and those of a pair that did not
 * do well once more, each with one that is known to be good. Pure: from what came of pairs so far, the next pairs.
 */

export type Pair = [string, string];

export interface PairResult {
  nodes: Pair;
  /** Of one all-reduce, the shortest of several. */
  seconds?: number;
  /** Why it failed, where it did. */
  error?: string;
}

export interface Blamed {
  node: string;
  /** Good nodes with which it did not do well. */
  partners: string[];
  why: string;
}

export interface PairVerdict {
  /** Collectives fail with these. */
  bad: Blamed[];
  /** They work, and hold everybody up. */
  slow: Blamed[];
  /** Both are good with others. */
  links: { nodes: Pair; why: string }[];
  /** Nobody is known to be good with whom these could be tried. */
  undecided: { node: string; why: string }[];
}

interface Known {
  good: Set<string>;
  blamed: Set<string>;
  /** Not known to be either, those that were in no pair yet first. */
  untried: string[];
  suspects: string[];
  hasMet: (a: string, b: string) => boolean;
  why: (result: PairResult) => string | undefined;
}

/** A pair that takes so much longer than the fastest one. Interference only ever slows down. */
const SLOW = 2;
/** Below so many measured pairs nobody says what is normal. */
const PAIRS_TO_COMPARE = 3;
/** When nobody is found to be good in so many pairs each, the fault is everybody's. */
const MOST_WITHOUT_GOOD = 4;

/** The pairs to try next, all at a time; none when nothing more can be found out. `proven` are good already. */
export function nextPairs(nodes: string[], proven: string[], results: PairResult[]): Pair[] {
  const known = look(nodes, proven, results);
  const pairs: Pair[] = [];
  const taken = new Set<string>();
  const pair = (open: string[], partners: string[]) => {
    for (const node of open) {
      if (taken.has(node)) continue;
      const partner = partners.find((other) => other !== node && !taken.has(other) && !known.hasMet(node, other));
      if (partner === undefined) continue;
      pairs.push([node, partner]);
      taken.add(node).add(partner);
    }
  };
  const good = [...known.good];
  const open = [...known.untried, ...known.suspects];
  pair(known.suspects, good);
  pair(known.untried, known.untried);
  pair(known.untried, good);
  const tries = (node: string) => results.filter(({ nodes: two }) => two.includes(node)).length;
  if (good.length === 0) {
    const left = open.filter((node) => tries(node) < MOST_WITHOUT_GOOD);
    pair(left, left);
  }
  return pairs;
}

export function judgePairs(nodes: string[], proven: string[], results: PairResult[]): PairVerdict {
  const known = look(nodes, proven, results);
  const { good } = known;
  const failed = results.flatMap((result) => {
    const why = known.why(result);
    return why === undefined ? [] : [{ ...result, why }];
  });
  const blamed = [...known.blamed].map((node) => {
    const own = failed.filter(({ nodes: two }) => two.includes(node) && two.some((other) => good.has(other)));
    const worst = own.find(({ error }) => error !== undefined) ?? own[0]!;
    const partners = own.flatMap(({ nodes: two }) => two.filter((other) => other !== node));
    return { node, partners, why: worst.why, isSlow: worst.error === undefined };
  });
  const told = ({ node, partners, why }: Blamed): Blamed => ({ node, partners, why });
  return {
    bad: blamed.filter(({ isSlow }) => !isSlow).map(told),
    slow: blamed.filter(({ isSlow }) => isSlow).map(told),
    links: failed.flatMap(({ nodes: two, why }) => (two.every((node) => good.has(node)) ? [{ nodes: two, why }] : [])),
    undecided: known.suspects.map((node) => ({
      node,
      why: failed.find(({ nodes: two }) => two.includes(node))!.why,
    })),
  };
}

function look(nodes: string[], proven: string[], results: PairResult[]): Known {
  const timed = results.flatMap(({ error, seconds }) => (error === undefined && seconds !== undefined ? seconds : []));
  const fastest = timed.length < PAIRS_TO_COMPARE ? Infinity : Math.min(...timed);
  const why = ({ error, seconds = 0 }: PairResult): string | undefined =>
    error ??
    (seconds > SLOW * fastest ? `${(seconds / fastest).toFixed(1)} times as long as the fastest pair` : undefined);
  const passed = results.filter((result) => why(result) === undefined);
  const good = new Set([...proven, ...passed.flatMap(({ nodes: two }) => two)]);
  const partnersOf = (node: string): string[] =>
    results.flatMap(({ nodes: two }) => (two.includes(node) ? two.filter((other) => other !== node) : []));
  const hasMet = (a: string, b: string): boolean => partnersOf(a).includes(b);
  const others = nodes.filter((node) => !good.has(node));
  // One failure may be its partner's, or the way between the two; a second partner that is good settles it.
  const isBlamed = (node: string): boolean => {
    const met = partnersOf(node).filter((other) => good.has(other)).length;
    return met > 1 || (met === 1 && [...good].every((other) => hasMet(node, other)));
  };
  const blamed = new Set(others.filter(isBlamed));
  const open = others.filter((node) => !blamed.has(node));
  return {
    ...{ good, blamed, hasMet, why },
    untried: open.filter((node) => partnersOf(node).length === 0),
    suspects: open.filter((node) => partnersOf(node).length > 0),
  };
}
