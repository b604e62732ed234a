/** Several nodes that fetch one artifact at the same time, over real HTTP. */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sealArtifact } from '../../activities/artifact.js';
import { isSlow } from '../../activities/swarm.js';
import { pullArtifact } from '../../activities/transfer.js';
import { faultyProxy, type Fault } from '../support/faulty-proxy.js';
import { serving, testNode } from '../support/test-node.js';

const DIR = 'datasets/k';
const BLOCK = 2 ** 17;
/** So few that seven receivers make two trees: what they tell one another costs more here than the blocks do. */
const BLOCKS = 24;
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
  it.each([
    [6, 'a chain'],
    [7, 'two trees'],
  ])('take each block from the origin about once, and the rest from one another: %i in %s', async (count) => {
    const { artifact, peer, sent } = await origin();
    const nodes = await receivers(count);
    const beside = nodes.map((one) => one.peer);
    await Promise.all(nodes.map(({ node }) => pullArtifact(node, { artifact, from: [peer], beside })));
    for (const { node } of nodes) expect(await whole(node.dataDir)).toBe(true);
    expect(sent().length).toBeLessThanOrEqual(1.5 * BLOCKS);
    expect(new Set(sent()).size).toBe(BLOCKS);
  });

  it('finish without an origin that dies when they have every block between them', async () => {
    let left = BLOCKS;
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

it.each([
  [
    'takes much longer than those of others',
    { age: 20_000, flowing: 20_000, bytes: 2 ** 20, others: [900, 1000, 9000] },
    true,
  ],
  ['is on a link as slow as theirs', { age: 60_000, flowing: 60_000, bytes: 2 ** 20, others: [50_000] }, false],
  ['comes in next to nothing, while others sent none', { age: 20_000, flowing: 20_000, bytes: 200, others: [] }, true],
  ['was long in line and begins just now', { age: 80_000, flowing: 10, bytes: 100, others: [] }, false],
])('a block that %s is asked for elsewhere, or not', (_, held, slow) => {
  expect(isSlow(held, 15_000)).toBe(slow);
});
