/** Which checkpoint may be resumed from, and that its copies outlive any one node. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  copiesLacking,
  newestComplete,
  planCopies,
  shareOut,
  type CopyPlan,
  type NodeListing,
} from '../../workflows/checkpoints.js';
import { placeNodes } from '../../workflows/topology.js';

const peer = (name: string) => ({ name, url: `http://${name}` });
const held = (node: string, ...checkpoints: [iteration: number, ...shards: string[]][]): NodeListing => ({
  peer: peer(node),
  checkpoints: checkpoints.map(([iteration, ...shards]) => ({
    iteration,
    shards: shards.map((text) => {
      const [shard, digest = 'd', token] = text.split(/[=@]/) as [string, string?, string?];
      return { shard, digest, bytes: 1, ...(token && { token: Number(token) }) };
    }),
  })),
});

describe('the newest complete checkpoint', () => {
  it('may be spread over the nodes', () => {
    const found = newestComplete([held('n1', [10, 'a']), held('n2', [10, 'b'])], ['a', 'b']);
    expect(found?.iteration).toBe(10);
    expect(found?.shards['b']!.from).toEqual([peer('n2')]);
  });

  it('is an older one where the newest lacks a shard', () => {
    expect(newestComplete([held('n1', [10, 'a'], [5, 'a', 'b'])], ['a', 'b'])?.iteration).toBe(5);
  });

  it('is none where no iteration has all shards', () => {
    expect(newestComplete([held('n1', [10, 'a'], [5, 'b'])], ['a', 'b'])).toBeUndefined();
    expect(newestComplete([], ['a'])).toBeUndefined();
  });

  it('is not one of which a shard was found damaged', () => {
    const listings = [held('n1', [10, 'a'], [5, 'a'])];
    expect(newestComplete(listings, ['a'], [{ iteration: 10, shard: 'a', digest: 'd' }])?.iteration).toBe(5);
  });

  it('takes another copy of a shard in the place of one that was found damaged', () => {
    const listings = [held('n1', [10, 'a=x']), held('n2', [10, 'a=y']), held('n3', [10, 'a=x'])];
    const found = newestComplete(listings, ['a'], [{ iteration: 10, shard: 'a', digest: 'x' }]);
    expect(found?.shards['a']).toMatchObject({ digest: 'y', from: [peer('n2')] });
  });

  it('never mixes what two launches saved of one iteration, though more nodes hold the older half', () => {
    const older = [held('n1', [10, 'a=x@3']), held('n2', [10, 'a=x@3'])];
    const newer = [held('n3', [10, 'a=y@5', 'b=z@5'])];
    const found = newestComplete([...older, ...newer], ['a', 'b']);
    expect([found?.shards['a']?.digest, found?.shards['b']?.digest]).toEqual(['y', 'z']);
    expect(newestComplete([...older, held('n3', [10, 'b=z@5'])], ['a', 'b'])).toBeUndefined();
  });

  it('takes the bytes that more nodes agree on, and only from these', () => {
    const found = newestComplete([held('n1', [5, 'a=x']), held('n2', [5, 'a=y']), held('n3', [5, 'a=y'])], ['a']);
    expect(found?.shards['a']).toMatchObject({ digest: 'y', from: [peer('n2'), peer('n3')] });
  });
});

describe('copies', () => {
  it('of the demo: one stage goes to the spare, the other to the other member', () => {
    const places = placeNodes({ tp: 1, pp: 2, cp: 1, ep: 1 }, 2, 1);
    expect(planCopies(places, [peer('n1'), peer('n2')], [peer('n3')], 1)).toEqual({
      n1: [{ shard: 'mp_rank_00_001', from: peer('n2') }],
      n2: [],
      n3: [{ shard: 'mp_rank_00_000', from: peer('n1') }],
    });
  });

  it('leave every shard somewhere after the loss of any `replicas` nodes', () => {
    const cases = fc.record({
      pp: fc.constantFrom(1, 2, 4),
      dp: fc.integer({ min: 1, max: 3 }),
      spares: fc.integer({ min: 0, max: 3 }),
      replicas: fc.integer({ min: 0, max: 3 }),
      lost: fc.array(fc.nat(), { minLength: 3, maxLength: 3 }),
    });
    fc.assert(
      fc.property(cases, ({ pp, dp, spares, replicas, lost }) => {
        const nodes = pp * dp;
        fc.pre(replicas < nodes + spares);
        const members = Array.from({ length: nodes }, (_, index) => peer(`m${index}`));
        const extra = Array.from({ length: spares }, (_, index) => peer(`s${index}`));
        const places = placeNodes({ tp: 1, pp, cp: 1, ep: 1 }, nodes, 1);
        const plan = planCopies(places, members, extra, replicas);
        const all = [...members, ...extra];
        const gone = new Set(lost.slice(0, replicas).map((pick) => all[pick % all.length]!.name));
        for (const { nodeRank, writes } of places)
          for (const shard of writes) {
            const homes = [
              members[nodeRank]!.name,
              ...all.map(({ name }) => name).filter((name) => plan[name]!.some((copy) => copy.shard === shard)),
            ];
            expect(new Set(homes).size).toBe(replicas + 1);
            expect(homes.some((home) => !gone.has(home))).toBe(true);
          }
      }),
    );
  });
});

describe('copies where some nodes share storage', () => {
  it('go to another storage: the one that shares with the writer has the shard already', () => {
    const places = placeNodes({ tp: 1, pp: 3, cp: 1, ep: 1 }, 3, 1);
    const members = ['n1', 'n2', 'n3'].map(peer);
    const copies = planCopies(places, members, [], 1, [['n1', 'n2'], ['n3']]);
    expect(copies).toEqual({
      n1: [{ shard: 'mp_rank_00_002', from: peer('n3') }],
      n2: [],
      n3: [
        { shard: 'mp_rank_00_000', from: peer('n1') },
        { shard: 'mp_rank_00_001', from: peer('n2') },
      ],
    });
  });

  it('are on as many storages as asked for, or on all, and never two on one', () => {
    const cases = fc.record({
      storages: fc.array(fc.nat({ max: 3 }), { minLength: 2, maxLength: 8 }),
      spares: fc.integer({ min: 0, max: 3 }),
      replicas: fc.integer({ min: 0, max: 3 }),
    });
    fc.assert(
      fc.property(cases, ({ storages, spares, replicas }) => {
        fc.pre(spares < storages.length);
        const all = storages.map((_, index) => peer(`n${index}`));
        const members = all.slice(0, all.length - spares);
        const groups = [...new Set(storages)].map((storage) =>
          all.filter((_, index) => storages[index] === storage).map(({ name }) => name),
        );
        const places = placeNodes({ tp: 1, pp: members.length, cp: 1, ep: 1 }, members.length, 1);
        const plan = planCopies(places, members, all.slice(members.length), replicas, groups);
        for (const { nodeRank, writes } of places)
          for (const shard of writes) {
            const copying = all.filter(({ name }) => plan[name]!.some((copy) => copy.shard === shard));
            const on = [members[nodeRank]!, ...copying].map(({ name }) => groups.findIndex((g) => g.includes(name)));
            expect(on).toHaveLength(Math.min(replicas, groups.length - 1) + 1);
            expect(new Set(on).size).toBe(on.length);
          }
        const apart = all.map(({ name }) => [name]);
        const plain = planCopies(places, members, all.slice(members.length), replicas);
        expect(planCopies(places, members, all.slice(members.length), replicas, apart)).toEqual(plain);
      }),
    );
  });
});

describe('the copies of a lost node', () => {
  const copy = (shard: string, from: string) => ({ shard, from: peer(from) });

  it('go to nodes that neither wrote the shard nor have a copy of it, evenly', () => {
    const plan: CopyPlan = { n1: [copy('b', 'n2')], n3: [copy('c', 'n1')] };
    const candidates = ['n1', 'n2', 'n3', 'n4'].map(peer);
    expect(shareOut([copy('a', 'n1'), copy('b', 'n2')], plan, candidates)).toEqual({
      n2: [copy('a', 'n1')],
      n4: [copy('b', 'n2')],
    });
  });

  it('go to a storage where nobody wrote the shard nor has a copy of it', () => {
    const plan: CopyPlan = { n2: [copy('a', 'n1')] };
    const candidates = ['n1', 'n2', 'n3', 'n4', 'n6'].map(peer);
    const groups = [
      ['n1', 'n4'],
      ['n2', 'n3'],
      ['n5', 'n6'],
    ];
    // The lost one's own storage is there still, and somebody is to bring it what comes.
    const lost = [copy('a', 'n1'), copy('b', 'n1')];
    expect(shareOut(lost, plan, candidates, groups)).toEqual({ n6: [copy('a', 'n1')], n3: [copy('b', 'n1')] });
    // Of n2, which takes no more itself, there is a copy all the same.
    expect(shareOut([copy('a', 'n1')], plan, [peer('n3')], groups)).toEqual({});
    expect(shareOut([copy('a', 'n1')], {}, ['n4'].map(peer), groups)).toEqual({});
  });

  it('are left out where there is nobody to keep them', () => {
    expect(shareOut([copy('a', 'n1')], {}, [peer('n1')])).toEqual({});
  });
});

describe('a node that comes while others train', () => {
  const copy = (shard: string, from: string) => ({ shard, from: peer(from) });
  const written = [copy('a', 'n1'), copy('b', 'n2')];

  it.for<[what: string, plan: CopyPlan, replicas: number, groups: string[][] | undefined, copies: string[]]>([
    ['keeps what is on its writer alone', { n3: [copy('a', 'n1')] }, 1, undefined, ['b']],
    ['keeps nothing where all is kept', { n3: written }, 1, undefined, []],
    ['keeps what has fewer copies than there are to be', { n3: written, n4: [copy('a', 'n1')] }, 2, undefined, ['b']],
    ['counts two copies on one storage once', { n3: written, n4: written }, 2, [['n3', 'n4']], ['a', 'b']],
    [
      'keeps nothing that is on its own storage',
      { n3: [copy('a', 'n1')] },
      2,
      [
        ['n3', 'n5'],
        ['n2', 'n4'],
      ],
      ['b'],
    ],
    ['keeps nothing that is written on its own storage', {}, 1, [['n1', 'n5']], ['b']],
    ['keeps nothing where no copies are wanted', {}, 0, undefined, []],
  ])('%s', ([, plan, replicas, groups, copies]) => {
    const lacking = copiesLacking(peer('n5'), written, { plan, replicas, ...(groups && { groups }) });
    expect(lacking.map(({ shard }) => shard)).toEqual(copies);
  });
});
