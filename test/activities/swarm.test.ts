/** Several nodes that fetch one artifact at the same time, over real HTTP. */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sealArtifact } from '../../activities/artifact.js';
import { pickBlock, type SourceView } from '../../activities/pick-block.js';
import { pullArtifact } from '../../activities/transfer.js';
import { faultyProxy, type Fault } from '../support/faulty-proxy.js';
import { serving, testNode } from '../support/test-node.js';

const DIR = 'datasets/k';
const BLOCK = 2 ** 17;
const BLOCKS = 48;
const bytes = randomBytes(BLOCK * BLOCKS);

async function origin(fault: Fault = () => ({})) {
  const node = await testNode('n00');
  await mkdir(join(node.dataDir, DIR), { recursive: true });
  await writeFile(join(node.dataDir, DIR, 'prefix.bin'), bytes);
  const artifact = await sealArtifact(node.dataDir, DIR, undefined, { block: BLOCK });
  const peer = await serving(node);
  const proxy = await faultyProxy(peer.url, fault);
  const sent = () => proxy.seen.flatMap(({ path }) => /blocks\/(\d+)/.exec(path)?.[1] ?? []);
  return { artifact, peer: { ...peer, url: proxy.url }, sent };
}

const receivers = (count: number) =>
  Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const node = await testNode(`n${index + 1}`, { copyRate: bytes.length });
      return { node, peer: await serving(node) };
    }),
  );

const whole = async (dataDir: string) => (await readFile(join(dataDir, DIR, 'prefix.bin'))).equals(bytes);

describe('nodes that fetch together', () => {
  it('take each block from the origin about once, and the rest from one another', async () => {
    const { artifact, peer, sent } = await origin();
    const nodes = await receivers(8);
    const beside = nodes.map((one) => one.peer);
    await Promise.all(nodes.map(({ node }) => pullArtifact(node, { artifact, from: [peer], beside })));
    for (const { node } of nodes) expect(await whole(node.dataDir)).toBe(true);
    expect(sent().length).toBeLessThanOrEqual(1.5 * BLOCKS);
    expect(new Set(sent()).size).toBe(BLOCKS);
  });

  it('finish without an origin that dies when they have every block between them', async () => {
    let left = BLOCKS + 4;
    const { artifact, peer } = await origin(({ url }, response) => {
      if (!url?.includes('/blocks/') || --left >= 0) return {};
      response.destroy();
      return 'handled';
    });
    const nodes = await receivers(4);
    const beside = nodes.map((one) => one.peer);
    const problems = new Set<string>();
    const onProblem = (name: string) => problems.add(name);
    await Promise.all(nodes.map(({ node }) => pullArtifact(node, { artifact, from: [peer], beside, onProblem })));
    for (const { node } of nodes) expect(await whole(node.dataDir)).toBe(true);
    expect([...problems]).toEqual(problems.size ? ['n00'] : []);
  });

  it('drop and name one of them that passes on wrong bytes', async () => {
    const { artifact, peer } = await origin();
    const [liar, ...honest] = await receivers(4);
    const lying = await faultyProxy(liar!.peer.url, ({ url }) =>
      url?.includes('/blocks/') ? { change: (chunk) => Buffer.from(chunk.map((byte) => byte ^ 1)) } : {},
    );
    const beside = [{ ...liar!.peer, url: lying.url }, ...honest.map((one) => one.peer)];
    const problems: string[] = [];
    const onProblem = (name: string, problem: string) => problems.push(`${name}: ${problem}`);
    await Promise.all([
      pullArtifact(liar!.node, { artifact, from: [peer], beside: honest.map((one) => one.peer) }),
      ...honest.map(({ node }) => pullArtifact(node, { artifact, from: [peer], beside, onProblem })),
    ]);
    for (const { node } of honest) expect(await whole(node.dataDir)).toBe(true);
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.length).toBeLessThanOrEqual(honest.length * 4);
    for (const problem of problems) expect(problem).toMatch(/^n1: block \d+ from .* has sha256 /);
  });

  it('do without one that never begins', async () => {
    const { artifact, peer, sent } = await origin();
    const nodes = await receivers(3);
    const beside = nodes.map((one) => one.peer);
    const running = nodes.slice(1);
    await Promise.all(running.map(({ node }) => pullArtifact(node, { artifact, from: [peer], beside })));
    for (const { node } of running) expect(await whole(node.dataDir)).toBe(true);
    expect(sent().length).toBeLessThanOrEqual(1.5 * BLOCKS);
  });
});

describe('the next block', () => {
  const source = (name: string, seed: boolean, has: number[], free = true, fetching: number[] = []): SourceView => ({
    ...{ name, seed, free, fetching: new Set(fetching) },
    has: (block) => seed || has.includes(block),
  });

  it('is one that somebody free has, is asked for once, and is never refused to who has waited', () => {
    const peers = fc.array(fc.record({ has: fc.array(fc.nat(11)), free: fc.boolean() }), { maxLength: 4 });
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat(11), { minLength: 1 }),
        peers,
        fc.boolean(),
        fc.boolean(),
        (wanted, others, seedFree, impatient) => {
          const sources = [
            source('seed', true, [], seedFree),
            ...others.map(({ has, free }, index) => source(`p${index}`, false, has, free)),
          ];
          const state = { wanted, blocks: 12, sources, place: 0, receivers: others.length + 1, impatient };
          const pick = pickBlock({ ...state, random: Math.random });
          const from = sources.find(({ name }) => name === pick?.from);
          if (pick)
            expect([wanted.includes(pick.block), from!.free, from!.has(pick.block)]).toEqual([true, true, true]);
          const possible = sources.some(({ free, has }) => free && wanted.some(has));
          if (impatient) expect(pick !== undefined).toBe(possible);
        },
      ),
    );
  });

  it('is of the own share first, then the rarest of what others have, and nothing that another is about to have', () => {
    const state = { wanted: [0, 1, 2, 3], blocks: 4, place: 1, receivers: 2, impatient: false, random: () => 0 };
    const seed = source('seed', true, []);
    const other = (has: number[], fetching: number[] = []) => source('p', false, has, true, fetching);
    expect(pickBlock({ ...state, sources: [seed, other([0])] })).toEqual({ block: 3, from: 'seed' });
    expect(pickBlock({ ...state, wanted: [0, 2], sources: [seed, other([2])] })).toEqual({ block: 2, from: 'p' });
    expect(pickBlock({ ...state, wanted: [0, 2], sources: [seed, other([], [0])] })).toBeUndefined();
    const late = { ...state, wanted: [0, 2], impatient: true };
    expect(pickBlock({ ...late, sources: [seed, other([], [0])] })).toEqual({ block: 2, from: 'seed' });
  });
});
