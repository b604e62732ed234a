/** What closed runs left on a node, with real files and real processes. */
import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { writeJson } from '../../activities/atomic.js';
import { exclusive } from '../../activities/exclusive.js';
import { grantAccess, grantOf } from '../../activities/grants.js';
import { bootId, bootSeconds, findLaunched, findMarked, isAlive, ownerOf, pause } from '../../activities/process.js';
import { createReapLeft } from '../../activities/reap-left.js';
import { createFindLeft } from '../../activities/runs-left.js';
import { noteLaunch } from '../../activities/series-launch.js';
import { leaveProbes } from '../../activities/storage-probe.js';
import type { ReapInput } from '../../workflows/leftovers.js';
import { bothUp, fakeNode, filesFor, launch, launchInput } from '../support/fake-training.js';
import { run, testNode } from '../support/test-node.js';

const DAY_MS = 86_400_000;
const NOW = Date.now();
/** A grace of a day. */
const BEFORE = NOW - DAY_MS;
const closed = (name: string, days = 3) => ({ run: name, closedAt: NOW - days * DAY_MS });
const wanting = (changes: Partial<ReapInput>): ReapInput => ({ closed: [], before: BEFORE, dryRun: false, ...changes });

/** Everything below, as if nobody had touched it for so long. */
async function aged(dir: string, days: number): Promise<void> {
  const at = new Date(NOW - days * DAY_MS);
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) await aged(path, days);
    await utimes(path, at, at);
  }
  await utimes(dir, at, at);
}

async function put(dataDir: string, path: string, text = 'x'): Promise<void> {
  await mkdir(dirname(join(dataDir, path)), { recursive: true });
  await writeFile(join(dataDir, path), text);
}

const below = async (dir: string): Promise<string[]> =>
  (await readdir(dir, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1))
    .sort();

describe('what closed runs left on a node', () => {
  const leave = async () => {
    const deps = await testNode('n1');
    const { dataDir } = deps;
    await ownerOf(dataDir);
    for (const [name, token] of [
      ['gone', 1],
      ['gone', 2],
      ['alive', 3],
      ['late', 4],
      ['gone', 9],
    ] as const) {
      await put(dataDir, `runs/${name}/gen-1-${token}/train.log`, 'some log\n');
      await leaveProbes(deps, { run: name, token });
    }
    // Another node's, where the directory is shared.
    await put(dataDir, 'series/.probes/gone@2/n2');
    await put(dataDir, 'series/s/checkpoints/iter_0000005/mp_rank_00/model.pt');
    await put(dataDir, 'series/s/checkpoints/iter_0000005/mp_rank_00/.model.pt.n1.part');
    await noteLaunch(dataDir, { ...launchInput(1), run: 'gone', series: 's', generation: 1 });
    await aged(dataDir, 2);
    const access = await grantAccess(dataDir, { run: 'gone', series: 's' });
    const other = await grantAccess(dataDir, { run: 'alive', series: 's' });
    await aged(join(dataDir, 'access'), 2);
    return { deps, dataDir, access, other };
  };

  it('goes, and nothing of other runs, of one closed lately, of checkpoints, nor what the next launch goes by', async () => {
    const { deps, dataDir, access, other } = await leave();
    const input = wanting({ closed: [closed('gone'), closed('late', 0.5)] });
    await put(dataDir, 'runs/fresh/gen-1-5/train.log');
    expect(await run(createFindLeft(deps), input)).toEqual({ runs: ['gone', 'late', 'alive'] });
    // As when a run begins again under the name while the server is asked.
    const again = await grantAccess(dataDir, { run: 'gone', series: 's' });
    const before = await below(dataDir);
    const would = await run(createReapLeft(deps), { ...input, dryRun: true });
    expect(await below(dataDir)).toEqual(before);

    const done = await run(createReapLeft(deps), input);
    expect(done).toEqual(would);
    // Of three launches of that run: the last of its series and the newest of the node stay. Probes: seven for a name and three tokens.
    const left = { run: 'gone', processes: 0, launches: 1, probes: 10, tokens: 1, bytes: 9 };
    expect(done).toEqual({ runs: [left], downloads: { files: 0, bytes: 0 }, failed: [] });
    const after = await below(dataDir);
    const removed = before.filter((path) => !after.includes(path));
    expect(removed.filter((path) => !/^(datasets|models|series)\/\.probes\/gone(@\d)?\/n1$/.test(path))).toEqual([
      expect.stringMatching(/^access\//) as string,
      'runs/gone/gen-1-2/train.log',
    ]);
    expect(after).toContain('series/.probes/gone@2/n2');
    expect(await grantOf(dataDir, `Bearer ${access}`)).toBeUndefined();
    for (const [token, name] of [
      [other, 'alive'],
      [again, 'gone'],
    ] as const)
      expect(await grantOf(dataDir, `Bearer ${token}`)).toMatchObject({ run: name });
    expect(await run(createReapLeft(deps), input)).toMatchObject({ runs: [] });
  });

  it('stays where it was touched within the grace, and where nobody can say which launch a series goes by', async () => {
    const { deps, dataDir } = await leave();
    const input = wanting({ closed: [closed('gone')] });
    await writeFile(join(dataDir, 'runs/gone/gen-1-2/train.log'), 'somebody looks\n');
    expect((await run(createReapLeft(deps), input)).runs).toMatchObject([{ run: 'gone', launches: 0, probes: 10 }]);
    await aged(join(dataDir, 'runs'), 2);
    await writeFile(join(dataDir, 'launches/s.json'), '{"run');
    const { runs, failed } = await run(createReapLeft(deps), input);
    expect([runs, failed]).toEqual([[], [expect.stringContaining('launches/s.json is not JSON') as string]]);
  });

  it('a download is one that nobody finished, of this node, older than every open run, and in nobody’s hands', async () => {
    const deps = await testNode('n1');
    const { dataDir } = deps;
    await ownerOf(dataDir);
    const parts = ['models/m/weights/a.n1.part', 'datasets/d/.b.n1.part', 'datasets/d/.b.n1.part.blocks'];
    const whole = ['datasets/d/c', 'datasets/d/.b.n2.part', 'files/sha256/0.n1.part', 'exports/e.n1.part', 'owner'];
    for (const path of [...parts, ...whole.slice(0, -1)]) await put(dataDir, path, 'x'.repeat(5000));
    await aged(dataDir, 2);
    const reap = (openSince?: number) =>
      run(createReapLeft(deps), wanting(openSince === undefined ? {} : { openSince }));
    expect((await reap(NOW - 3 * DAY_MS)).downloads.files).toBe(0);

    let over!: () => void;
    const fetching = exclusive(join(dataDir, 'models/m'), () => new Promise<void>((done) => (over = done)));
    const { downloads } = await reap(NOW - 1.5 * DAY_MS);
    expect(downloads).toEqual({ files: 1, bytes: 16_384 });
    over();
    await fetching;
    expect((await reap()).downloads.files).toBe(1);
    expect(await below(dataDir)).toEqual([...whole].sort());
  });
});

describe('ranks whose guard was killed', () => {
  it('are ended when their run is closed and the lease is over, and not before', async () => {
    const deps = await fakeNode();
    await launch(deps, 5);
    const ranks = await bothUp(deps);
    const guard = (await findMarked(deps.dataDir)).find((process) => process.guard)!;
    process.kill(guard.pid, 'SIGKILL');
    while (await isAlive(guard)) await pause(20);
    // Closed a moment ago: for ranks the lease is the grace.
    const just = wanting({ closed: [{ run: 'r', closedAt: NOW }] });
    const reap = (input: ReapInput) => run(createReapLeft(deps), input);
    expect((await reap(just)).runs).toEqual([]);

    const lease = { token: 5, bootId: await bootId(), deadline: (await bootSeconds()) - 61 };
    await writeJson(filesFor(deps, 5).lease, { ...lease, bootId: 'of an earlier boot' });
    expect((await reap(just)).runs).toEqual([]);
    await writeJson(filesFor(deps, 5).lease, lease);
    expect((await reap(wanting({}))).runs).toEqual([]);
    const left = { run: 'r', processes: ranks.length, launches: 0, probes: 0, tokens: 0, bytes: 0 };
    expect((await reap({ ...just, dryRun: true })).runs).toEqual([left]);
    expect(await Promise.all(ranks.map(isAlive))).toEqual(ranks.map(() => true));
    expect((await reap(just)).runs).toEqual([left]);
    expect(await findLaunched(deps.dataDir)).toEqual([]);
    expect(await readFile(filesFor(deps, 5).log, 'utf8')).not.toBe('');
  });
});
