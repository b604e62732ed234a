/** Steps that bring files to one disk at the same time. */
import { statfs } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { withSpace } from '../../activities/promised-space.js';
import { tempDir } from '../support/temp-dir.js';

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
