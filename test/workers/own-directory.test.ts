import { expect, it } from 'vitest';
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
