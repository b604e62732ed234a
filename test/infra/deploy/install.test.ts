/** The bundle's install script, over a release that has nothing in it: what a release is made of is tested in bundle.test.ts. */
import { execFile } from 'node:child_process';
import { copyFile, mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { root } from '../../../workers/config.js';
import { tempDir } from '../../support/temp-dir.js';

const title = `mindspeed-pretrain-workflow-0.1.0-${process.platform}-${process.arch}`;

async function release(program: string): Promise<string> {
  const from = join(await tempDir(), title);
  await mkdir(join(from, 'dist'), { recursive: true });
  await copyFile(join(root, 'infra/deploy/bundle/install.sh'), join(from, 'install.sh'));
  await writeFile(join(from, 'glibc'), '2.17\n');
  await writeFile(join(from, 'dist/main.js'), program);
  return from;
}

it('another bundle of the same version is installed, beside the one before, to which one can go back', async () => {
  const prefix = await tempDir();
  const install = async (from: string) => promisify(execFile)('sh', [join(from, 'install.sh'), prefix]);
  const current = () => readFile(join(prefix, 'current/dist/main.js'), 'utf8');
  const [before, after] = [await release('before'), await release('after')];
  await install(before);
  expect((await install(after)).stdout).toContain(`${title}.2 is the current release`);
  expect(await current()).toBe('after');
  // The same one again is no other.
  await install(after);
  expect((await readdir(join(prefix, 'releases'))).sort()).toEqual([title, `${title}.2`]);
  expect(await readlink(join(prefix, 'current'))).toBe(`releases/${title}.2`);
  expect(await readFile(join(prefix, 'releases', title, 'dist/main.js'), 'utf8')).toBe('before');
});
