/**
 * The real program of the collective test, between nodes that are directories, over gloo. By PRETRAIN_COLLECTIVES=1 only:
 * torch is started a dozen times, and nodes that hang are waited for.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { freePort } from '../../activities/free-port.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { findMarked } from '../../activities/process.js';
import { createTestPair, isPairProven } from '../../activities/test-pair.js';
import { root } from '../../workers/config.js';
import { judgePairs, nextPairs, type PairResult } from '../../workflows/pair-nodes.js';
import { torchrunArgs } from '../../workflows/plan.js';
import { run, testNode } from '../support/test-node.js';

const node = (name: string) =>
  testNode(name, {
    python: join(root, '.venv/bin/python'),
    env: { PATH: process.env['PATH']!, OMP_NUM_THREADS: '1', GLOO_SOCKET_IFNAME: 'lo' },
  });
const ask = (deps: NodeDeps, rank: number, port: number, limitSeconds: number) =>
  run(createTestPair(deps), {
    ...{ peer: 'the other', token: 7, env: {}, limitSeconds },
    torchrun: torchrunArgs(rank, [deps, deps], 1, port),
  });

/** Stops each rank that a node starts, as one that hangs: it takes part in nothing and answers no signal. */
async function stopRanks({ dataDir }: NodeDeps, until: AbortSignal): Promise<number> {
  const stopped = new Set<number>();
  while (!until.aborted) {
    for (const { pid, rank } of await findMarked(dataDir)) {
      if (!rank || stopped.has(pid)) continue;
      process.kill(pid, 'SIGSTOP');
      stopped.add(pid);
    }
    await sleep(50);
  }
  return stopped.size;
}

describe.runIf(process.env['PRETRAIN_COLLECTIVES'])('collectives between two nodes', () => {
  it('that do well are timed, and remembered; one whose peer does not come fails and leaves nothing', async () => {
    const [a, b, alone] = [await node('a'), await node('b'), await node('alone')];
    expect(await isPairProven(a.dataDir)).toBe(false);
    const [port, other] = [await freePort('127.0.0.1'), await freePort('127.0.0.1')];
    const left = expect(ask(alone, 1, other, 12)).rejects.toThrow(/^alone: collectives with the other: .*(12 s|Error)/);
    const answers = await Promise.all([ask(a, 0, port, 150), ask(b, 1, port, 150)]);
    for (const { seconds } of answers) expect(seconds).toBeGreaterThan(0);
    await left;
    for (const { dataDir } of [a, b, alone]) expect(await findMarked(dataDir)).toEqual([]);
    expect(await Promise.all([a, b, alone].map(({ dataDir }) => isPairProven(dataDir)))).toEqual([true, true, false]);
  }, 240_000);

  it('name the one whose processes stand still, each test within its time, and leave none of them', async () => {
    const nodes = [await node('a'), await node('b'), await node('c')];
    const names = nodes.map(({ name }) => name);
    const [first, hanging] = nodes as [NodeDeps, NodeDeps];
    const limitSeconds = Number(process.env['PRETRAIN_COLLECTIVES_LIMIT'] ?? 60);
    const over = new AbortController();
    const stopping = stopRanks(hanging, over.signal);
    const results: PairResult[] = [];
    try {
      for (let pairs = nextPairs(names, [], results); pairs.length > 0; pairs = nextPairs(names, [], results))
        for (const pair of pairs) {
          const [one, two] = pair.map((name) => nodes.find((of) => of.name === name)!) as [NodeDeps, NodeDeps];
          const [port, began] = [await freePort('127.0.0.1'), performance.now()];
          const answers = await Promise.allSettled([ask(one, 0, port, limitSeconds), ask(two, 1, port, limitSeconds)]);
          // Ending what does not end by itself takes a few seconds more.
          expect((performance.now() - began) / 1000).toBeLessThan(limitSeconds + 30);
          for (const { dataDir } of [one, two]) expect(await findMarked(dataDir)).toEqual([]);
          const failed = answers.find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined;
          const seconds = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value.seconds] : []));
          results.push({
            nodes: pair,
            ...(failed ? { error: String(failed.reason) } : { seconds: Math.max(...seconds) }),
          });
        }
    } finally {
      over.abort();
    }
    expect(await stopping).toBeGreaterThan(1);
    expect(judgePairs(names, [], results)).toMatchObject({ bad: [{ node: hanging.name }], slow: [], undecided: [] });
    expect(results.filter(({ nodes: two }) => !two.includes(hanging.name))).toMatchObject([
      { nodes: expect.arrayContaining([first.name]) as string[], seconds: expect.any(Number) as number },
    ]);
  }, 600_000);
});
