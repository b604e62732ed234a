/** Who shares storage with whom, from what each node found of what all had left. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  contradiction,
  describePartly,
  groupsByName,
  groupsOf,
  islandsOf,
  partlyShared,
  storageOf,
  withNewcomer,
  type Groups,
  type Islands,
  type Seen,
} from '../../workflows/islands.js';

const sights = (seen: Record<string, Seen>) => Object.entries(seen).map(([name, seen]) => ({ name, seen }));
const all = (groups: Groups): Islands => ({ datasets: groups, models: groups, series: groups });

describe('nodes are grouped by the storage they have', () => {
  it.each<[string, Record<string, Seen>, Groups]>([
    ['all on one', { a: 'all', b: 'all', c: 'all' }, [['a', 'b', 'c']]],
    ['each on its own', { a: ['a'], b: ['b'], c: ['c'] }, [['a'], ['b'], ['c']]],
    ['one alone', { a: 'all' }, [['a']]],
    ['two on one, one alone', { a: ['a', 'c'], b: ['b'], c: ['a', 'c'] }, [['a', 'c'], ['b']]],
    ['names of nodes that nobody asked about', { a: ['a', 'x'], b: ['b'] }, [['a'], ['b']]],
  ])('%s', (_, seen, groups) => {
    expect(groupsOf('series', sights(seen))).toEqual(groups);
  });

  it('whatever the groups are', () => {
    const placed = fc.array(fc.nat({ max: 4 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(placed, (storages) => {
        const on = (storage: number) => storages.flatMap((other, index) => (other === storage ? [`n${index}`] : []));
        const seen = storages.map((storage, index) => ({ name: `n${index}`, seen: on(storage) }));
        const groups = groupsOf('models', seen) as Groups;
        expect(groups).toEqual([...new Set(storages)].map(on));
        const storage = storageOf(groups);
        const firstOn = storages.map((here) => `n${storages.indexOf(here)}`);
        expect(storages.map((_, index) => storage(`n${index}`))).toEqual(firstOn);
      }),
    );
  });
});

describe('before they have been asked whose probes they find, nodes are grouped by what they call their storage', () => {
  const named = (storages: (string | undefined)[]) =>
    groupsByName(storages.map((storage, index) => ({ name: `n${index}`, storage })));

  it('where some share it', () => {
    expect(named(['x', 'y', 'x'])).toEqual([['n0', 'n2'], ['n1']]);
  });

  it.each([
    ['all do', ['x', 'x', 'x']],
    ['none do', ['x', 'y', 'z']],
    ['one does not know', ['x', 'x', undefined, 'y']],
  ])('and not at all where %s', (_, storages) => {
    expect(named(storages)).toBeUndefined();
  });
});

describe('a node that comes while others train', () => {
  it.each<[string, Groups | undefined, string[], Groups]>([
    ['has a storage of its own among such', undefined, [], [['a'], ['b'], ['c'], ['d']]],
    ['has that of one of them', undefined, ['b'], [['a'], ['b', 'd'], ['c']]],
    ['has that of two', [['a', 'b'], ['c']], ['a', 'b'], [['a', 'b', 'd'], ['c']]],
    [
      'has that of the third',
      [['a', 'b'], ['c']],
      ['c'],
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    ],
    ['has another one than two have', [['a', 'b'], ['c']], [], [['a', 'b'], ['c'], ['d']]],
    ['has the one that all have', undefined, ['a', 'b', 'c'], [['a', 'b', 'c', 'd']]],
    ['finds probes of nodes that are gone', undefined, ['x'], [['a'], ['b'], ['c'], ['d']]],
    [
      'was there before, on another one',
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
      ['a', 'b'],
      [['a', 'b', 'd'], ['c']],
    ],
    ['was alone before, and has the one that all others have', [['a', 'b', 'c'], ['d']], ['a'], [['a', 'b', 'c', 'd']]],
  ])('%s', (_, groups, beside, expected) => {
    expect(withNewcomer(groups, ['a', 'b', 'c'], { name: 'd', beside })).toEqual(expected);
  });
});

describe('answers that fit no storage name the nodes and what each found', () => {
  it.each<[string, Record<string, Seen>, string]>([
    [
      'one finds the other, and not the other way round',
      { a: ['a', 'b'], b: ['b'] },
      'a finds what b wrote, and b does not find what a wrote',
    ],
    [
      'the later one finds the earlier',
      { a: ['a'], b: ['a', 'b'] },
      'b finds what a wrote, and a does not find what b wrote',
    ],
    ['one that finds all', { a: 'all', b: ['b'] }, 'a finds what b wrote, and b does not find what a wrote'],
    [
      'two that share with a third, and not with each other',
      { a: ['a', 'b'], b: ['a', 'b', 'c'], c: ['b', 'c'] },
      'b finds what a and c wrote, and a does not find what c wrote',
    ],
    ['what it wrote itself', { a: ['a'], b: [] }, 'b does not find what it wrote itself'],
  ])('%s', (_, seen, problem) => {
    expect(groupsOf('series', sights(seen))).toEqual({ problem: `in series ${problem}` });
  });

  it('in whichever directory', () => {
    const nodes = ['a', 'b'].map((name) => ({ name, sees: { datasets: [name], models: [name], series: ['a'] } }));
    expect(islandsOf(nodes)).toEqual({ problem: 'in series b does not find what it wrote itself' });
  });
});

describe('what is shared by some', () => {
  const mixed = { ...all([['a'], ['b'], ['c']]), series: [['a', 'b'], ['c']], models: [['a', 'b', 'c']] };

  it('is told apart from what all share, and what none do, directory by directory', () => {
    expect(partlyShared(mixed)).toEqual({ series: [['a', 'b'], ['c']] });
    expect(partlyShared(all([['a', 'b']]))).toEqual({});
    expect(partlyShared(all([['a'], ['b']]))).toEqual({});
  });

  it('is said on the page of the run, in a line that does not grow with the nodes', () => {
    const told = 'in series a, b find what each other wrote, and nothing of others; c finds only what it wrote itself';
    expect(describePartly(partlyShared(mixed))).toBe(told);
    expect(describePartly({})).toBeUndefined();
    const many = Array.from({ length: 600 }, (_, pair) => [`node-${2 * pair}`, `node-${2 * pair + 1}`]);
    expect(describePartly({ series: many })!.length).toBeLessThan(400);
  });
});

describe('a run file that', () => {
  const some: Islands = { ...all([['a', 'b', 'c']]), series: [['a', 'b'], ['c']] };

  it('calls the storage shared is contradicted where one directory of one node is its own', () => {
    expect(contradiction(true, some)).toBe(
      'in series a, b find what each other wrote, and nothing of others; c finds only what it wrote itself',
    );
    expect(contradiction(true, all([['a', 'b', 'c']]))).toBeUndefined();
  });

  it('calls it not shared is contradicted where two nodes find what the other wrote', () => {
    expect(contradiction(false, some)).toContain('in datasets a, b, c find what each other wrote. And in models');
    expect(contradiction(false, all([['a'], ['b']]))).toBeUndefined();
  });

  it('has it measured is right', () => {
    expect(contradiction('auto', some)).toBeUndefined();
  });
});
