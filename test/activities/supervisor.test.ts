/** Launch, watch and stop against real process trees: sessions of their own, kill -9, leases, tokens. */
import { spawn } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { CancelledFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { describe, expect, it } from 'vitest';
import { endLaunched } from '../../activities/end-launched.js';
import { readJson } from '../../activities/atomic.js';
import type { StateFile } from '../../activities/generation-files.js';
import { bootSeconds, findLaunched, identify, isAlive, pause } from '../../activities/process.js';
import { createLaunchTraining } from '../../activities/launch-training.js';
import { renewLease } from '../../activities/lease.js';
import { readLaunch } from '../../activities/series-launch.js';
import { createWatchTraining } from '../../activities/watch-training.js';
import { bothUp, fakeNode, fence, filesFor, idOf, launch, launchInput, stop, watch } from '../support/fake-training.js';
import { run } from '../support/test-node.js';
import { tempDir } from '../support/temp-dir.js';
import { until } from '../support/until.js';

describe('a launch', () => {
  it('is watched to its end and gives its exit code, its last iteration and its loss', async () => {
    const deps = await fakeNode({ FAKE_ITERATIONS: '5' });
    await launch(deps, 1);
    expect(await watch(deps, 1)).toEqual({
      exitCode: 0,
      verdict: { outcome: 'finished', lastIteration: 5, lastSaved: 5, loss: 5.995 },
    });
    const metrics = (await readFile(filesFor(deps, 1).metrics, 'utf8')).trim().split('\n');
    expect(metrics.map((line) => (JSON.parse(line) as { iteration: number }).iteration)).toEqual([1, 2, 3, 4, 5]);
  });

  it('is noted on its node with what it trains with, for whoever seals what it saves', async () => {
    const deps = await fakeNode();
    const identity = { 'parallel.pp': 2 };
    await run(createLaunchTraining(deps), { ...launchInput(3), identity });
    expect(await readLaunch(deps.dataDir, 's')).toMatchObject({ run: 'r', generation: 3, token: 3, identity });
  });

  it('starts one torchrun however often it is asked for, one after the other or at once', async () => {
    const deps = await fakeNode();
    await Promise.all([launch(deps, 1), launch(deps, 1)]);
    await launch(deps, 1);
    expect(await bothUp(deps)).toHaveLength(2);
  });

  it('goes on where a crash left only the command on disk, and still starts one torchrun', async () => {
    const deps = await fakeNode();
    await launch(deps, 1);
    const before = await bothUp(deps);
    // As after a crash between the record and the guard's answer: the next attempt starts a second guard.
    const { state } = filesFor(deps, 1);
    const kept = await readFile(state);
    await rm(state);
    const again = launch(deps, 1);
    await pause(1500);
    await writeFile(state, kept);
    await again;
    expect(await bothUp(deps)).toEqual(before);
  });

  it('is refused with a token older than one seen here', async () => {
    const deps = await fakeNode();
    await launch(deps, 7);
    await expect(launch(deps, 6)).rejects.toThrow('launch with token 6 refused: token 7 has been here');
  });

  it('ends what an older token left before it starts', async () => {
    const deps = await fakeNode();
    await launch(deps, 1);
    const older = await bothUp(deps);
    await launch(deps, 2);
    expect(await Promise.all(older.map(isAlive))).toEqual([false, false]);
    expect((await bothUp(deps)).map(({ token }) => token)).toEqual([2, 2]);
  });

  it('cannot come back after a stop, though it be the same token', async () => {
    const deps = await fakeNode();
    await fence(deps, 3);
    await stop(deps, 3);
    await expect(launch(deps, 3)).rejects.toThrow('refused');
  });

  it('leaves another node of the same machine alone', async () => {
    const [a, b] = [await fakeNode(), await fakeNode()];
    await Promise.all([launch(a, 1), launch(b, 1)]);
    const others = await bothUp(b);
    await stop(a, 1);
    expect(await findLaunched(a.dataDir)).toEqual([]);
    expect(await findLaunched(b.dataDir)).toEqual(others);
  });
});

describe('training', () => {
  it('goes on when the worker that launched it is killed, and a new worker attaches to it', async () => {
    const deps = await fakeNode({ FAKE_ITERATIONS: '60' });
    const worker = spawn(
      process.execPath,
      ['--import', 'tsx', fileURLToPath(new URL('../support/launch-and-wait.ts', import.meta.url))],
      {
        env: { ...process.env, DEPS: JSON.stringify(deps), INPUT: JSON.stringify(launchInput(1)) },
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    await new Promise((done) => worker.stdout.once('data', done));
    const before = await bothUp(deps);
    worker.kill('SIGKILL');
    await new Promise((done) => worker.once('exit', done));
    expect(await findLaunched(deps.dataDir)).toEqual(before);
    expect((await watch(deps, 1)).verdict.lastIteration).toBe(60);
  });

  it('ends by itself when its lease is over', async () => {
    const deps = await fakeNode();
    await launch(deps, 1);
    await bothUp(deps);
    const { exit, lease } = filesFor(deps, 1);
    await renewLease(lease, 1, 0.5);
    await until(async () => (await findLaunched(deps.dataDir)).length === 0);
    await until(async () => (await readJson(exit)) !== undefined);
    expect(await readJson(exit)).toMatchObject({
      token: 1,
      reason: expect.stringContaining('lease') as string,
    });
  });

  it('keeps its lease in seconds since boot and of this boot, so that no clock change ends it', async () => {
    const deps = await fakeNode();
    await launch(deps, 1, 100);
    const lease = await readJson<{ deadline: number; bootId: string }>(filesFor(deps, 1).lease);
    expect(lease!.deadline - (await bootSeconds())).toBeGreaterThan(90);
    expect(lease!.deadline - (await bootSeconds())).toBeLessThanOrEqual(100);
  });
});

describe('a watch', () => {
  it('fails with the first error of the log when a rank crashes', async () => {
    const deps = await fakeNode({ FAKE_CRASH_AT: '3' });
    await launch(deps, 1);
    await expect(watch(deps, 1)).rejects.toMatchObject({
      type: 'CommandFailed',
      nonRetryable: true,
      message: expect.stringContaining('RuntimeError: the fake rank was told to crash') as string,
    });
  });

  it('fails as lost when guard and ranks are killed and nobody wrote an exit code', async () => {
    const deps = await fakeNode();
    await launch(deps, 1);
    await bothUp(deps);
    const { guard } = (await readJson<StateFile>(filesFor(deps, 1).state))!;
    process.kill(guard.pid, 'SIGKILL');
    await endLaunched(deps.dataDir, () => true, 0);
    await expect(watch(deps, 1)).rejects.toMatchObject({ type: 'ProcessLost', nonRetryable: true });
  });

  it('ends with the reason of its cancellation and touches nothing', async () => {
    const deps = await fakeNode();
    await launch(deps, 1);
    const before = await bothUp(deps);
    const environment = new MockActivityEnvironment();
    const watching = environment.run(createWatchTraining(deps), { ...idOf(1), leaseSeconds: 60 });
    setTimeout(() => environment.cancel('WORKER_SHUTDOWN'), 700);
    await expect(watching).rejects.toBeInstanceOf(CancelledFailure);
    expect(await findLaunched(deps.dataDir)).toEqual(before);
  });

  it('does not take the exit code of another token for its own', async () => {
    const deps = await fakeNode({ FAKE_ITERATIONS: '40' });
    await launch(deps, 1);
    await writeFile(filesFor(deps, 1).exit, JSON.stringify({ token: 99, code: 0, signal: null, at: '' }));
    expect((await watch(deps, 1)).verdict.lastIteration).toBe(40);
  });

  it('writes every iteration once, though it was broken off and begun again', async () => {
    const deps = await fakeNode({ FAKE_ITERATIONS: '40' });
    await launch(deps, 1);
    const environment = new MockActivityEnvironment();
    setTimeout(() => environment.cancel(), 800);
    await environment.run(createWatchTraining(deps), { ...idOf(1), leaseSeconds: 60 }).catch(() => undefined);
    await watch(deps, 1);
    const lines = (await readFile(filesFor(deps, 1).metrics, 'utf8')).trim().split('\n');
    expect(lines).toHaveLength(40);
  });
});

describe('a stop', () => {
  it('finds ranks in sessions of their own, lets them save, and says what they saw', async () => {
    const deps = await fakeNode();
    await launch(deps, 1);
    // Before its first iteration a rank may not have taken the signal over yet.
    while (!(await readFile(filesFor(deps, 1).log, 'utf8')).includes('iteration')) await pause(20);
    const evidence = await stop(deps, 1);
    expect(evidence).toMatchObject({ node: 'n1', confirmed: true });
    expect(await findLaunched(deps.dataDir)).toEqual([]);
    expect(await readFile(filesFor(deps, 1).log, 'utf8')).toContain('after receiving SIGTERM');
  });

  it('kills ranks that do not end within the grace', async () => {
    const deps = await fakeNode({ FAKE_DEAF: '1' });
    await launch(deps, 1);
    await bothUp(deps);
    expect(await stop(deps, 1, 0.5)).toMatchObject({ confirmed: true });
    expect(await findLaunched(deps.dataDir)).toEqual([]);
  });

  it('finds the ranks also when the guard was killed', async () => {
    const deps = await fakeNode();
    await launch(deps, 1);
    await bothUp(deps);
    process.kill((await readJson<StateFile>(filesFor(deps, 1).state))!.guard.pid, 'SIGKILL');
    expect(await stop(deps, 1)).toMatchObject({ confirmed: true });
    expect(await findLaunched(deps.dataDir)).toEqual([]);
  });

  it.each([1, 9])('is as good twice, and before there was a launch, with token %s', async (token) => {
    const deps = await fakeNode();
    await fence(deps, token);
    expect(await stop(deps, token)).toMatchObject({ confirmed: true });
    expect(await stop(deps, token)).toMatchObject({ confirmed: true });
  });

  it.each([1, 9])('confirms nothing on a data directory that never saw the launch, with token %s', async (token) => {
    const deps = await fakeNode();
    await fence(deps, token);
    await launch(deps, token);
    const ranks = await bothUp(deps);
    const wrong = { ...deps, dataDir: await tempDir() };
    const message = `n1: the data directory ${wrong.dataDir} never saw this launch (generation ${token} of r, token ${token}); is PRETRAIN_DATA right?`;
    // Nor when it is asked again: the refusal leaves nothing that looks as if it had seen it.
    for (const ask of [stop, stop, watch])
      await expect(ask(wrong, token)).rejects.toMatchObject({ type: 'EnvCheckFailed', nonRetryable: true, message });
    expect(await findLaunched(deps.dataDir)).toEqual(ranks);
  });
});

it('a process that took over a pid is not mistaken for the one that had it', async () => {
  const self = (await identify(process.pid))!;
  expect(await isAlive(self)).toBe(true);
  expect(await isAlive({ ...self, startTime: '1' })).toBe(false);
});
