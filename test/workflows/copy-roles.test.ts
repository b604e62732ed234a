/** Who keeps copies of what, as spares go and come. */
import { describe, expect, it } from 'vitest';
import { planCopies } from '../../workflows/checkpoints.js';
import { peerOf, type NodeInfo } from '../../workflows/contract.js';
import { createCopyRoles, type CopyRoles, type CopyTask } from '../../workflows/copy-roles.js';

const info = (name: string): NodeInfo => ({ name, address: name, port: 1, devices: 1, profile: 'cpu' });
const taskOf = (roles: CopyRoles, name: string): CopyTask => roles.tasks().find((task) => task.name === name)!;
const kept = (roles: CopyRoles): string[] =>
  Object.values(roles.kept().copies)
    .flatMap((copies) => copies.map(({ shard }) => shard))
    .sort();

/** Each node writes the shard of its name. */
function gang(names: string[], spareNames: string[], replicas = 1, storages?: string[][]): CopyRoles {
  const [nodes, spares] = [names.map(info), spareNames.map(info)];
  const places = names.map((name, nodeRank) => ({ nodeRank, loads: [name], writes: [name] }));
  const copies = planCopies(places as never, nodes.map(peerOf), spares.map(peerOf), replicas, storages);
  return createCopyRoles({ nodes, spares, writes: names.map((name) => [name]), copies, ...(storages && { storages }) });
}

describe('of a spare that is lost', () => {
  it('others keep the copies, and a member that cannot keep its own all the same', () => {
    const roles = gang(['n0', 'n1', 'n2'], ['x']);
    const [handed] = roles.lose(taskOf(roles, 'x'), { isGone: true });
    expect(kept(roles)).toEqual(['n0', 'n1', 'n2']);
    const again = roles.lose(handed!, { isGone: false });
    expect(kept(roles)).toEqual(['n0', 'n1', 'n2']);
    expect(again[0]!.node.name).not.toBe(handed!.node.name);
    expect(roles.isSpare('x')).toBe(true);
    expect(roles.kept().spares).toEqual([]);
  });

  it('nobody keeps a copy twice on one storage, nor one who could not keep it before', () => {
    const storages = [['n0', 'n2'], ['n1', 'x'], ['y']];
    const roles = gang(['n0', 'n1', 'n2'], ['x', 'y'], 2, storages);
    const [handed] = roles.lose(taskOf(roles, 'x'), { isGone: true });
    expect(handed!.name).toBe('n1 for x');
    roles.lose(handed!, { isGone: false });
    roles.gain({ node: info('x'), replicas: 2, after: 0, beside: ['n1'] });
    const both = () => Object.entries(roles.kept().copies).filter(([name]) => ['n1', 'x'].includes(name));
    const shards = () => both().flatMap(([, copies]) => copies.map(({ shard }) => shard));
    for (const name of ['y', 'x']) {
      roles.lose(taskOf(roles, name), { isGone: false });
      expect(shards()).toEqual([...new Set(shards())]);
    }
    roles.gain({ node: info('y'), replicas: 2, after: 0, beside: [] });
    expect(roles.tasks().filter(({ name, copies }) => name === 'y' && copies.length > 0)).toEqual([]);
  });

  it('nobody keeps the copies where nobody is left, until another comes', () => {
    const roles = gang(['n0'], ['x']);
    expect(roles.lose(taskOf(roles, 'x'), { isGone: true })).toEqual([]);
    expect(roles.uncopied()).toEqual({ alone: ['n0'], less: [] });
    expect(roles.gain({ node: info('y'), replicas: 1, after: 7, beside: [] })).toMatchObject({ name: 'y', after: 7 });
    expect(roles.uncopied()).toEqual({ alone: [], less: [] });
  });

  it('one of two copies is lacking, and not both', () => {
    const roles = gang(['n0'], ['x', 'y'], 2);
    roles.lose(taskOf(roles, 'x'), { isGone: true });
    expect(roles.uncopied()).toEqual({ alone: [], less: ['n0'] });
    roles.lose(taskOf(roles, 'y'), { isGone: true });
    expect(roles.uncopied()).toEqual({ alone: ['n0'], less: [] });
    roles.gain({ node: info('z'), replicas: 2, after: 0, beside: [] });
    expect(roles.uncopied()).toEqual({ alone: [], less: ['n0'] });
    roles.gain({ node: info('x'), replicas: 2, after: 0, beside: [] });
    expect(roles.uncopied()).toEqual({ alone: [], less: [] });
    expect(roles.tasks().map(({ name }) => name)).toEqual(['n0', 'z', 'x']);
  });
});

describe('of a spare that comes', () => {
  it('nothing is asked that it could not keep before, and what it lost with its machine is', () => {
    const full = gang(['n0'], ['x']);
    full.lose(taskOf(full, 'x'), { isGone: false });
    expect(full.gain({ node: info('x'), replicas: 1, after: 0, beside: [] })).toBeUndefined();
    expect(full.uncopied().alone).toEqual(['n0']);
    expect(full.gain({ node: info('y'), replicas: 1, after: 0, beside: [] })?.copies).toHaveLength(1);
    const switchedOff = gang(['n0'], ['x']);
    switchedOff.lose(taskOf(switchedOff, 'x'), { isGone: true });
    expect(switchedOff.gain({ node: info('x'), replicas: 1, after: 0, beside: [] })?.copies).toHaveLength(1);
  });

  it('the copy is none where it is on the storage of the writer, which is remembered', () => {
    const roles = gang(['n0'], []);
    expect(roles.gain({ node: info('x'), replicas: 1, after: 0, beside: ['n0'] })).toBeUndefined();
    expect(roles.gain({ node: info('y'), replicas: 1, after: 0, beside: [] })?.copies).toHaveLength(1);
    expect(roles.kept().storages).toEqual([['n0', 'x'], ['y']]);
  });

  it('nothing is asked where every copy is there, nor twice', () => {
    const roles = gang(['n0', 'n1'], []);
    expect(roles.gain({ node: info('x'), replicas: 1, after: 0, beside: [] })).toBeUndefined();
    expect(roles.gain({ node: info('x'), replicas: 2, after: 0, beside: [] })).toBeUndefined();
  });
});
