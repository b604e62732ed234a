import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createToolVersions } from '../../activities/tool-versions.js';
import { tempDir } from '../support/temp-dir.js';
import { testNode } from '../support/test-node.js';

/** A Python that imports modules of its own, and notes each time that torch is. */
async function nodeWithModules() {
  const dir = await tempDir();
  const imports = join(dir, 'imports');
  const torch = async (version: string) =>
    writeFile(join(dir, 'torch.py'), `open(${JSON.stringify(imports)}, 'a').write('.')\n__version__ = '${version}'\n`);
  await torch('2.7.1');
  await writeFile(join(dir, 'numpy.py'), `__version__ = '1.26.4'\n`);
  const python = join(dir, 'python');
  await writeFile(python, '#!/bin/bash\nexec python3 -B "$@"\n');
  await chmod(python, 0o755);
  const deps = await testNode('n1', { python, env: { PATH: process.env['PATH']!, PYTHONPATH: dir } });
  const imported = async () => (await readFile(imports, 'utf8').catch(() => '')).length;
  return { versionsFor: createToolVersions(deps), torch, imported };
}

it('imports what the trainer does once a run, and again when another is installed', async () => {
  const { versionsFor, torch, imported } = await nodeWithModules();
  expect(await versionsFor('r')).toMatchObject({ torch: '2.7.1', numpy: '1.26.4' });
  expect(await versionsFor('r')).toMatchObject({ torch: '2.7.1' });
  expect(await imported()).toBe(1);
  await torch('2.9.10');
  expect(await versionsFor('r')).toMatchObject({ torch: '2.9.10' });
  expect(await imported()).toBe(2);
});

it('imports it for each run anew, and after a failure', async () => {
  const { versionsFor, torch, imported } = await nodeWithModules();
  await versionsFor('r');
  await versionsFor('s');
  expect(await imported()).toBe(2);
  await torch("' + 1 + '");
  await expect(versionsFor('s')).rejects.toThrow('cannot import torch');
  await expect(versionsFor('s')).rejects.toThrow('cannot import torch');
  expect(await imported()).toBe(4);
});
