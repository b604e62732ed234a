import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeRun, newState } from '../../workflows/status.js';
import { dropCode } from './hosts.js';
import { deeds, perform } from './data-kill/deeds.js';
import { openScenes } from './data-kill/scenes.js';
import { parsePage } from './observed-run.js';
import { randomCases } from './random.js';
import { openResults } from './results.js';

it('reads phase, generation and crew off the page that the workflow writes', () => {
  const state = { ...newState('r', 's', 60), phase: 'train' as const, generation: 2, child: 'r/gen-2' };
  expect(parsePage(describeRun({ ...state, nodes: ['n1', 'n3'], spares: [] }))).toEqual({
    ...{ phase: 'train', generation: 2, nodes: ['n1', 'n3'], spares: [] },
  });
  expect(parsePage(describeRun({ ...newState('r', 's', 60), nodes: ['n1'], spares: ['n2', 'n4'] }))).toEqual({
    ...{ phase: 'nodes', generation: 0, nodes: ['n1'], spares: ['n2', 'n4'] },
  });
});

it('plays every scene of the data kill to its end when nobody is killed', async () => {
  const root = await mkdtemp(join(tmpdir(), 'data-kill-'));
  const { scenes, close } = await openScenes(root);
  try {
    for (const { deed, before, input, wrong } of scenes) {
      await perform(deed, before, input);
      expect(await wrong(before)).toEqual([]);
    }
    expect(scenes.map(({ deed }) => deed)).toEqual(Object.keys(deeds));
  } finally {
    await close();
    await rm(root, { recursive: true });
  }
});

it('writes a packet filter for a share of all packets, for addresses, for both and for none', () => {
  expect(dropCode(30, 0, [])).toBeUndefined();
  expect(dropCode(30, 0.5, [])).toBe('4,32 0 0 4294963256,37 1 0 2147483648,6 0 0 2,6 0 0 4294967295');
  expect(dropCode(26, 0, ['10.77.0.2'])).toBe('4,32 0 0 26,21 0 1 172818434,6 0 0 2,6 0 0 4294967295');
  expect(dropCode(30, 0.5, ['10.77.0.2'])).toMatch(/^7,32 .*4294963256,37 .*,6 0 0 2,32 0 0 30,21 .*,6 0 0 2,6 /);
});

it('goes on with a matrix that was broken off, and starts anew for another build or when it was through', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'chaos-results-'));
  const figures = { detectedIn: 1, resumedIn: 2, pace: { startUp: 1 }, iterationsLost: 3, generations: 2, seconds: 4 };
  const row = { name: 'a', ...figures, problems: [] };
  const of = { build: 'x', cases: ['a', 'b'] };
  try {
    const first = await openResults(dir, of);
    await first.add(row);
    expect((await openResults(dir, of)).rows).toEqual([row]);
    expect((await openResults(dir, { ...of, build: 'y' })).rows).toEqual([]);
    const second = await openResults(dir, of);
    await second.add(row);
    await second.close();
    expect((await openResults(dir, of)).rows).toEqual([]);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

it('makes up the same cases from the same seed, each of which strikes while the run trains', () => {
  expect(randomCases(20, 7)).toEqual(randomCases(20, 7));
  expect(randomCases(20, 8)).not.toEqual(randomCases(20, 7));
  for (const { steps } of randomCases(200, 3)) {
    expect(steps[0]!.when).toHaveProperty('iteration');
    const iterations = steps.flatMap(({ when }) =>
      typeof when === 'object' && 'iteration' in when ? when.iteration : [],
    );
    expect(Math.max(...iterations)).toBeLessThanOrEqual(55);
    expect(iterations).toEqual([...iterations].sort((a, b) => a - b));
  }
});
