/** Saves that a launch left and nobody sealed: what is told of them, and what may be sealed. Real files. */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { unsealDamaged } from '../../activities/artifact.js';
import { writeJson } from '../../activities/atomic.js';
import { sealShard, shardDir, TRACKER } from '../../activities/checkpoint-files.js';
import { filesOf, generationDir } from '../../activities/generation-files.js';
import { createListCheckpoints } from '../../activities/list-checkpoints.js';
import type { NodeDeps } from '../../activities/node-deps.js';
import { createRestoreCheckpoint } from '../../activities/restore-checkpoint.js';
import { createFindSaves, createSealSaves } from '../../activities/seal-saves.js';
import { forgetOlderLaunch, noteLaunch } from '../../activities/series-launch.js';
import { bothUp, fakeNode, launch, launchInput } from '../support/fake-training.js';
import { run, testNode } from '../support/test-node.js';

const DIR = 'series/s/checkpoints';
const [OWN, OTHER] = ['mp_rank_00_000', 'mp_rank_00_001'] as const;

async function save({ dataDir }: NodeDeps, iteration: number, shard: string = OWN): Promise<void> {
  const dir = join(dataDir, shardDir(DIR, iteration, shard));
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'model_optim_rng.pt'), `model of ${shard} at ${iteration}`);
}
const track = ({ dataDir }: NodeDeps, iteration: number) => writeFile(join(dataDir, DIR, TRACKER), String(iteration));

const TOKEN = 7;
const identity = { 'parallel.pp': 2 };

/** A node where a launch from iteration 50 has saved 100 and 107, as rank 0's node or as another. */
async function saved({ isFirst = true, loads }: { isFirst?: boolean; loads?: number } = {}): Promise<NodeDeps> {
  const deps = await testNode('n1');
  await mkdir(join(deps.dataDir, DIR), { recursive: true });
  for (const iteration of [50, 100, 107]) await save(deps, iteration);
  await track(deps, isFirst ? 107 : 50);
  const saves = { isFirst, shards: [OWN], after: 50 };
  await noteLaunch(deps.dataDir, { ...launchInput(TOKEN), ...(loads !== undefined && { loads }), saves, identity });
  return deps;
}

const find = (deps: NodeDeps) => run(createFindSaves(deps), { series: 's' });
const seal = (deps: NodeDeps, iteration: number, token = TOKEN) =>
  run(createSealSaves(deps), { series: 's', token, iteration });
const list = (deps: NodeDeps) => run(createListCheckpoints(deps), { dir: DIR });
const unsealed = (...iterations: number[]) => iterations.map((iteration) => ({ iteration, shards: [OWN] }));

describe('saves that nobody has sealed', () => {
  it('are told by what this node wrote since its last launch, with the tracker where rank 0 is', async () => {
    const iterations = [50, 100, 107];
    const launch = { token: TOKEN, unsealed: unsealed(100, 107) };
    expect(await find(await saved())).toEqual({ iterations, launch: { ...launch, tracked: 107 } });
    expect(await find(await saved({ isFirst: false }))).toEqual({ iterations, launch });
  });

  it('are sealed in the name of the launch that wrote them, with what it trains with', async () => {
    const deps = await saved();
    expect(await seal(deps, 107)).toEqual({ sealed: [OWN] });
    expect(await list(deps)).toMatchObject([{ iteration: 107, identity, shards: [{ shard: OWN, token: TOKEN }] }]);
    expect((await find(deps)).launch?.unsealed).toEqual(unsealed(100));
  });

  it('are not sealed for another launch, nor where that one began', async () => {
    const deps = await saved();
    expect(await seal(deps, 107, TOKEN + 1)).toEqual({ sealed: [] });
    expect(await seal(deps, 50)).toEqual({ sealed: [] });
    expect(await list(deps)).toEqual([]);
  });

  it('are not what this node has of others, of which it may be half a copy', async () => {
    const deps = await saved();
    await save(deps, 107, OTHER);
    expect((await find(deps)).launch?.unsealed).toEqual(unsealed(100, 107));
    expect(await seal(deps, 107)).toEqual({ sealed: [OWN] });
  });

  it('are not those with a seal that does not fit any more: they are damaged', async () => {
    const deps = await saved();
    await sealShard(deps.dataDir, shardDir(DIR, 107, OWN), { token: TOKEN });
    await writeFile(join(deps.dataDir, shardDir(DIR, 107, OWN), 'model_optim_rng.pt'), 'cut');
    expect((await find(deps)).launch?.unsealed).toEqual(unsealed(100));
    expect(await seal(deps, 107)).toEqual({ sealed: [] });
  });

  it('are not sealed after a restart of the machine, which may have cut them short', async () => {
    const deps = await saved();
    const path = join(deps.dataDir, 'launches/s.json');
    const noted = JSON.parse(await readFile(path, 'utf8')) as object;
    await writeJson(path, { ...noted, bootId: 'another' });
    expect((await find(deps)).launch).toMatchObject({ restarted: true });
    expect(await seal(deps, 107)).toEqual({ sealed: [] });
  });

  it('are nobody’s where the note of their launch is damaged, which is no reason to tell of none', async () => {
    const deps = await saved();
    const path = join(deps.dataDir, 'launches/s.json');
    await writeFile(path, '{"run": "r", "tok');
    expect(await find(deps)).toEqual({ iterations: [50, 100, 107] });
    expect(await seal(deps, 107)).toEqual({ sealed: [] });
    await run(() => forgetOlderLaunch(deps.dataDir, DIR, TOKEN + 1), {});
  });

  it('are nobody’s any more once a restore has begun', async () => {
    const deps = await saved();
    await run(createRestoreCheckpoint(deps), { dir: DIR, iteration: 107, shards: [], setAsideNewer: true });
    expect(await find(deps)).toEqual({ iterations: [50, 100, 107] });
    expect(await seal(deps, 107)).toEqual({ sealed: [] });
  });

  it('are nobody’s any more once copies of another launch come to lie here, of which half may be left', async () => {
    const deps = await saved();
    const other = { shard: OWN, digest: '0'.repeat(64), bytes: 1, from: [] };
    const brings = { dir: DIR, iteration: 107, shards: [other], setAsideNewer: false, leavesTracker: true as const };
    await expect(run(createRestoreCheckpoint(deps), brings)).rejects.toMatchObject({ type: 'DataCorrupt' });
    expect((await find(deps)).launch).toBeUndefined();

    const newer = await saved();
    for (const [token, isKept] of [
      [TOKEN, true],
      [TOKEN + 1, false],
    ] as const) {
      // prettier-ignore
      await forgetOlderLaunch(newer.dataDir, DIR, token);
      expect((await find(newer)).launch !== undefined).toBe(isKept);
    }
  });

  it.each(['.damaged.json', '.part.json', '.distrib_optim.pt.n1.part'])(
    'are not those of which %s tells that they are no whole save',
    async (name) => {
      const deps = await saved();
      await writeFile(join(deps.dataDir, shardDir(DIR, 107, OWN), name), '{}');
      expect((await find(deps)).launch?.unsealed).toEqual(unsealed(100));
      expect(await seal(deps, 107)).toEqual({ sealed: [] });
    },
  );

  it.each([
    ['loaded what was planned', ' successfully loaded checkpoint from x at iteration 50\n', 107],
    ['loaded something else', ' successfully loaded checkpoint from x at iteration 20\n', undefined],
    ['does not say what it loaded', '', undefined],
  ])('are vouched for by a rank 0 that %s: %j', async (_, log, tracked) => {
    const deps = await saved({ loads: 50 });
    const dir = generationDir(deps.dataDir, launchInput(TOKEN));
    await mkdir(dir, { recursive: true });
    await writeFile(filesOf(dir).log, log);
    expect((await find(deps)).launch?.tracked).toBe(tracked);
  });

  it('are those of a launch that was noted before any of its ranks began', async () => {
    const deps = await fakeNode();
    await launch(deps, 3);
    await bothUp(deps);
    expect((await find(deps)).launch).toMatchObject({ token: 3 });
    await rm(join(deps.dataDir, DIR), { recursive: true });
    expect((await find(deps)).iterations).toEqual([]);
  });
});

describe('checkpoints that a failing gang made', () => {
  /** As torch.save leaves a file: its archive's end comes last. */
  const whole = Buffer.concat([Buffer.from('weights'), Buffer.from('504b0506'.padEnd(44, '0'), 'hex')]);

  async function dump({ dataDir }: NodeDeps, dir: string, shard: string, bytes = whole): Promise<void> {
    const to = join(dataDir, DIR, dir, shard);
    await mkdir(to, { recursive: true });
    for (const file of ['model_optim_rng.pt', 'distrib_optim.pt']) await writeFile(join(to, file), bytes);
  }

  async function failing(more: { isFirst?: boolean; dumps?: true } = { dumps: true }): Promise<NodeDeps> {
    const deps = await testNode('n1');
    await save(deps, 100);
    const saves = { isFirst: false, shards: [OWN], after: 50, ...more };
    await noteLaunch(deps.dataDir, { ...launchInput(TOKEN), saves, identity });
    return deps;
  }
  const sealDumped = (deps: NodeDeps, ...dumped: string[]) =>
    run(createSealSaves(deps), { series: 's', token: TOKEN, iteration: 112, dumped });

  it('are told by what is there, of whichever rank, and are sealed under the usual name', async () => {
    const deps = await failing();
    for (const shard of [OTHER, OWN]) await dump(deps, 'iter_0000112_tmp', shard);
    const found = await find(deps);
    expect(found.iterations).toEqual([100, 112]);
    expect(found.launch?.dumped).toEqual([{ iteration: 112, shards: [OWN, OTHER] }]);
    expect(await sealDumped(deps, OWN, OTHER)).toEqual({ sealed: [OWN, OTHER] });
    expect(await list(deps)).toMatchObject([{ iteration: 112, identity, shards: [{ shard: OWN }, { shard: OTHER }] }]);
    expect((await find(deps)).launch?.dumped).toEqual([]);
    // As when the worker dies after it.
    expect(await sealDumped(deps, OWN, OTHER)).toEqual({ sealed: [OWN, OTHER] });
  });

  it('are told as named where a rank has done so, which moves the tracker there', async () => {
    const deps = await failing();
    await dump(deps, 'iter_0000112', OTHER);
    await track(deps, 112);
    expect((await find(deps)).launch?.dumped).toEqual([
      { iteration: 112, shards: [OTHER], isNamed: true, isCertain: true },
    ]);
    expect(await sealDumped(deps, OTHER)).toEqual({ sealed: [OTHER] });
    // It was sealed, and is found damaged.
    await unsealDamaged(deps.dataDir, shardDir(DIR, 112, OTHER));
    expect((await find(deps)).launch?.dumped).toEqual([{ iteration: 112, shards: [], isNamed: true, isCertain: true }]);
  });

  it('are not sealed where a file was cut short, nor over half a copy of another node', async () => {
    const deps = await failing();
    await dump(deps, 'iter_0000112_tmp', OWN, whole.subarray(0, -1));
    await dump(deps, 'iter_0000112_tmp', OTHER);
    await dump(deps, 'iter_0000112', OTHER);
    expect(await sealDumped(deps, OWN, OTHER)).toEqual({ sealed: [] });
    expect(await list(deps)).toEqual([]);
  });

  it('are not sealed without the file that is written last, nor where a copy of another node is under way', async () => {
    const deps = await failing();
    for (const shard of [OWN, OTHER]) await dump(deps, 'iter_0000112_tmp', shard);
    const at = (shard: string, file: string) => join(deps.dataDir, DIR, 'iter_0000112_tmp', shard, file);
    await rm(at(OWN, 'model_optim_rng.pt'));
    await writeFile(at(OTHER, 'model_optim_rng.pt.n2.part'), 'half');
    expect(await sealDumped(deps, OWN, OTHER)).toEqual({ sealed: [] });
  });

  it('are none of a launch that makes none, and are out of the next one’s sight', async () => {
    const deps = await failing({});
    await dump(deps, 'iter_0000112_tmp', OWN);
    expect((await find(deps)).launch).not.toHaveProperty('dumped');
    expect(await sealDumped(deps, OWN)).toEqual({ sealed: [] });
    const tree = { dir: DIR, iteration: 0, shards: [], setAsideNewer: true };
    expect(await run(createRestoreCheckpoint(deps), tree)).toMatchObject({ aside: { iterations: [100, 112] } });
    expect((await readdir(join(deps.dataDir, DIR))).filter((name) => name.startsWith('iter_'))).toEqual([]);
    const [batch] = await readdir(join(deps.dataDir, DIR, 'set-aside'));
    expect(await readdir(join(deps.dataDir, DIR, 'set-aside', batch!))).toContain('iter_0000112_tmp');
  });
});
