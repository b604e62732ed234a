/** Checkpoints that are hashed and copied while ranks train. Real processes, files and HTTP. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { verifyArtifact } from '../../activities/artifact.js';
import { createBesideTraining, WORTH_BYTES } from '../../activities/beside-training.js';
import { sealFiles } from '../../activities/checkpoint-files.js';
import { holdDirectory } from '../../activities/hold-directory.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { pause } from '../../activities/process.js';
import { serving, testNode } from '../support/test-node.js';

const DIR = 'series/s/checkpoints/iter_0000005/mp_rank_00';
const FILE = 'distrib_optim.pt';
const SEAL_CHILD = fileURLToPath(new URL('../support/seal-child.ts', import.meta.url));
const never = new AbortController().signal;

async function saved(deps: NodeDeps): Promise<NodeDeps> {
  await mkdir(join(deps.dataDir, DIR), { recursive: true });
  await writeFile(join(deps.dataDir, DIR, FILE), randomBytes(WORTH_BYTES + 1000));
  return deps;
}

/** Of those that a process started; ended ones that nobody has waited for yet are none. */
function helpers(of = process.pid): number[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const isOurs = fieldsOf(`/proc/${pid}/stat`)[1] === String(of);
      return isOurs && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('beside-process') ? [Number(pid)] : [];
    } catch {
      return [];
    }
  });
}

/** Of a stat file, from the state on, which is the third. */
const fieldsOf = (path: string): string[] => readFileSync(path, 'utf8').split(') ')[1]!.split(' ');
const NICE = 16;

/** @param killed may still be there for a moment */
async function theOne(killed?: number): Promise<number> {
  for (;;) {
    const found = helpers().find((pid) => pid !== killed);
    if (found !== undefined) return found;
    await pause(20);
  }
}

it('large shards are sealed and copied by processes of the lowest priority, as they would be by the worker', async () => {
  const [writer, copier] = [await saved(await testNode('n1')), await testNode('n2')];
  let received = 0;
  const counting = { ...copier, onReceived: (bytes: number) => void (received += bytes) };
  const [sealing, copying] = [createBesideTraining(writer), createBesideTraining(counting)];
  const artifact = await sealing.seal(writer.dataDir, DIR, [FILE], { token: 7 });
  const from = [await serving(writer)];
  expect(await copying.pull({ artifact, from }, never)).toEqual(artifact);
  expect(received).toBe(artifact.bytes);
  expect(await verifyArtifact(copier.dataDir, DIR)).toEqual([]);
  expect(await sealFiles(writer.dataDir, DIR, [FILE], { token: 7 })).toEqual(artifact);

  const both = helpers();
  expect(both).toHaveLength(2);
  for (const pid of both) {
    const threads = readdirSync(`/proc/${pid}/task`);
    expect(threads.length).toBeGreaterThan(1);
    for (const thread of threads) expect(fieldsOf(`/proc/${pid}/task/${thread}/stat`)[NICE]).toBe('19');
    // A session of its own, whose niceness counts where sessions are scheduled.
    expect(fieldsOf(`/proc/${pid}/stat`)[3]).toBe(String(pid));
  }
  for (const pid of both) process.kill(pid, 'SIGKILL');
});

it('a copy whose process is killed fails with that, and the next attempt comes to the same bytes in another', async () => {
  const [writer, copier] = [await saved(await testNode('n1')), await testNode('n2', { copyRate: WORTH_BYTES })];
  const artifact = await sealFiles(writer.dataDir, DIR, [FILE], {});
  const from = [await serving(writer)];
  const { pull } = createBesideTraining(copier);
  const first = pull({ artifact, from }, never);
  const killed = await theOne();
  process.kill(killed, 'SIGKILL');
  await expect(first).rejects.toThrow('the process for checkpoints ended: SIGKILL');
  expect(await verifyArtifact(copier.dataDir, DIR)).toBeUndefined();

  const ending = new AbortController();
  const cancelled = pull({ artifact, from }, ending.signal);
  const second = await theOne(killed);
  ending.abort(new Error('the run was cancelled'));
  await expect(cancelled).rejects.toThrow('the run was cancelled');
  expect(await pull({ artifact, from }, never)).toEqual(artifact);
  expect(await verifyArtifact(copier.dataDir, DIR)).toEqual([]);
  expect(helpers()).toEqual([second]);
  process.kill(second, 'SIGKILL');
});

it('such a process ends with its worker, however that ends', async () => {
  const { dataDir } = await saved(await testNode('n1'));
  const worker = spawn(process.execPath, ['--import', 'tsx', SEAL_CHILD, dataDir, DIR, FILE], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void worker.kill('SIGKILL'));
  await once(worker.stdout, 'data');
  const [helper] = helpers(worker.pid);
  expect(helper).toBeDefined();
  worker.kill('SIGKILL');
  while (existsSync(`/proc/${helper}`)) await pause(20);
});

it('nothing is written by such a process while one that another worker left still is', async () => {
  const writer = await saved(await testNode('n1'));
  const release = (await holdDirectory(writer.dataDir, 'copier'))!;
  onTestFinished(release);
  // Where that does not end each job says so, and one that is called off waits no longer.
  const impatient = createBesideTraining(writer, 500);
  await expect(impatient.seal(writer.dataDir, DIR, [FILE], {})).rejects.toMatchObject({
    ...{ type: 'EnvCheckFailed', message: expect.stringMatching(/^an earlier process .* does not end/) as string },
  });
  const held = await theOne();
  process.kill(held, 'SIGKILL');

  const patient = createBesideTraining(writer);
  const off = new AbortController();
  const calledOff = patient.seal(writer.dataDir, DIR, [FILE], { signal: off.signal });
  let isSealed = false;
  const sealing = patient.seal(writer.dataDir, DIR, [FILE], {}).then(() => (isSealed = true));
  const pid = await theOne(held);
  await pause(500);
  off.abort(new Error('the run was cancelled'));
  await expect(calledOff).rejects.toThrow('the run was cancelled');
  expect(isSealed).toBe(false);
  await release();
  await sealing;
  process.kill(pid, 'SIGKILL');
});
