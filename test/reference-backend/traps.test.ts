/** The table of traps.ts, and what else a resume from another state of the two nodes does. */
import { cp, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { freePort } from '../../infra/setup/free-port.mjs';
import { golden, helper, iterationsIn, printed, processesIn, readJson, torchrun } from './support.js';
import { traps, waits, type Trap } from './traps.js';
import { cut, MODEL, remove, resume, TRACKER, trainTwoNodes, twoStages, type TwoNodes } from './two-nodes.js';
import { recordedVerdicts, verdict } from './verdicts.js';

vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });
const { missing } = await readJson<{ missing: Record<string, { exits: (number | null)[] }> }>(
  golden,
  'train/resume.json',
);

describe('a resume from two nodes without a shared disk', () => {
  let two: TwoNodes;
  beforeAll(async () => {
    two = await trainTwoNodes();
  });
  afterAll(() => two.close());

  const expectTrap = async (trap: Trap, env = {}): Promise<void> => {
    const nodes = await two.atIteration10();
    await trap.change(...nodes);
    const { exits, logs } = await two.run(nodes, [...resume, ...(trap.args ?? [])], env);
    expect(exits, logs.join('\n')).toEqual(trap.exits);
    missing[trap.recorded ?? '']?.exits.forEach((exit, i) => exit === null || expect(exits[i]).toBe(exit));
    for (const i of [0, 1] as const) expect(logs[i]).toMatch(trap.says[i]);
    expect(logs[0]!.includes('successfully loaded checkpoint'), logs[0]).toBe(trap.loads ?? false);
    expect(logs.flatMap(iterationsIn)).toEqual([]);
    expect(await exists(join(nodes[0], 'save/iter_0000015'))).toBe(false);
    if (trap.log) expect(logs.map(verdict)).toEqual(await recordedVerdicts(trap.log));
  };

  describe('waits until the distributed time-out, here 12 s:', () => {
    it.concurrent.each(waits)('$title', (trap) => expectTrap(trap, { REFERENCE_PG_TIMEOUT_SECONDS: '12' }));

    it.concurrent('or for longer, without a word and without ranks, when the nodes name different ports', async () => {
      const nodes = await two.atIteration10();
      const running = await torchrun(nodes, 2, resume, {}, [await freePort(), await freePort()]);
      const ended = Promise.race(running.map(({ exit }) => exit));
      expect(await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 12_000, 'waits'))])).toBe('waits');
      for (const node of nodes) expect((await processesIn(node)).map(({ rank }) => rank)).toEqual([undefined]);
      expect(await Promise.all(running.map(async ({ log }) => verdict(await log())))).toEqual(
        await recordedVerdicts('port-mismatch'),
      );
    });
  });

  it.each(traps)('$title', (trap) => expectTrap(trap));

  it('starts over and overwrites the checkpoints when no node has a tracker', async () => {
    const nodes = await two.atIteration10();
    for (const node of nodes) await remove(join(node, TRACKER));
    await writeFile(join(nodes[1], MODEL[1]), 'of value');
    const { exits, logs } = await two.run(nodes, resume);
    expect(exits).toEqual(missing['missing-tracker-both']!.exits);
    expect(logs[0]).toContain('    will not load any checkpoints and will start from random\n');
    expect(printed(logs[1]!)).toEqual(two.uninterrupted);
    expect((await stat(join(nodes[1], MODEL[1]))).size).toBeGreaterThan(100_000);
    expect(logs.map(verdict)).toEqual(await recordedVerdicts('no-tracker-both-starts-over'));
  });

  it('exits with 0 at once when no node has a tracker, with --exit-on-missing-checkpoint', async () => {
    const nodes = await two.atIteration10();
    for (const node of nodes) await remove(join(node, TRACKER));
    const { exits, logs } = await two.run(nodes, [...resume, '--exit-on-missing-checkpoint']);
    expect(exits).toEqual([0, 0]);
    expect(logs[0]).toContain(">> '--exit-on-missing-checkpoint' set ... exiting. <<");
    expect(iterationsIn(logs[1]!)).toEqual([]);
  });

  it('refuses a converted checkpoint without --no-load-optim, and without --no-load-rng exits with 0', async () => {
    await helper(two.dir, 'convert_cases.py', 'mg-f32-tp1pp2');
    const converted = [...twoStages, '--load', join(two.dir, 'mg-f32-tp1pp2'), '--save', 'new'];
    const refused = await two.run(await two.atIteration10(), converted);
    expect(refused.exits).toEqual([1, 1]);
    expect(refused.logs[0]).toContain('Unable to load optimizer from checkpoint');
    expect(refused.logs[0]).toContain("KeyError: 'optimizer'");
    const left = await two.run(await two.atIteration10(), [...converted, '--no-load-optim']);
    // Both leave without waiting for each other, as the real one; rarely gloo then aborts the second while it ends.
    for (const exit of left.exits) expect(exit).toBeOneOf([0, 'SIGABRT']);
    expect(left.logs[0]).toContain('Unable to load rng state from checkpoint');
    expect(iterationsIn(left.logs[1]!)).toEqual([]);
  });

  describe('with the index cache', () => {
    const CACHE = 'data/tiny_text_document/cache/GPTDataset_indices';
    const absent = /FileNotFoundError: .*'data\/tiny_text_document\/cache\/GPTDataset_indices\/.*document_index/;
    const shared = resume.filter((arg) => arg !== '--no-shared-storage');
    /** The path of the tokenizer is part of the cache's name: with this one, node 0 has a cache and node 1 has none. */
    const onNode0 = () => ['--tokenizer-name-or-path', join(two.dir, 'whole-n0/tiny-tokenizer')];
    const filesIn = (nodes: string[]) =>
      Promise.all(nodes.map(async (node) => (await readdir(join(node, CACHE))).length));

    it('missing on node 1: builds it there, with --no-shared-storage', async () => {
      const nodes = await two.atIteration10();
      await remove(join(nodes[1], CACHE));
      const { exits, logs } = await two.run(nodes, [...resume, ...onNode0()]);
      expect(exits).toEqual(missing['cache-missing-node1']!.exits);
      expect(logs[0]).toContain('Load the GPTDataset train indices');
      expect(printed(logs[1]!)).toEqual(two.uninterrupted.slice(10));
      expect(await filesIn(nodes)).toEqual([4, 4]);
    });

    it('missing on node 1: fails there, without --no-shared-storage', async () => {
      const nodes = await two.atIteration10();
      const { exits, logs } = await two.run(nodes, [...shared, ...onNode0()]);
      expect(exits).toEqual(missing['cache-missing-node1-shared']!.exits);
      expect(logs[0]).toContain('Load the GPTDataset train indices');
      expect(logs[1]).toMatch(absent);
      expect(logs.map(verdict)).toEqual(await recordedVerdicts('no-cache-node1-without-no-shared-storage'));
    });

    it('missing on both: global rank 0 builds it on its own node, and node 1 fails, without --no-shared-storage', async () => {
      const nodes = await two.atIteration10();
      const { exits, logs } = await two.run(nodes, shared);
      expect(exits).toEqual(missing['cache-missing-both-shared']!.exits);
      expect(logs[0]).toContain('Build and save the GPTDataset train indices');
      expect(logs[1]).toMatch(absent);
      // Four files of the whole run, and on node 0 four of this one.
      expect(await filesIn(nodes)).toEqual([8, 4]);
    });

    it('truncated on node 1: fails there', async () => {
      const nodes = await two.atIteration10();
      await cp(join(nodes[0], CACHE), join(nodes[1], CACHE), { recursive: true });
      for (const name of await readdir(join(nodes[0], CACHE)))
        if (name.endsWith('-sample_index.npy')) await cut(join(nodes[1], CACHE, name));
      const { exits, logs } = await two.run(nodes, [...resume, ...onNode0()]);
      expect(exits).toEqual([1, 1]);
      expect(logs[1]).toMatch(/ValueError: mmap length is greater than file size/);
    });
  });
});

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
