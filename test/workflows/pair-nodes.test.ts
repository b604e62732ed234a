/** Who is to blame where collectives between nodes fail. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgePairs, nextPairs, type Pair, type PairResult } from '../../workflows/pair-nodes.js';

type Answer = (pair: Pair) => Omit<PairResult, 'nodes'>;

/** Tries pairs until there is nothing more to find out; how often that was. */
function play(nodes: string[], answer: Answer, proven: string[] = []) {
  const results: PairResult[] = [];
  let rounds = 0;
  for (let pairs = nextPairs(nodes, proven, results); pairs.length; pairs = nextPairs(nodes, proven, results)) {
    expect(new Set(pairs.flat()).size).toBe(2 * pairs.length);
    for (const pair of pairs) {
      expect(results.filter(({ nodes: two }) => pair.every((node) => two.includes(node)))).toEqual([]);
      results.push({ nodes: pair, ...answer(pair) });
    }
    rounds++;
  }
  return { results, rounds, ...judgePairs(nodes, proven, results) };
}

const named = (count: number) => Array.from({ length: count }, (_, index) => `n${index}`);
const failing =
  (...bad: string[]): Answer =>
  (pair) =>
    pair.some((node) => bad.includes(node)) ? { error: 'EI0006' } : { seconds: 1 };
const isPair = (pair: Pair, a: string, b: string) => pair.includes(a) && pair.includes(b);
const namesOf = (blamed: { node: string }[]) => blamed.map(({ node }) => node).sort();

describe('of nodes that are tried in pairs', () => {
  it('all are good after one round, or two where their number is odd', () => {
    expect(play(named(6), failing())).toMatchObject({ rounds: 1, bad: [], slow: [], links: [], undecided: [] });
    expect(play(named(7), failing())).toMatchObject({ rounds: 2, bad: [], undecided: [] });
  });

  it.each([
    [4, ['n0']],
    [4, ['n3']],
    [3, ['n1']],
    [7, ['n6']],
    [8, ['n0', 'n1']],
    [8, ['n0', 'n2', 'n5']],
  ])('of %i, %j are named, and nobody else', (count, bad) => {
    const { rounds, ...verdict } = play(named(count), failing(...bad));
    expect(namesOf(verdict.bad)).toEqual(bad);
    expect(verdict).toMatchObject({ slow: [], links: [], undecided: [] });
    expect(rounds).toBeLessThanOrEqual(4);
    for (const { partners, why } of verdict.bad) {
      expect(why).toBe('EI0006');
      expect(partners.filter((partner) => bad.includes(partner))).toEqual([]);
    }
  });

  it('a slow one is named as slow, by what a pair takes beside the fastest', () => {
    const verdict = play(named(8), (pair) => ({ seconds: pair.includes('n5') ? 3.5 : 1 + Math.random() * 0.5 }));
    expect(namesOf(verdict.slow)).toEqual(['n5']);
    expect(verdict.slow[0]!.why).toMatch(/^[23]\.\d times as long as the fastest pair$/);
    expect(verdict).toMatchObject({ bad: [], links: [], undecided: [] });
  });

  it('nobody is slow where too few were measured to say what is normal', () => {
    const verdict = play(named(4), (pair) => ({ seconds: pair.includes('n0') ? 9 : 1 }));
    expect(verdict).toMatchObject({ rounds: 1, slow: [], bad: [] });
  });

  it('two that fail with each other only are a way between them, not a node', () => {
    const verdict = play(named(6), (pair) => (isPair(pair, 'n0', 'n1') ? { error: 'no route' } : { seconds: 1 }));
    expect(verdict).toMatchObject({ bad: [], undecided: [], links: [{ nodes: ['n0', 'n1'], why: 'no route' }] });
  });

  it('of two alone nobody can say which it is', () => {
    const verdict = play(named(2), failing('n1'));
    expect(namesOf(verdict.undecided)).toEqual(['n0', 'n1']);
    expect(verdict.bad).toEqual([]);
  });

  it('a node that was proven before says which', () => {
    expect(namesOf(play(named(2), failing('n1'), ['n0']).bad)).toEqual(['n1']);
    expect(play(named(3), failing('n2'), ['n0', 'n1'])).toMatchObject({
      bad: [{ node: 'n2', partners: ['n0', 'n1'] }],
    });
  });

  it('where nothing works anywhere, trying ends soon and nobody is blamed', () => {
    const { rounds, bad, undecided } = play(named(40), () => ({ error: 'firewall' }));
    expect([bad, undecided.length]).toEqual([[], 40]);
    expect(rounds).toBeLessThanOrEqual(4);
  });
});

const clusters = fc
  .tuple(fc.integer({ min: 3, max: 60 }), fc.array(fc.nat(), { maxLength: 30 }))
  .map(([count, chosen]) => ({ nodes: named(count), bad: [...new Set(chosen.map((index) => `n${index % count}`))] }));

describe('whatever the nodes', () => {
  it('a good one is never named', () => {
    fc.assert(
      fc.property(clusters, ({ nodes, bad }) => {
        const verdict = play(nodes, failing(...bad));
        expect(namesOf(verdict.bad).filter((node) => !bad.includes(node))).toEqual([]);
        expect(verdict.links).toEqual([]);
      }),
    );
  });

  it('all bad ones are named where they are a third or less, each tried at most five times', () => {
    fc.assert(
      fc.property(clusters, ({ nodes, bad }) => {
        const few = bad.slice(0, Math.floor(nodes.length / 3));
        const { results, ...verdict } = play(nodes, failing(...few));
        expect(namesOf(verdict.bad)).toEqual([...few].sort());
        expect(verdict.undecided).toEqual([]);
        for (const node of few)
          expect(results.filter(({ nodes: two }) => two.includes(node)).length).toBeLessThanOrEqual(5);
      }),
    );
  });

  it('a bad one is found by nodes that were proven before', () => {
    fc.assert(
      fc.property(clusters, fc.integer({ min: 2, max: 5 }), ({ nodes, bad }, proven) => {
        const before = Array.from({ length: proven }, (_, index) => `p${index}`);
        const verdict = play([...before, ...nodes], failing(...bad), before);
        expect(namesOf(verdict.bad)).toEqual([...bad].sort());
      }),
    );
  });
});
