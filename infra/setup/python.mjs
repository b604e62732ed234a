/**
 * Step: .venv/bin/python is a Python with torch, the reference backend's requirements and a torchrun that works.
 * A stamp in .venv says for which Python, torch and requirements that is true; it is written last.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hashFiles, identify, readStamp, same, writeStamp, writeWhole } from './stamp.mjs';
import { ask, root, run, say, SetupError } from './step.mjs';
import { askTorch, pythonWithTorch, sitePackages } from './torch.mjs';
import { proveTorchrun } from './torchrun.mjs';

const venv = join(root, '.venv');
const python = join(venv, 'bin', 'python');
const stamp = join(venv, '.set-up.json');
/** Tells a .venv that set-up made, and may make anew, from one that a person made. */
const ours = join(venv, '.made-by-set-up');

const requirements = 'infra/reference-backend/requirements.txt';
const numpy = 'infra/reference-backend/requirements-numpy.txt';
/** Only wheels whose digest stands in the file, and nothing that it does not name. */
const pinned = ['-m', 'pip', 'install', '--no-input', '--no-deps', '--only-binary=:all:', '--require-hashes', '-r'];
const own = ['python.mjs', 'torch.mjs', 'torchrun.mjs', 'torchrun_repair.py', 'torchrun_proof.py'];

export async function preparePython() {
  const inputs = hashFiles(root, [requirements, numpy, ...own.map((file) => `infra/setup/${file}`)]);
  const done = readStamp(stamp);
  const isWhole =
    done !== undefined &&
    [done.base, done.torch].every((file) => same(file, identify(file.path))) &&
    existsSync(python);
  if (isWhole && done.inputs === inputs) return;

  rmSync(stamp, { force: true });
  const base = isWhole ? done.base.path : await makeVenv();
  say('python', `pip install -r ${requirements}`);
  await run('pip', python, [...pinned, join(root, requirements)]);
  // Debian's torch brings the numpy it was built with; other builds of torch do without.
  if ((await ask(python, ['-c', 'import numpy'])) === undefined)
    await run('pip', python, [...pinned, join(root, numpy)]);

  const { torch } = await mustHaveTorch(base);
  say('python', 'proving torchrun with one process');
  await proveTorchrun(python);
  writeStamp(stamp, { inputs, base: identify(base), torch: identify(torch) });
}

/** @returns {Promise<string>} the Python that .venv was made from */
async function makeVenv() {
  if (existsSync(venv) && !existsSync(ours)) {
    if ((await askTorch(python)) !== undefined) return python;
    throw new SetupError('.venv was not made by set-up and has no torch: move it away and start again');
  }
  const base = await pythonWithTorch();
  say('python', `making .venv from ${base.executable}`);
  rmSync(venv, { recursive: true, force: true });
  mkdirSync(venv);
  writeFileSync(ours, '');
  await run('venv', base.executable, ['-m', 'venv', '--system-site-packages', venv]);
  // "System" is the Python below the base when the base is itself a venv: name the base's own packages then.
  if ((await askTorch(python)) === undefined) {
    const folders = base.sitePackages.map((folder) => `site.addsitedir(${JSON.stringify(folder)})`);
    writeWhole(join(await sitePackages(python), 'base.pth'), `import site; ${folders.join('; ')}\n`);
  }
  return base.executable;
}

/** @param {string} base */
async function mustHaveTorch(base) {
  const found = await askTorch(python);
  if (found === undefined)
    throw new SetupError(`.venv does not import torch, though ${base} does: see .cache/logs/pip.log`);
  return found;
}
