/** A watch ends a generation whose ranks did not load what was planned, while they still run. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findLaunched } from '../../activities/process.js';
import { readLogFile } from '../../activities/tail.js';
import { wrongStart } from '../../workflows/wrong-start.js';
import { root } from '../../workers/config.js';
import { bothUp, fakeNode, launch, watch } from '../support/fake-training.js';

describe('a watch', () => {
  it.each([
    ['5', 10, 'started from iteration 5, with iteration 10 planned (loaded-other-iteration)'],
    ['1', 0, 'started from iteration 1, with converted weights planned (loaded-other-iteration)'],
    ['random', 10, 'started from random weights, with iteration 10 planned (missing-tracker)'],
    ['', 10, 'started from a checkpoint that the log does not name, with iteration 10 planned (loaded-nothing)'],
  ])('fails when the log says "%s" and %d was planned, and leaves the ranks to the stop', async (load, loads, why) => {
    const deps = await fakeNode({ FAKE_LOAD: load });
    await launch(deps, 1);
    const ranks = await bothUp(deps);
    const failed = await watch(deps, 1, { loads }).catch((error: unknown) => error);
    expect(failed).toMatchObject({ type: 'CommandFailed', nonRetryable: true });
    expect((failed as Error).message).toContain(`n1: training of generation 1 ${why}; log: `);
    expect(await findLaunched(deps.dataDir)).toEqual(ranks);
  });

  it('fails though all was over, with exit code 0, before it looked', async () => {
    const deps = await fakeNode({ FAKE_LOAD: '5', FAKE_ITERATIONS: '1' });
    await launch(deps, 1);
    for (; (await findLaunched(deps.dataDir)).length > 0;) await new Promise((done) => setTimeout(done, 50));
    await expect(watch(deps, 1, { loads: 10 })).rejects.toThrow('started from iteration 5, with iteration 10 planned');
  });

  it.each([
    ['10', 10],
    ['0', 0],
  ])('goes on when the log says %s and that was planned', async (load, loads) => {
    const deps = await fakeNode({ FAKE_LOAD: load, FAKE_ITERATIONS: '3' });
    await launch(deps, 1);
    expect(await watch(deps, 1, { loads })).toMatchObject({ exitCode: 0, verdict: { loadedAt: loads } });
  });

  it('gives the error of a rank that ended because it found nothing to load', async () => {
    const deps = await fakeNode({ FAKE_LOAD: 'random', FAKE_CRASH_AT: '1', FAKE_STEP_MS: '0' });
    await launch(deps, 1);
    await expect(watch(deps, 1, { loads: 10 })).rejects.toThrow('the fake rank was told to crash');
  });
});

it.each([
  ['resume-2nodes.node0', 10, undefined],
  ['resume-2nodes.node0', 5, 'loaded-other-iteration'],
  ['normal-2nodes.node0', 0, undefined],
  ['no-tracker-both-starts-over.node0', 10, 'missing-tracker'],
])('of the real log %s with iteration %d planned: %s', async (file, loads, name) => {
  const log = await readLogFile(join(root, 'test/fixtures/golden/logs', `${file}.log`));
  expect(wrongStart({ ...log.verdict(), stepping: true }, loads)?.name).toBe(name);
});
