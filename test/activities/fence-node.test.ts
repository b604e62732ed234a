/** What stands between an old launch and a new one on a node: real process trees. */
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createFenceNode, createPingNode } from '../../activities/fence-node.js';
import { findLaunched } from '../../activities/process.js';
import { bothUp, fakeNode, fence, launch } from '../support/fake-training.js';
import { tempDir } from '../support/temp-dir.js';
import { run, testNode } from '../support/test-node.js';
import type { NodeDeps } from '../../activities/node-deps.js';

const ping = (deps: NodeDeps) => run(createPingNode(deps) as (_: undefined) => Promise<unknown>, undefined);

describe('a fence', () => {
  it('ends what older launches left, refuses what is still on its way, and lets its own token in', async () => {
    const deps = await fakeNode();
    await launch(deps, 3);
    await bothUp(deps);
    await fence(deps, 5);
    expect(await findLaunched(deps.dataDir)).toEqual([]);
    await expect(launch(deps, 4)).rejects.toThrow('launch with token 4 refused: token 4 was stopped here');
    await launch(deps, 5);
    expect(await bothUp(deps)).toHaveLength(2);
  });

  it('may be asked for again, and leaves alone what was launched under it', async () => {
    const deps = await fakeNode();
    await fence(deps, 5);
    await launch(deps, 5);
    const ranks = await bothUp(deps);
    await fence(deps, 5);
    expect(await findLaunched(deps.dataDir)).toEqual(ranks);
  });

  it('does not lower what a newer launch has raised', async () => {
    const deps = await fakeNode();
    await launch(deps, 9);
    const ranks = await bothUp(deps);
    await fence(deps, 5);
    expect(await findLaunched(deps.dataDir)).toEqual(ranks);
    await expect(launch(deps, 8)).rejects.toThrow('refused: token 9 has been here');
  });
});

describe('what a fence tells of the storage of checkpoints', () => {
  it('is a name that those have in common who share it, whoever came first, and for one launch', async () => {
    const shared = await tempDir();
    const nodes = await Promise.all(['n1', 'n2', 'n3'].map((name) => testNode(name)));
    for (const { dataDir } of nodes.slice(0, 2)) await symlink(shared, join(dataDir, 'series'));
    const [one, two, three] = (await Promise.all(nodes.map((node) => fence(node, 5)))).map(({ storage }) => storage);
    expect(one).toMatch(/^[0-9a-f-]{36}$/);
    expect(two).toBe(one);
    expect(three).not.toBe(one);
    expect((await fence(nodes[0]!, 5)).storage).toBe(one);
    expect((await fence(nodes[0]!, 6)).storage).not.toBe(one);
  });

  it('is also who has it, for a node that joins those who train', async () => {
    const shared = await tempDir();
    const nodes = await Promise.all(['n1', 'n2', 'n3'].map((name) => testNode(name)));
    for (const { dataDir } of nodes.slice(1)) await symlink(shared, join(dataDir, 'series'));
    for (const node of nodes.slice(0, 2)) expect(await fence(node, 5)).not.toHaveProperty('beside');
    const asked = { token: 5, run: 'r', series: 's', probe: 'r', joins: true as const };
    expect(await run(createFenceNode(nodes[2]!), asked)).toMatchObject({ beside: ['n2'] });
    expect(await run(createFenceNode(nodes[0]!), asked)).toMatchObject({ beside: [] });
  });
});

describe('a fence that is gone', () => {
  it('is known again from what launches left: an older one stays out, the newest goes on', async () => {
    const deps = await fakeNode();
    await launch(deps, 9);
    const ranks = await bothUp(deps);
    await rm(join(deps.dataDir, 'runs/fence.json'));
    expect(await ping(deps)).toMatchObject({ token: 9 });
    await expect(launch(deps, 8)).rejects.toThrow('refused: token 9 has been here');
    await launch(deps, 9);
    expect(await findLaunched(deps.dataDir)).toEqual(ranks);
    await fence(deps, 5);
    await expect(launch(deps, 6)).rejects.toThrow('refused: token 9 has been here');
  });
});

describe('a fence that cannot be read', () => {
  it.each(['', '{"token":5', '{}', 'null'])(
    'is no empty one: with %j nothing is let in, and a person is told',
    async (text) => {
      const deps = await fakeNode();
      const path = join(deps.dataDir, 'runs/fence.json');
      await mkdir(join(deps.dataDir, 'runs'), { recursive: true });
      await writeFile(path, text);
      const refused = await fence(deps, 9).catch((error: unknown) => error);
      expect(refused).toMatchObject({ type: 'EnvCheckFailed', nonRetryable: true, details: [{ node: 'n1' }] });
      expect((refused as Error).message).toMatch(/n1: .*runs\/fence\.json is .*write \{"token":N,"stopped":N\} there/);
      await expect(launch(deps, 4)).rejects.toThrow('fence.json');
      await expect(ping(deps)).rejects.toThrow('fence.json');
      expect(await readFile(path, 'utf8')).toBe(text);

      await writeFile(path, '{"token":8,"stopped":8}');
      await expect(launch(deps, 4)).rejects.toThrow('token 8 was stopped here');
      await fence(deps, 9);
      await launch(deps, 9);
      expect(await bothUp(deps)).toHaveLength(2);
    },
  );
});

describe('an answer', () => {
  it('says how to reach the node, and which token it has seen', async () => {
    const deps = await fakeNode();
    const info = { name: 'n1', address: '127.0.0.1', port: deps.port, devices: 1, profile: 'cpu' };
    expect(await ping(deps)).toEqual({ ...info, token: 0 });
    await launch(deps, 7);
    expect(await ping(deps)).toEqual({ ...info, token: 7 });
    const nothing = { checkpoints: [], saves: { iterations: [], launch: expect.any(Object) as object } };
    expect(await fence(deps, 9)).toEqual({
      ...info,
      token: 8,
      storage: expect.any(String) as string,
      access: expect.any(String) as string,
      ...nothing,
    });
  });

  it('tells what ranks had saved when they were ended, and not before', async () => {
    const deps = await fakeNode();
    await launch(deps, 3);
    await bothUp(deps);
    await mkdir(join(deps.dataDir, 'series/s/checkpoints/iter_0000005/mp_rank_00'), { recursive: true });
    expect((await fence(deps, 5)).saves).toMatchObject({ iterations: [5], launch: { token: 3 } });
    expect(await findLaunched(deps.dataDir)).toEqual([]);
  });

  it('gives the run no other token for the files while the one that it has is good', async () => {
    const deps = await fakeNode();
    const { access } = await fence(deps, 5);
    const again = (more: object) =>
      run(createFenceNode(deps), { token: 6, run: 'r', series: 's', probe: 'r', ...more }).then((it) => it.access);
    expect(await again({ access })).toBe(access);
    expect(await again({ access, series: 'other' })).not.toBe(access);
    expect(await again({ access: 'x'.repeat(43) })).not.toBe('x'.repeat(43));
    expect(await again({})).not.toBe(access);
  });
});
