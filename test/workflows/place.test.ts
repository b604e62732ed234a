/** Which node a step runs on, in which order, and what a lost one costs the steps after it. */
import { ApplicationFailure } from '@temporalio/common';
import { expect, it } from 'vitest';
import { createTurns, oncePerStorage, oneOfEach, onFirst, toldAtATime } from '../../workflows/place.js';
import { askedOf, oneBringsEach, swarmsOf } from '../../workflows/restore.js';
import type { NodeInfo } from '../../workflows/contract.js';

const nodes = ['n1', 'n2', 'n3'].map((name) => ({ name }) as NodeInfo);
const gone = (node: string) =>
  ApplicationFailure.create({ type: 'NodeLost', message: `${node} is lost`, details: [{ node }] });

/** A step that notes where it was tried; nodes of `lost` do not answer. */
function stepOn(lost: string[], tried: string[]) {
  return ({ name }: NodeInfo): Promise<string> => {
    tried.push(name);
    return lost.includes(name) ? Promise.reject(gone(name)) : Promise.resolve(name);
  };
}

it('passes a step on from a lost node to the next', async () => {
  const tried: string[] = [];
  expect(await onFirst(nodes, stepOn(['n1', 'n2'], tried))).toBe('n3');
  expect(tried).toEqual(['n1', 'n2', 'n3']);
});

it('asks a node that another step found lost only when no other is left', async () => {
  const lost = new Set<string>();
  await onFirst(nodes, stepOn(['n1'], []), lost);
  const tried: string[] = [];
  expect(await onFirst(nodes, stepOn(['n1'], tried), lost)).toBe('n2');
  expect(tried).toEqual(['n2']);
  const back: string[] = [];
  expect(await onFirst(nodes, stepOn(['n2', 'n3'], back), lost)).toBe('n1');
  expect(back).toEqual(['n2', 'n3', 'n1']);
});

it('fails with the last node, and at once with an error that is not a loss', async () => {
  await expect(onFirst(nodes, stepOn(['n1', 'n2', 'n3'], []))).rejects.toThrow('n3 is lost');
  const tried: string[] = [];
  const broken = (node: NodeInfo) => (tried.push(node.name), Promise.reject(new Error('disk full')));
  await expect(onFirst(nodes, broken)).rejects.toThrow('disk full');
  expect(tried).toEqual(['n1']);
});

/** Steps that end when they are told to, by name. */
function held() {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const step = ({ name }: NodeInfo): Promise<void> => {
    begun.push(name);
    return new Promise((resolve) => ends.set(name, resolve));
  };
  const end = async (name: string) => {
    ends.get(name)!();
    await new Promise(setImmediate);
  };
  return { begun, step, end };
}

it('tells many nodes of each other in several tasks: the commands of one fit in 4 MB', async () => {
  const begun: string[] = [];
  const all = Array.from({ length: 7 }, (_, index) => ({ name: `n${index}` }) as NodeInfo);
  const step = ({ name }: NodeInfo) => Promise.resolve(void begun.push(name));
  const rounds: number[] = [];
  const between = () => Promise.resolve(void rounds.push(begun.length));
  await oncePerStorage(all, undefined, step, { atATime: 3, between });
  expect([rounds, begun.length]).toEqual([[3, 6], 7]);
  for (const peers of [2, 64, 256, 1000]) {
    const peer = { name: 'node-with-a-long-name-0001', url: 'https://10.100.100.101:65535', token: 'x'.repeat(43) };
    const told = JSON.stringify({ from: [], beside: Array.from({ length: peers }, () => peer) }).length + 1000;
    expect(told * toldAtATime(peers)).toBeLessThan(2 ** 21);
  }
});

it('lets nodes that load the same shards pass them on to each other, and no others', () => {
  const loads = [['a', 'b'], ['a', 'b'], ['c'], [], ['a', 'b'], []];
  expect(swarmsOf(loads)).toEqual([[0, 1, 4], [0, 1, 4], [], [], [0, 1, 4], []]);
  const large = swarmsOf(Array.from({ length: 130 }, () => ['a']));
  expect(large.map(({ length }) => length).filter((length) => length !== 64)).toEqual([2, 2]);
  expect(large[129]).toEqual([128, 129]);
});

it('tells a node of some of the many that have a shard, of itself first, and each node of others', () => {
  const from = Array.from({ length: 64 }, (_, index) => ({ name: `n${index}`, url: 'http://n' }));
  const names = (node: string, rank: number) => askedOf(from, node, rank).map(({ name }) => name);
  expect(names('n5', 5)[0]).toBe('n5');
  for (const rank of [0, 5, 63]) expect(new Set(names(`n${rank}`, rank)).size).toBe(16);
  const asked = from.flatMap(({ name }, rank) => names(name, rank).slice(1));
  const timesOf = (node: string) => asked.filter((name) => name === node).length;
  expect(Math.max(...from.map(({ name }) => timesOf(name)))).toBeLessThanOrEqual(2 * 16);
  expect(askedOf(from.slice(0, 16), 'n99', 3)).toEqual(from.slice(0, 16));
});

it('tells a node of many that share one storage, where all bytes may be damaged, and of whoever has its own', () => {
  const from = Array.from({ length: 40 }, (_, index) => ({ name: `n${index}`, url: 'http://n' }));
  const island = from.slice(0, 39).map(({ name }) => name);
  for (const rank of island.keys()) {
    const asked = askedOf(from, `n${rank}`, rank, [island, ['n39']]).map(({ name }) => name);
    expect(asked).toContain('n39');
    expect([asked[0], new Set(asked).size]).toEqual([`n${rank}`, 16]);
  }
});

it('brings to each storage once: the others that share it are asked when it is there', async () => {
  const { begun, step, end } = held();
  const all = ['n1', 'n2', 'n3', 'n4', 'n5'].map((name) => ({ name }) as NodeInfo);
  const done = oncePerStorage(all, [['n1', 'n3', 'n4'], ['n2'], ['n5']], step);
  expect(begun).toEqual(['n1', 'n2', 'n5']);
  await end('n2');
  expect(begun).toHaveLength(3);
  await end('n1');
  expect(begun.slice(3)).toEqual(['n3', 'n4']);
  for (const name of ['n3', 'n4', 'n5']) await end(name);
  await done;
});

it('asks all at once where none share, or all do', async () => {
  const { begun, step, end } = held();
  const done = oncePerStorage(nodes, undefined, step);
  expect(begun).toEqual(['n1', 'n2', 'n3']);
  for (const { name } of nodes) await end(name);
  await done;
});

it('takes one node of each storage, where one is to remove what lies there', () => {
  expect(oneOfEach(nodes, [['n3', 'n2'], ['n1']]).map(({ name }) => name)).toEqual(['n1', 'n2']);
  expect(oneOfEach(nodes, undefined)).toEqual(nodes);
});

it('lets nodes of one storage write a directory in turn, also after one that failed, and others beside them', async () => {
  const turns = createTurns([['n1', 'n2'], ['n3']]);
  const begun: string[] = [];
  const fails = new Map<string, () => void>();
  const write = (node: NodeInfo, dir: string) =>
    turns(node, dir, () => {
      begun.push(`${node.name} ${dir}`);
      return new Promise((_, reject) => fails.set(node.name, () => reject(new Error('lost'))));
    });
  const [first, second, third] = nodes as [NodeInfo, NodeInfo, NodeInfo];
  const failing = expect(write(first, 'a')).rejects.toThrow('lost');
  void write(second, 'a');
  void write(third, 'a');
  await Promise.resolve();
  expect(begun).toEqual(['n1 a', 'n3 a']);
  fails.get('n1')!();
  await failing;
  await new Promise(setImmediate);
  expect(begun).toEqual(['n1 a', 'n3 a', 'n2 a']);
});

it('has a checkpoint shard that several load brought once to each storage, the work shared out', () => {
  const loads = [
    { node: 'n1', shards: ['a', 'b'] },
    { node: 'n2', shards: ['a', 'b'] },
    { node: 'n3', shards: ['a', 'c'] },
  ];
  expect(oneBringsEach(loads, [['n1', 'n2'], ['n3']])).toEqual({
    first: [['a'], ['b'], ['a', 'c']],
    then: [['b'], ['a'], []],
  });
  expect(oneBringsEach(loads)).toEqual({ first: loads.map(({ shards }) => shards), then: [[], [], []] });
});
