/** Which Python has torch, and on Debian, how it gets it. */
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { join, sep } from 'node:path';
import { aptInstall } from './apt.mjs';
import { ask, root, say, SetupError } from './step.mjs';

/**
 * @typedef {object} TorchPython
 * @property {string} executable
 * @property {string} torch the path of torch/__init__.py
 * @property {string[]} sitePackages where this Python's packages are
 * @property {boolean} canMakeVenv
 */

const debianPython = '/usr/bin/python3';
const question = `
import importlib.util, json, os, site, sys, torch, torch.distributed
assert torch.distributed.is_available()
print(json.dumps({
    "executable": sys.executable,
    "torch": torch.__file__,
    "sitePackages": [p for p in [*site.getsitepackages(), site.getusersitepackages()] if os.path.isdir(p)],
    "canMakeVenv": importlib.util.find_spec("ensurepip") is not None,
}))`;

/** @returns {Promise<TorchPython>} */
export async function pythonWithTorch() {
  const found = (await search()) ?? (await installTorch());
  if (!isDebians(found)) return found;
  const missing = [...(found.canMakeVenv ? [] : ['python3-venv']), ...(hasFastBlas() ? [] : ['libopenblas0-pthread'])];
  if (missing.length === 0) return found;
  try {
    await aptInstall('python', missing);
  } catch (error) {
    // A slow matrix product is no reason to stop; no venv is.
    if (!(error instanceof SetupError) || !found.canMakeVenv) throw error;
    say('python', `torch will be slow without libopenblas0-pthread: ${error.message}`);
  }
  return found;
}

/** @returns {Promise<TorchPython | undefined>} */
async function search() {
  const versions = ['3.14', '3.13', '3.12', '3.11', '3.10', '3.9'].map((version) => `python${version}`);
  const candidates = [process.env.PYTHON, 'python3', debianPython, ...versions];
  for (const candidate of new Set(candidates)) {
    const found = candidate ? await askTorch(candidate) : undefined;
    // An activated .venv of ours is no base to make .venv from.
    if (found !== undefined && !found.executable.startsWith(join(root, '.venv') + sep)) return found;
  }
  return undefined;
}

/** @param {string} python @returns {Promise<TorchPython | undefined>} undefined when it has no torch */
export async function askTorch(python) {
  const answer = await ask(python, ['-c', question]);
  return answer === undefined ? undefined : JSON.parse(answer.trim().split('\n').at(-1) ?? '');
}

/** Where a venv's own packages are. @param {string} python @returns {Promise<string>} */
export async function sitePackages(python) {
  const answer = await ask(python, ['-c', 'import sysconfig; print(sysconfig.get_paths()["purelib"])']);
  if (answer === undefined) throw new SetupError(`${python} does not run`);
  return answer.trim();
}

async function installTorch() {
  try {
    await aptInstall('python', ['python3-torch', 'libopenblas0-pthread', 'python3-venv']);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    throw new SetupError(
      `no Python here imports torch: install PyTorch for CPU and name its Python with PYTHON (${error.message})`,
      error.detail,
    );
  }
  const found = await askTorch(debianPython);
  if (found === undefined)
    throw new SetupError(`${debianPython} does not import torch, though python3-torch is installed`);
  return found;
}

const isDebians = (/** @type {TorchPython} */ { torch }) => torch.startsWith('/usr/lib/python3/dist-packages/');

/** Debian's torch computes with the system's BLAS, and the reference one is ten times as slow as OpenBLAS. */
function hasFastBlas() {
  const alternatives = '/etc/alternatives';
  const names = existsSync(alternatives) ? readdirSync(alternatives) : [];
  const chosen = names.filter((name) => name.startsWith('libblas.so.3')).map((name) => join(alternatives, name));
  return chosen.some((link) => existsSync(link) && /openblas|mkl|blis|atlas/.test(realpathSync(link)));
}
