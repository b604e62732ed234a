/** Curves for TensorBoard, from the node that wrote them to another one that did. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { NodeDeps } from '../../activities/node-deps.js';
import { createSealCurves } from '../../activities/seal-curves.js';
import { createSyncFiles } from '../../activities/sync-files.js';
import { run, serving, testNode } from '../support/test-node.js';

const DIR = 'series/s/tensorboard';
const file = (launch: number) => `events.out.tfevents.170000000${launch}.host.7.0`;

async function wrote(node: NodeDeps, ...launches: number[]): Promise<void> {
  await mkdir(join(node.dataDir, DIR), { recursive: true });
  for (const launch of launches) await writeFile(join(node.dataDir, DIR, file(launch)), `records of ${launch}`);
}
const seal = (node: NodeDeps) => run(createSealCurves(node), { dir: DIR });

test('a node on which no rank wrote curves has none, and is left as it is', async () => {
  const node = await testNode('n1');
  expect(await seal(node)).toEqual({ path: join(node.dataDir, DIR) });
  expect(await readdir(node.dataDir)).toEqual([]);
});

test('event files alone are curves: what else lies there stays where it is', async () => {
  const node = await testNode('n1');
  await wrote(node, 1);
  await writeFile(join(node.dataDir, DIR, 'notes.txt'), 'mine');
  expect((await seal(node)).artifact).toMatchObject({ files: 1, bytes: 'records of 1'.length });
});

test('the node that wrote last has all files after it has copied the others, under their own names, and does so again with no harm', async () => {
  const [first, last] = [await testNode('n1'), await testNode('n2')];
  await wrote(first, 1, 2);
  await wrote(last, 3);
  const { artifact } = await seal(first);
  await seal(last);
  for (let round = 0; round < 2; round++) {
    await run(createSyncFiles(last), { artifact: artifact!, from: [await serving(first)] });
    expect((await seal(last)).artifact).toMatchObject({ files: 3 });
  }
  for (const launch of [1, 2, 3])
    expect(await readFile(join(last.dataDir, DIR, file(launch)), 'utf8')).toBe(`records of ${launch}`);
});

test('a launch after that adds a file, and the next seal has it', async () => {
  const node = await testNode('n1');
  await wrote(node, 1);
  const before = (await seal(node)).artifact!;
  await wrote(node, 2);
  const after = (await seal(node)).artifact!;
  expect(after).toMatchObject({ files: 2 });
  expect(after.digest).not.toBe(before.digest);
});

test('a file that was changed on the way is not taken', async () => {
  const [first, last] = [await testNode('n1'), await testNode('n2')];
  await wrote(first, 1);
  const { artifact } = await seal(first);
  await writeFile(join(first.dataDir, DIR, file(1)), 'something ee');
  await expect(run(createSyncFiles(last), { artifact: artifact!, from: [await serving(first)] })).rejects.toThrow(
    /no peer gave a good events/,
  );
});
