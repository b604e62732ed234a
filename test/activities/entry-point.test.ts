import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { entryPoint } from '../../activities/entry-point.js';
import { fingerprint } from '../../activities/fingerprint.js';
import { tempDir } from '../support/temp-dir.js';

test.each(['../x.py', '/tmp/x.py', 'tools/x.py', './pretrain_gpt.py', 'setup.py', ''])(
  'a node runs no program but the entry points of its checkout: not "%s"',
  async (script) => {
    await expect(entryPoint({ name: 'n1', mindspeedDir: '/opt/llm' }, script)).rejects.toMatchObject({
      type: 'InvalidInput',
      nonRetryable: true,
    });
  },
);

test('a checkout that was changed since it was approved runs nothing', async () => {
  const mindspeedDir = await tempDir();
  await mkdir(join(mindspeedDir, 'mindspeed_llm'));
  await writeFile(join(mindspeedDir, 'pretrain_gpt.py'), '');
  const node = { name: 'n1', mindspeedDir, checkout: await fingerprint(mindspeedDir) };
  expect(await entryPoint(node, 'pretrain_gpt.py')).toBe(join(mindspeedDir, 'pretrain_gpt.py'));
  await writeFile(join(mindspeedDir, 'mindspeed_llm/evil.py'), 'import os');
  await expect(entryPoint(node, 'pretrain_gpt.py')).rejects.toMatchObject({
    type: 'EnvCheckFailed',
    message: expect.stringMatching(/^n1: the programs in .* PRETRAIN_CHECKOUT approves/) as string,
  });
});
