import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pickBlock, type PickState, type SourceView } from '../../activities/pick-block.js';
import { nearOnes, stripesFor, wayUp } from '../../activities/spread.js';

describe('the way of a block', () => {
  const crowd = fc.record({
    receivers: fc.integer({ min: 1, max: 40 }),
    stripes: fc.constantFrom(1 as const, 2 as const),
  });
  const places = (receivers: number) => Array.from({ length: receivers }, (_, place) => place);

  it('begins at one receiver for each stripe and comes to every one, and nobody sends more than it gets', () => {
    fc.assert(
      fc.property(crowd, ({ receivers, stripes }) => {
        const passesOn = places(receivers).map(() => 0);
        for (let stripe = 0; stripe < stripes; stripe++) {
          const ways = places(receivers).map((place) => wayUp(stripes, stripe, place, receivers));
          expect(ways.filter((way) => way.length === 0)).toHaveLength(1);
          for (const [place, way] of ways.entries()) {
            if (way.length === 0) continue;
            passesOn[way[0]!]!++;
            expect([way.slice(1), way.includes(place)]).toEqual([ways[way[0]!], false]);
          }
          if (stripes === 2)
            expect(Math.max(...ways.map((way) => way.length))).toBeLessThanOrEqual(Math.floor(Math.log2(receivers)));
        }
        expect(Math.max(...passesOn)).toBeLessThanOrEqual(stripes);
      }),
      { numRuns: 40 },
    );
  });

  it('is a short chain where that takes a quarter longer at most, and two trees else', () => {
    expect([stripesFor(32, 8), stripesFor(31, 8), stripesFor(1, 1), stripesFor(4, 1)]).toEqual([1, 2, 2, 1]);
    expect([stripesFor(1000, 16), stripesFor(1000, 17)]).toEqual([1, 2]);
  });

  it('is kept up with where it is near, and so are some that are on it further down, the same for thousands', () => {
    fc.assert(
      fc.property(crowd, ({ receivers, stripes }) => {
        for (const place of places(receivers)) {
          const near = nearOnes(stripes, place, receivers);
          const above = Array.from({ length: stripes }, (_, stripe) =>
            wayUp(stripes, stripe, place, receivers).slice(0, 4),
          );
          const isNear = above.flat().every((one) => near.has(one)) && !near.has(place);
          expect([isNear, near.size >= Math.min(4, receivers - 1), near.size <= 12]).toEqual([true, true, true]);
        }
      }),
      { numRuns: 40 },
    );
  });
});

describe('the next block', () => {
  const source = (name: string, has: number[], more: Partial<SourceView> = {}): SourceView => ({
    ...{ name, seed: false, there: true, free: true, fetching: new Set<number>(), count: has.length },
    has: (block) => has.includes(block),
    ...more,
  });
  const seed = source('seed', [], { seed: true, has: () => true });
  const many = Array.from({ length: 48 }, (_, block) => block);
  /** The last of three in a chain. */
  const third: PickState = {
    ...{ wanted: many, blocks: 48, here: 0, sources: [], receivers: ['a', 'b', 'c'], self: 'c' },
    ...{ starved: false, impatient: false, overdue: false, random: () => 0 },
  };
  const patient = (sources: SourceView[], more: Partial<PickState> = {}) => pickBlock({ ...third, sources, ...more });
  const impatient = (sources: SourceView[], more: Partial<PickState> = {}) =>
    patient(sources, { starved: true, impatient: true, ...more });

  it('is one that somebody has who is free, and never refused to who has waited too long', () => {
    const peers = fc.array(fc.record({ has: fc.array(fc.nat(11)), free: fc.boolean() }), { maxLength: 4 });
    fc.assert(
      fc.property(
        ...([fc.uniqueArray(fc.nat(11), { minLength: 1 }), peers, fc.boolean(), fc.boolean(), fc.nat(4)] as const),
        (wanted, others, seedFree, overdue, place) => {
          const sources = [
            { ...seed, free: seedFree },
            ...others.map(({ has, free }, index) => source(`p${index}`, has, { free })),
          ];
          const receivers = others.map((_, index) => `p${index}`);
          receivers.splice(place, 0, 'self');
          const impatience = { starved: overdue, impatient: false, overdue };
          const state = { wanted, blocks: 12, here: 0, sources, receivers, self: 'self', ...impatience };
          const pick = pickBlock({ ...state, random: Math.random });
          const from = sources.find(({ name }) => name === pick?.from);
          if (pick)
            expect([wanted.includes(pick.block), from!.free, from!.has(pick.block)]).toEqual([true, true, true]);
          const possible = sources.some(({ free, has }) => free && wanted.some(has));
          if (overdue) expect(pick !== undefined).toBe(possible);
        },
      ),
    );
  });

  it('is the first that the one above has, and of the origin for who has nobody above', () => {
    expect(patient([seed, source('a', [0, 1, 2, 3]), source('b', [1, 2])])).toEqual({ block: 1, from: 'b' });
    expect(patient([seed, source('a', [0]), source('b', [])])).toBeUndefined();
    expect(patient([seed, source('b', []), source('c', [0])], { self: 'a' })).toEqual({ block: 0, from: 'seed' });
    const busy = source('b', [0], { free: false });
    expect(patient([seed, source('a', [0]), busy])).toBeUndefined();
  });

  it('comes past one that is not there, from the one above that', () => {
    const away = source('b', [], { there: false });
    expect(patient([seed, source('a', [0]), away])).toEqual({ block: 0, from: 'a' });
    expect(patient([seed, source('a', [], { there: false }), away])).toEqual({ block: 0, from: 'seed' });
  });

  it('comes by way of another receiver in either of two trees', () => {
    const few = { blocks: 8, wanted: [0, 1], receivers: ['a', 'b', 'c', 'd'] };
    // Even: a, then c and b, then d. Odd: b, then d and a, then c.
    expect(patient([seed, source('a', [0, 1]), source('d', [1])], few)).toEqual({ block: 0, from: 'a' });
    expect(patient([seed, source('a', [1]), source('d', [0, 1])], few)).toEqual({ block: 1, from: 'd' });
    expect(patient([seed, source('a', [1]), source('d', [0])], few)).toBeUndefined();
  });

  it('is waited for while somebody above is at work on it, but not for ever', () => {
    const fetching = source('a', [], { fetching: new Set([0]) });
    const b = source('b', []);
    expect(impatient([seed, fetching, b])).toBeUndefined();
    expect(impatient([seed, source('a', [5]), b])).toBeUndefined();
    expect(impatient([seed, source('a', []), b])?.from).toBe('seed');
    expect(impatient([seed, source('a', [5]), b], { overdue: true })).toEqual({ block: 5, from: 'a' });
  });

  it('is taken from anybody, the rarest first, by who has fallen far behind, and when the origin is gone', () => {
    const a = source('a', many.slice(0, 24));
    const next = source('d', many.slice(1, 24));
    const four = { receivers: ['a', 'b', 'c', 'd'] };
    expect(patient([seed, a, source('b', []), next], four)).toEqual({ block: 0, from: 'a' });
    expect(patient([seed, a, source('b', []), next], { ...four, here: 1 })).toBeUndefined();
    expect(patient([source('a', [7]), source('b', []), source('d', [])], four)).toEqual({ block: 7, from: 'a' });
  });

  it('comes from the origin when those above have far more and hand on next to nothing', () => {
    const busy = source('b', many.slice(0, 24), { free: false });
    expect(patient([seed, source('a', []), busy])).toBeUndefined();
    expect(patient([seed, source('a', []), busy], { starved: true })?.from).toBe('seed');
    const near = source('b', many.slice(0, 23), { free: false });
    expect(patient([seed, source('a', []), near], { starved: true })).toBeUndefined();
    expect(patient([seed, source('a', []), near], { starved: true, overdue: true })?.from).toBe('seed');
  });

  it('is not what the head of a long chain has, however far ahead that is of its end', () => {
    const names = Array.from('abcdefghijkl');
    const long = { receivers: names, self: 'l', starved: true };
    const above = ['h', 'i', 'j', 'k'].map((name) => source(name, []));
    expect(patient([seed, source('a', many), ...above], long)).toBeUndefined();
    expect(patient([seed, source('a', many), ...above.slice(1)], long)).toEqual({ block: 0, from: 'a' });
  });

  it('comes past one that began late, until that has caught up', () => {
    const half = { here: 30, wanted: many.slice(30) };
    const a = source('a', many);
    expect(patient([seed, a, source('b', [0])], half)).toEqual({ block: 30, from: 'a' });
    expect(patient([seed, a, source('b', many.slice(0, 7))], half)).toBeUndefined();
    expect(patient([seed, a, source('b', many.slice(0, 31))], half)).toEqual({ block: 30, from: 'b' });
  });
});
