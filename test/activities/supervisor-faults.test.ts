/** The narrow places of launch, watch and stop: what dies between two instructions, and what logs do not say. */
import { spawn } from 'node:child_process';
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { fenceOff } from '../../activities/fence.js';
import { readJson, writeJson } from '../../activities/atomic.js';
import { launchName, type ExitFile, type StateFile } from '../../activities/generation-files.js';
import { createLaunchTraining } from '../../activities/launch-training.js';
import { renewLease } from '../../activities/lease.js';
import { findLaunched, findMarked, GUARD, isAlive, mark, ownerOf, pause, TOKEN } from '../../activities/process.js';
import { createStopTraining } from '../../activities/stop-training.js';
import { createWatchTraining } from '../../activities/watch-training.js';
import type { TrainingProgress } from '../../workflows/messages.js';
import { bothUp, fakeNode, fence, filesFor, idOf, launch, launchInput, stop, watch } from '../support/fake-training.js';
import { run } from '../support/test-node.js';
import { until } from '../support/until.js';

const GUARD_PROGRAM = fileURLToPath(new URL('../../activities/guard.ts', import.meta.url));

describe('a launch', () => {
  it('with a token that another launch has is refused', async () => {
    const deps = await fakeNode();
    await launch(deps, 4);
    const other = { ...launchInput(4), run: 'another' };
    await expect(run(createLaunchTraining(deps), other)).rejects.toThrow('r/gen-4-4 has this token');
  });

  it('whose guard died as it took the lock is lost, and is not made again', async () => {
    const deps = await fakeNode();
    const { lock, log } = filesFor(deps, 1);
    await mkdir(dirname(lock), { recursive: true });
    await writeJson(lock, { pid: process.pid, startTime: '1' });
    await expect(launch(deps, 1)).rejects.toMatchObject({ type: 'ProcessLost', nonRetryable: true });
    expect(await readFile(log, 'utf8').catch(() => 'none')).toBe('none');
  });

  it('whose guard starts after a stop starts nothing', async () => {
    const deps = await fakeNode();
    const { command, exit } = filesFor(deps, 1);
    await mkdir(dirname(command), { recursive: true });
    const owner = await ownerOf(deps.dataDir);
    const launchId = launchName(idOf(1));
    const argv = [deps.python];
    await writeJson(command, {
      ...{ token: 1, dataDir: deps.dataDir, owner, launch: launchId, argv, env: deps.env, graceSeconds: 1 },
    });
    await fenceOff(deps.dataDir, 1);
    const guard = spawn(process.execPath, ['--import', 'tsx', GUARD_PROGRAM, dirname(command)], {
      env: { ...deps.env, [TOKEN]: mark(1, owner), [GUARD]: '1' },
      stdio: 'inherit',
    });
    await new Promise((done) => guard.once('exit', done));
    expect((await readJson<ExitFile>(exit))?.reason).toBe('not started: token 1 was stopped here');
    expect(await findMarked(deps.dataDir)).toEqual([]);
  });

  it('whose program does not exist ends as failed, saying so', async () => {
    const deps = await fakeNode({}, { python: '/nonexistent/python' });
    await launch(deps, 1);
    await expect(watch(deps, 1)).rejects.toThrow('not started: spawn /nonexistent/python ENOENT');
  });
});

describe('a guard', () => {
  it('is not ended by the signals of a service that stops', async () => {
    const deps = await fakeNode();
    await launch(deps, 1);
    const { guard } = (await readJson<StateFile>(filesFor(deps, 1).state))!;
    for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT'] as const) process.kill(guard.pid, signal);
    await pause(300);
    expect(await isAlive(guard)).toBe(true);
  });

  it('does not say how its launch ended where another guard has the directory by now', async () => {
    const deps = await fakeNode();
    await launch(deps, 1);
    const { exit, lock, state } = filesFor(deps, 1);
    const { guard } = (await readJson<StateFile>(state))!;
    await writeJson(lock, { pid: process.pid, startTime: '1' });
    for (const { pid } of await bothUp(deps)) process.kill(pid, 'SIGKILL');
    while (await isAlive(guard)) await pause(50);
    expect(await readJson(exit)).toBeUndefined();
  });

  it('goes on guarding ranks whose torchrun was killed, and ends them with the lease', async () => {
    const deps = await fakeNode({ FAKE_DEAF: '1' });
    // Of it ranks get a tenth to end.
    await launch(deps, 1, 10);
    const { exit, lease } = filesFor(deps, 1);
    await renewLease(lease, 1, 60);
    const torchrun = (await bothUp(deps)).find(({ rank }) => !rank)!;
    process.kill(torchrun.pid, 'SIGKILL');
    await until(async () => (await readJson(exit)) !== undefined);
    expect(await readJson<ExitFile>(exit)).toMatchObject({ code: null, signal: 'SIGKILL' });
    expect(await findLaunched(deps.dataDir)).toHaveLength(1);
    await renewLease(lease, 1, 0);
    await until(async () => (await findMarked(deps.dataDir)).length === 0);
    expect(await readJson<ExitFile>(exit)).toMatchObject({ code: null, signal: 'SIGKILL' });
  });
});

describe('a watch', () => {
  it('does not wait for a torchrun that sits in its exit barrier', async () => {
    const deps = await fakeNode({ FAKE_CRASH_AT: '3', FAKE_LINGER: '1' });
    await launch(deps, 1);
    await expect(watch(deps, 1)).rejects.toThrow('exit code 3: RuntimeError: the fake rank was told to crash');
    expect(await findLaunched(deps.dataDir)).toHaveLength(1);
  });

  it('fails when a rank gave up with exit code 0, whether torchrun follows or not', async () => {
    for (const linger of [{}, { FAKE_LINGER: '1' }]) {
      const deps = await fakeNode({ FAKE_QUIT_AT: '1', ...linger });
      await launch(deps, 1);
      await expect(watch(deps, 1)).rejects.toThrow(
        'could not load the checkpoint: PytorchStreamReader failed reading zip archive',
      );
    }
  });

  it('goes on after a line of metrics that a crash has cut', async () => {
    const deps = await fakeNode({ FAKE_ITERATIONS: '5' });
    await launch(deps, 1);
    const { metrics } = filesFor(deps, 1);
    await appendFile(metrics, '{"iteration":1,"loss":5.999}\n{"itera');
    await watch(deps, 1);
    const lines = (await readFile(metrics, 'utf8')).trim().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { iteration: number }).iteration)).toEqual([1, 2, 3, 4, 5]);
  });

  it('reports the first iteration, the last one, and every loss between them once', async () => {
    const reports: TrainingProgress[] = [];
    const signal = (_: unknown, name: string, payload: unknown) => {
      expect(name).toBe('trainingProgress');
      reports.push(payload as TrainingProgress);
      return Promise.resolve();
    };
    const deps = await fakeNode({ FAKE_ITERATIONS: '30' }, { signal });
    await launch(deps, 1);
    const input = { ...idOf(1), leaseSeconds: 60, reportTo: { workflowId: 'w', runId: 'r' } };
    await run(createWatchTraining(deps), input);
    expect(reports).toHaveLength(2);
    expect(reports[1]).toMatchObject({ token: 1, iteration: 30, loss: 5.97, secondsPerIteration: 0.05 });
    expect(reports.flatMap(({ points }) => points.map(([iteration]) => iteration))).toEqual(
      Array.from({ length: 30 }, (_, index) => index + 1),
    );
  });

  it('goes on when nobody takes its reports', async () => {
    const deps = await fakeNode({ FAKE_ITERATIONS: '5' }, { signal: () => Promise.reject(new Error('no server')) });
    await launch(deps, 1);
    const input = { ...idOf(1), leaseSeconds: 60, reportTo: { workflowId: 'w', runId: 'r' } };
    expect((await run(createWatchTraining(deps), input)).verdict.lastIteration).toBe(5);
  });
});

describe('a stop', () => {
  it('says the second time what it saw the first time, not what its own signals made', async () => {
    const deps = await fakeNode({ FAKE_DEAF: '1' });
    await launch(deps, 1);
    await bothUp(deps);
    const first = await stop(deps, 1, 0.2);
    expect(first).not.toHaveProperty('signal');
    expect(await stop(deps, 1, 0.2)).toEqual(first);
  });

  it('names the signal that ended a rank before', async () => {
    const deps = await fakeNode({ FAKE_LINGER: '1' });
    await launch(deps, 1);
    process.kill((await bothUp(deps)).find(({ rank }) => rank)!.pid, 'SIGKILL');
    await expect(watch(deps, 1)).rejects.toThrow('local rank 0 was ended by SIGKILL');
    expect(await stop(deps, 1)).toMatchObject({ signal: 'SIGKILL', firstError: 'local rank 0 was ended by SIGKILL' });
  });

  it('ends what an older token left as well, and nothing newer', async () => {
    const deps = await fakeNode();
    await launch(deps, 5);
    const newer = await bothUp(deps);
    expect(await run(createStopTraining(deps), { ...idOf(4), graceSeconds: 1 })).toMatchObject({ confirmed: true });
    expect(await findLaunched(deps.dataDir)).toEqual(newer);
    await fence(deps, 6);
    await stop(deps, 6, 1);
    expect(await findLaunched(deps.dataDir)).toEqual([]);
  });

  it('goes by the mark and not by the path, which nodes may share', async () => {
    const deps = await fakeNode();
    const other = spawn('sleep', ['60'], { env: { ...deps.env, [TOKEN]: mark(1, 'of-another-node') } });
    await fence(deps, 1);
    await stop(deps, 1);
    expect(other.exitCode).toBeNull();
    other.kill();
  });
});

it('a file that is not JSON yet is no lease: the one before it holds', async () => {
  const deps = await fakeNode();
  await launch(deps, 1);
  await pause(1200);
  await writeFile(filesFor(deps, 1).lease, '');
  await pause(1500);
  expect(await findLaunched(deps.dataDir)).toHaveLength(2);
});
