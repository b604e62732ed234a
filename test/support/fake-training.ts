/** A node whose torchrun is a stand-in, and short words for what tests do with it. */
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { endLaunched } from '../../activities/end-launched.js';
import { createFenceNode } from '../../activities/fence-node.js';
import { filesOf, generationDir } from '../../activities/generation-files.js';
import { createLaunchTraining } from '../../activities/launch-training.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { findLaunched, pause } from '../../activities/process.js';
import { createStopTraining } from '../../activities/stop-training.js';
import { createWatchTraining } from '../../activities/watch-training.js';
import type { LaunchTrainingInput, WatchTrainingInput } from '../../workflows/contract.js';
import { run, testNode } from './test-node.js';

const FAKE = fileURLToPath(new URL('../fixtures/bin/fake-torchrun.mjs', import.meta.url));

export async function fakeNode(env: Record<string, string> = {}, more: Partial<NodeDeps> = {}): Promise<NodeDeps> {
  const deps = await testNode('n1', { python: FAKE, env: { PATH: process.env['PATH']!, ...env }, ...more });
  onTestFinished(async () => void (await endLaunched(deps.dataDir, () => true, 0)));
  return deps;
}

export const launchInput = (token: number, leaseSeconds = 60): LaunchTrainingInput => ({
  ...{ run: 'r', series: 's', generation: token, token, leaseSeconds },
  ...{ torchrun: [], script: ['pretrain_gpt.py'], env: {}, saves: { isFirst: true, shards: [], after: 0 } },
});

export const idOf = (token: number) => ({ run: 'r', generation: token, token });

/** As a run does before each launch. */
export const fence = (deps: NodeDeps, token: number) =>
  run(createFenceNode(deps), { token, run: 'r', series: 's', probe: 'r' });

export const launch = (deps: NodeDeps, token: number, leaseSeconds?: number) =>
  run(createLaunchTraining(deps), launchInput(token, leaseSeconds));

export const watch = (deps: NodeDeps, token: number, more: Partial<WatchTrainingInput> = {}) =>
  run(createWatchTraining(deps), { ...idOf(token), leaseSeconds: 60, ...more });

export const stop = (deps: NodeDeps, token: number, graceSeconds = 5) =>
  run(createStopTraining(deps), { ...idOf(token), graceSeconds });

export const filesFor = (deps: NodeDeps, token: number) => filesOf(generationDir(deps.dataDir, idOf(token)));

/** Both torchrun and its rank, when both are up. */
export async function bothUp(deps: NodeDeps) {
  for (;;) {
    const found = await findLaunched(deps.dataDir);
    if (found.some(({ rank }) => rank) && found.length === 2) return found;
    await pause(20);
  }
}
