import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { onlyAgent } from '../../workers/agent-lock.js';
import { onlyNodeOf } from '../../workers/own-directory.js';
import { tempDir } from '../support/temp-dir.js';

it('a data directory on shared storage that another node has already is refused, with what to do', async () => {
  const dir = await tempDir();
  await onlyNodeOf(dir, 'n01');
  await onlyNodeOf(dir, 'n01');
  await expect(onlyNodeOf(dir, 'n02')).rejects.toThrow(
    `PRETRAIN_DATA: ${dir} is the data directory of node n01, expected one of n02's own`,
  );
  await onlyNodeOf(dir, 'n01');
});

it('a second worker of one node is refused while the first runs, by whatever name it calls the directory', async () => {
  const dir = await tempDir();
  const link = join(await tempDir(), 'link');
  await symlink(dir, link);
  const release = await onlyAgent(dir);
  for (const path of [dir, link])
    await expect(onlyAgent(path)).rejects.toThrow(
      `another node worker uses the data directory ${path}. There is one agent a node: stop that one first`,
    );
  await release();
  await (
    await onlyAgent(link)
  )();
});
