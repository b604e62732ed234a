/** Which saves that nobody has sealed may be: only those that are proven whole, of one launch. */
import { describe, expect, it } from 'vitest';
import type { SavesFound } from '../../workflows/contract.js';
import { sealable, setAside, type NodeSaves } from '../../workflows/unsealed.js';

const SHARDS = ['a', 'b'];
type Launch = NonNullable<SavesFound['launch']>;
const unsealed = (shard: string, ...iterations: number[]) =>
  iterations.map((iteration) => ({ iteration, shards: [shard] }));

/** A node with what its last launch left, and sealed shards as `[iteration, shard, token]`. */
const node = (name: string, launch?: Launch, ...sealed: [number, string, number][]): NodeSaves => ({
  peer: { name, url: `http://${name}` },
  checkpoints: sealed.map(([iteration, shard, token]) => ({
    iteration,
    shards: [{ shard, digest: `${shard}@${token}`, bytes: 1, token }],
  })),
  saves: {
    iterations: [...(launch?.unsealed ?? []), ...sealed.map(([iteration]) => ({ iteration }))].map((x) => x.iteration),
    ...(launch && { launch }),
  },
});
const first = (more: Partial<Launch> = {}): Launch => ({
  token: 7,
  tracked: 107,
  unsealed: unsealed('a', 100, 107),
  ...more,
});
const second = (more: Partial<Launch> = {}): Launch => ({ token: 7, unsealed: unsealed('b', 100, 107), ...more });

describe('saves that nobody has sealed', () => {
  it('may be as far as the tracker of their rank 0 says, the newest first', () => {
    expect(sealable([node('n1', first()), node('n2', second())], SHARDS)).toEqual([
      { iteration: 107, token: 7, nodes: ['n1', 'n2'] },
      { iteration: 100, token: 7, nodes: ['n1', 'n2'] },
    ]);
  });

  it('may not be where they are newer than that: their save was interrupted', () => {
    const found = [
      node('n1', first({ unsealed: unsealed('a', 107, 110) })),
      node('n2', second({ unsealed: unsealed('b', 107, 110) })),
    ];
    expect(sealable(found, SHARDS).map(({ iteration }) => iteration)).toEqual([107]);
  });

  it('may be without that node where a copy of its sealed shard is, which proves the same', () => {
    const found = [node('n2', second({ unsealed: unsealed('b', 100, 107) }), [100, 'a', 7])];
    expect(sealable(found, SHARDS)).toEqual([{ iteration: 100, token: 7, nodes: ['n2'] }]);
  });

  it('may not be without anything that proves them', () => {
    expect(sealable([node('n1', first({ tracked: undefined as never })), node('n2', second())], SHARDS)).toEqual([]);
  });

  it('are no checkpoint together with what another launch saved under the same number', () => {
    expect(sealable([node('n1', first()), node('n2', second({ token: 6 }))], SHARDS)).toEqual([]);
    expect(sealable([node('n1', first()), node('n2', undefined, [107, 'b', 6])], SHARDS)).toEqual([]);
  });

  it('may not be on a machine that has restarted', () => {
    expect(sealable([node('n1', first()), node('n2', second({ restarted: true }))], SHARDS)).toEqual([]);
  });

  it('are left where a newer checkpoint is complete, and where a part is nowhere', () => {
    const complete = node('n3', undefined, [200, 'a', 8], [200, 'b', 8]);
    expect(sealable([node('n1', first()), node('n2', second()), complete], SHARDS)).toEqual([]);
    expect(sealable([node('n1', first())], SHARDS)).toEqual([]);
  });
});

describe('checkpoints that a failing gang made', () => {
  /** Stage a's rank died on n1; its replica on n2 wrote both, one of them where another had been before. */
  const dumped = (...parts: { iteration: number; shards: string[]; isNamed?: true }[]): Partial<Launch> => ({
    ...{ unsealed: [], dumped: parts },
  });
  const named = (shards: string[], more: Partial<Launch> = {}): Launch => ({
    ...second(dumped({ iteration: 112, shards, isNamed: true })),
    ...more,
  });
  const beganRight = (launch: Launch): Launch => ({ ...launch, beganRight: true });

  it('are whole where one rank has named its part, and nodes have the others as they were written', () => {
    const n1 = beganRight(second(dumped({ iteration: 112, shards: ['a'] })));
    expect(sealable([node('n1', n1), node('n2', named(['b']))], SHARDS)).toEqual([
      { iteration: 112, token: 7, nodes: ['n1', 'n2'], dumped: { n1: ['a'], n2: ['b'] } },
    ]);
  });

  it('are whole on one node that named all of them, unless that is rank 0’s, where any save looks so', () => {
    const n1 = beganRight(second(dumped()));
    const on = (more: object) => second(dumped({ iteration: 112, shards: ['a', 'b'], isNamed: true, ...more }));
    expect(sealable([node('n1', n1), node('n2', on({ isCertain: true }))], SHARDS)).toMatchObject([
      { iteration: 112, nodes: ['n2'] },
    ]);
    expect(sealable([node('n1', beganRight(on({}))), node('n2', second(dumped()))], SHARDS)).toEqual([]);
  });

  it('are not while nobody has named any: not all had written theirs', () => {
    const n1 = beganRight(second(dumped({ iteration: 112, shards: ['a'] })));
    const n2 = second(dumped({ iteration: 112, shards: ['b'] }));
    expect(sealable([node('n1', n1), node('n2', n2)], SHARDS)).toEqual([]);
  });

  it('are not where a part is nowhere, of another launch, or on a machine that restarted', () => {
    const of = (more: Partial<Launch>) => beganRight(second({ ...dumped({ iteration: 112, shards: ['a'] }), ...more }));
    for (const n1 of [of(dumped({ iteration: 112, shards: [] })), of({ token: 6 }), of({ restarted: true })])
      expect(sealable([node('n1', n1), node('n2', named(['b']))], SHARDS)).toEqual([]);
  });

  it('are not used where nothing says that the launch began from what was planned', () => {
    const n1 = second(dumped({ iteration: 112, shards: ['a'] }));
    expect(sealable([node('n1', n1), node('n2', named(['b']))], SHARDS)).toEqual([]);
    expect(sealable([node('n1', n1, [100, 'a', 7]), node('n2', named(['b']))], SHARDS)).toHaveLength(1);
  });
});

describe('what is set aside', () => {
  it('is told with its nodes, and why it is not used where that is known', () => {
    const found = [node('n1', first()), node('n2', second({ restarted: true }))];
    expect(setAside(found, 0)).toBe(
      'iteration 107 (and 1 older) on n1, n2 is set aside: not all of its parts are here and proven; the machine of n2 restarted before what it saved was proven',
    );
    expect(setAside(found, 100)).toContain('iteration 107 on n1, n2 is set aside: not all');
    expect(setAside(found, 107)).toBeUndefined();
  });
});
