/** Steps that bring files to one disk at the same time. */
import { mkdir, readdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createSpaceAsker, createSpaceGiver } from '../../activities/asked-space.js';
import { sha256, writeManifest } from '../../activities/artifact.js';
import { createBesideTraining } from '../../activities/beside-training.js';
import { withSpace } from '../../activities/promised-space.js';
import { pullArtifact } from '../../activities/transfer.js';
import { tempDir } from '../support/temp-dir.js';
import { serving, testNode } from '../support/test-node.js';

const DIR = 'series/s/checkpoints/iter_0000005/mp_rank_00';

/** So much of what is free that two of them do not fit. */
async function mostOf(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return Math.floor(bavail * bsize * 0.6);
}

/** A node that says that it has a file of this size; nobody gets as far as asking for it. */
async function claiming(bytes: number) {
  const node = await testNode('n2');
  await mkdir(join(node.dataDir, DIR), { recursive: true });
  const file = { path: 'distrib_optim.pt', size: bytes, sha256: sha256('x') };
  return {
    from: [await serving(node)],
    artifact: await writeManifest(node.dataDir, DIR, { files: [file], block: 1e15 }),
  };
}

/** A step that has room for so many bytes, of which none have come if `left` says nothing else, until it is ended. */
function holding(path: string, bytes: number, space = withSpace, left = () => bytes) {
  let end: () => void = () => undefined;
  let isHeld = (): void => undefined;
  const held = new Promise<void>((resolve) => (isHeld = resolve));
  const step = space({ path, bytes, left }, { node: 'n1', name: 'fetch s3://b' }, () => {
    isHeld();
    return new Promise<void>((resolve) => (end = resolve));
  });
  return {
    held: Promise.race([held, step]),
    async end() {
      end();
      await step;
    },
  };
}

it('are refused where all that they have still to bring does not fit, though each by itself would', async () => {
  const path = await tempDir();
  const { bavail, bsize } = await statfs(path);
  const bytes = bavail * bsize * 0.6;
  let left = bytes;
  let end: () => void = () => undefined;
  const step = { node: 'n1', name: 'fetch s3://b' };
  const other = (work: () => Promise<string>) => withSpace({ path, bytes, left: () => bytes }, step, work);
  const first = withSpace({ path, bytes, left: () => left }, step, () => new Promise<void>((done) => (end = done)));
  const done = () => Promise.resolve('done');

  await expect(other(done)).rejects.toMatchObject({
    type: 'EnvCheckFailed',
    message: expect.stringMatching(/^n1: fetch s3:\/\/b needs .* besides .* that other steps are bringing/) as string,
  });
  left = 0;
  expect(await other(done)).toBe('done');
  left = bytes;
  end();
  await first;
  expect(await other(done)).toBe('done');
});

it('that begin at once are looked at one after the other, and one that is refused takes no room from the next', async () => {
  const path = await tempDir();
  const bytes = await mostOf(path);
  const steps = [holding(path, bytes * 2), holding(path, bytes), holding(path, bytes)];
  const seen = await Promise.allSettled(steps.map(({ held }) => held));
  const isHeld = seen.map(({ status }) => status === 'fulfilled');
  // Who of two comes first is the disk's choice.
  expect(isHeld[0]).toBe(false);
  expect(isHeld.filter(Boolean)).toHaveLength(1);
  await steps[isHeld.indexOf(true)]!.end();
});

it('are refused a copy from another node besides what a fetch has still to bring, before its first byte', async () => {
  const node = await testNode('n1');
  const bytes = await mostOf(node.dataDir);
  const pull = await claiming(bytes);
  const refused = {
    type: 'EnvCheckFailed',
    message: expect.stringMatching(
      /^n1: copy series\/s\S+ needs .* besides .* that other steps are bringing/,
    ) as string,
  };
  const fetching = holding(node.dataDir, bytes);
  await fetching.held;
  await expect(pullArtifact(node, pull)).rejects.toMatchObject(refused);
  expect(await readdir(join(node.dataDir, DIR))).toEqual([]);
  // The same of a copy beside training, which another process brings.
  await expect(createBesideTraining(node).pull(pull, new AbortController().signal)).rejects.toMatchObject(refused);
  await fetching.end();
});

it('in another process ask for room, say what is left, and give it back at their end and when their process is gone', async () => {
  const path = await tempDir();
  const bytes = await mostOf(path);
  const room = { path, bytes, left: () => bytes };
  const fits = (): Promise<boolean> =>
    withSpace(room, { node: 'n1', name: 'copy x' }, () => Promise.resolve(true)).catch(() => false);
  const asker = createSpaceAsker((asked) => setImmediate(() => giver.onAsked(asked)));
  const giver = createSpaceGiver(withSpace, (given) => setImmediate(() => asker.onGiven(given)));
  let left = bytes;
  const first = holding(path, bytes, asker.withSpace, () => left);
  await first.held;
  expect(await fits()).toBe(false);
  await expect(holding(path, bytes, asker.withSpace).held).rejects.toThrow(
    /^n1: fetch s3:\/\/b needs .* besides .* that other steps are bringing/,
  );
  left = 0;
  await expect.poll(fits, { timeout: 10_000 }).toBe(true);
  await first.end();

  const second = holding(path, bytes, asker.withSpace);
  await second.held;
  expect(await fits()).toBe(false);
  giver.onGone();
  await expect.poll(fits, { timeout: 10_000 }).toBe(true);
  await second.end();
});
