/** What stands between an old launch and a new one on a node: real process trees. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createPingNode } from '../../activities/fence-node.js';
import { findLaunched } from '../../activities/process.js';
import { bothUp, fakeNode, fence, launch } from '../support/fake-training.js';
import { run } from '../support/test-node.js';
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
    expect(await fence(deps, 9)).toEqual({ ...info, token: 8, access: expect.any(String) as string });
  });
});
