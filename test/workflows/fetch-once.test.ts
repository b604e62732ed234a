/** What several nodes read leaves its source once, whichever of them is lost on the way. */
import { ApplicationFailure } from '@temporalio/common';
import { expect, it } from 'vitest';
import type { NodeInfo } from '../../workflows/contract.js';
import { createFetchOnce } from '../../workflows/fetch-once.js';
import type { Groups } from '../../workflows/islands.js';

const node = (name: string): NodeInfo => ({ name, address: '127.0.0.1', port: 1, devices: 1, profile: 'cpu' });
const [a, b, c] = [node('a'), node('b'), node('c')];
const nobodyGave = ApplicationFailure.create({ type: 'CommandFailed', message: 'gone', details: [{ problems: [] }] });
const lostly = (name: string) =>
  ApplicationFailure.create({ type: 'NodeLost', message: `${name} did not answer`, details: [{ node: name }] });

/** @param failing what fails, by what it is called in `did` */
function sources(failing: Record<string, Error> = {}, groups?: Groups) {
  const did: string[] = [];
  const lost = new Set<string>();
  const act = async (what: string) => {
    did.push(what);
    // As long as it takes for others to ask as well.
    await new Promise((resolve) => setTimeout(resolve, 5));
    const failed = failing[what];
    if (failed) throw failed;
  };
  const names = (nodes: NodeInfo[]) => nodes.map(({ name }) => name).join('+');
  const once = createFetchOnce({
    groups,
    fetch: async (at, dir) => (await act(`fetch to ${at.name}`), { dir, digest: 'd', files: 1, bytes: 1 }),
    copy: (at, _, from, beside) =>
      act(`copy ${names(from)} to ${at.name}${beside.length ? ` beside ${names(beside)}` : ''}`),
  });
  return { did, lost, once, bring: (at: NodeInfo) => once.bring(at, 'input', [], lost) };
}

it('is fetched to one node, and the others, which share out its blocks, have it from that one', async () => {
  const { did, bring } = sources();
  await Promise.all([bring(a), bring(b), bring(a), bring(c), bring(b)]);
  await bring(b);
  expect(did).toEqual(['fetch to a', 'copy a to b beside b+c', 'copy a to c beside b+c']);
});

it('comes from all that have it to a node that asks later', async () => {
  const { did, bring } = sources();
  for (const at of [a, b, c]) await bring(at);
  expect(did).toEqual(['fetch to a', 'copy a to b', 'copy a+b to c']);
});

it('is fetched to another node where the one that fetched it was lost meanwhile, once again', async () => {
  const { did, bring } = sources({ 'fetch to a': lostly('a') });
  const [first, ...others] = await Promise.allSettled([bring(a), bring(b), bring(c)]);
  expect(first).toMatchObject({ status: 'rejected', reason: { message: 'a did not answer' } });
  expect(others.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled']);
  expect(did).toEqual(['fetch to a', 'fetch to b', 'copy b to c beside c']);
});

it('is not asked of a node that is known to be lost, and fetched where those that have it do not answer', async () => {
  const { did, bring, lost } = sources({ 'copy b to c': nobodyGave });
  await bring(a);
  lost.add('a');
  await bring(b);
  await bring(c);
  expect(did).toEqual(['fetch to a', 'fetch to b', 'copy b to c', 'fetch to c']);
});

it('fails for all that wait where the source itself is at fault, without being asked again', async () => {
  const { did, bring } = sources({ 'fetch to a': ApplicationFailure.nonRetryable('gated', 'InvalidInput') });
  const all = await Promise.allSettled([bring(a), bring(b)]);
  expect(all.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect(did).toEqual(['fetch to a']);
});

it('is found there by a node on the same storage, and brought to another storage once', async () => {
  const { did, bring } = sources({}, [['a'], ['b', 'c']]);
  await Promise.all([bring(a), bring(b), bring(c)]);
  expect(did).toEqual(['fetch to a', 'copy a to b beside b', 'fetch to c']);
});

it('is brought again where it was damaged, from a node that has it', async () => {
  const { did, bring, once } = sources();
  await bring(a);
  await bring(b);
  once.forget(a, 'input');
  await bring(a);
  expect(did).toEqual(['fetch to a', 'copy a to b', 'copy b to a']);
});

it('is nearest to who has it, and what nobody has is nearer than what others have', async () => {
  const { once, bring } = sources();
  await bring(a);
  expect([a, b].map((at) => once.distance(at, 'input'))).toEqual([0, 2]);
  expect(once.distance(b, 'other')).toBe(1);
});

it('stays with those that have it where a receiver has no room for it, and only that one fails', async () => {
  const full = ApplicationFailure.create({
    ...{ type: 'EnvCheckFailed', nonRetryable: true, details: [{ node: 'b', bytes: 9, free: 1 }] },
    message: 'b: copy input needs 9.0 GB and /data has 1.0 GB left',
  });
  const { did, bring } = sources({ 'copy a to b': full });
  await bring(a);
  await expect(bring(b)).rejects.toThrow(/^b: copy input needs/);
  await bring(c);
  expect(did).toEqual(['fetch to a', 'copy a to b', 'copy a to c']);
});
