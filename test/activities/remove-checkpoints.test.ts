/** Old checkpoints on a real disk: what goes, what stays, and what happens when one does not go. */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { iterationDir, TRACKER } from '../../activities/checkpoint-files.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { createRemoveCheckpoints } from '../../activities/remove-checkpoints.js';
import { createRestoreCheckpoint } from '../../activities/restore-checkpoint.js';
import { run, testNode } from '../support/test-node.js';

// Root may do anything to an ordinary directory, so a stubborn one has to be made up.
vi.mock(import('node:fs/promises'), async (importActual) => {
  const actual = await importActual();
  const rename: typeof actual.rename = (from, to) =>
    String(from).endsWith(iterationDir(13)) && String(to).includes('.removed-')
      ? Promise.reject(Object.assign(new Error('EBUSY: resource busy'), { code: 'EBUSY' }))
      : actual.rename(from, to);
  return { ...actual, rename };
});

const DIR = 'series/s/checkpoints';
const SHARD = 'mp_rank_00';

async function save({ dataDir }: NodeDeps, ...iterations: number[]): Promise<void> {
  for (const iteration of iterations) {
    const dir = join(dataDir, DIR, iterationDir(iteration), SHARD);
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, 'model_optim_rng.pt'), 'x'.repeat(1000));
  }
}
const tree = ({ dataDir }: NodeDeps) => readdir(join(dataDir, DIR)).then((names) => names.sort());
const remove = (deps: NodeDeps, retention: { before: number; keep: number[]; every?: number }) =>
  run(createRemoveCheckpoints(deps), { series: 's', retention });

describe('the removal of old checkpoints', () => {
  it('leaves what is to be kept and what is newer, sealed or not, and ends what another worker began', async () => {
    const deps = await testNode('n1');
    await save(deps, 10, 20, 25, 30, 40, 50);
    await mkdir(join(deps.dataDir, DIR, '.removed-iter_0000005-x', SHARD), { recursive: true });
    expect(await remove(deps, { before: 40, keep: [30], every: 20 })).toEqual({ removed: [10, 25] });
    expect(await tree(deps)).toEqual([20, 30, 40, 50].map(iterationDir));
    expect(await remove(deps, { before: 40, keep: [30], every: 20 })).toEqual({ removed: [] });
  });

  it('leaves what the tracker of this node names, as a restore left it: only that of rank 0 moves', async () => {
    const deps = await testNode('n2');
    await save(deps, 5, 10, 15);
    await writeFile(join(deps.dataDir, DIR, TRACKER), '5');
    expect(await remove(deps, { before: 15, keep: [10] })).toEqual({ removed: [] });
    await writeFile(join(deps.dataDir, DIR, TRACKER), '15');
    expect(await remove(deps, { before: 15, keep: [10] })).toEqual({ removed: [5] });
  });

  it('says which one it could not remove and why, and removes the others', async () => {
    const deps = await testNode('n1');
    await save(deps, 11, 13, 15, 20);
    expect(await remove(deps, { before: 20, keep: [] })).toEqual({
      removed: [11, 15],
      failed: ['iteration 13: EBUSY: resource busy'],
    });
    expect(await tree(deps)).toEqual([13, 20].map(iterationDir));
  });

  it('does not touch what restores have set aside, and says how much that is', async () => {
    const deps = await testNode('n1');
    await save(deps, 10, 15, 20);
    const restored = await run(createRestoreCheckpoint(deps), {
      ...{ dir: DIR, iteration: 10, shards: [], setAsideNewer: true },
    });
    const aside = { iterations: [15, 20], bytes: 2000 };
    expect(restored).toEqual({ aside });
    expect(await remove(deps, { before: 100, keep: [] })).toEqual({ removed: [10], aside });
    expect(await tree(deps)).toEqual(['set-aside']);
  });

  it('has nothing to do where the series never was', async () => {
    expect(await remove(await testNode('n1'), { before: 100, keep: [] })).toEqual({ removed: [] });
  });
});
