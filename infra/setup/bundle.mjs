/**
 * `npm run bundle [-- x64|arm64]`: one archive with all that a worker needs besides Node, for machines without a network.
 * Built from the lock file for the machine it is for, which need not be of the kind that builds it.
 */
import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from './build.mjs';
import { withLock } from './lock.mjs';
import { complaintsAbout, nativeParts } from './native-parts.mjs';
import { readStamp } from './stamp.mjs';
import { cache, program, root, run, say, SetupError } from './step.mjs';

/** Rust's names of the platforms that the Temporal SDK brings its native part for. */
const BRIDGES = { x64: 'x86_64-unknown-linux-gnu', arm64: 'aarch64-unknown-linux-gnu' };

await program(() => withLock(join(cache, 'setup.lock'), bundle));

async function bundle() {
  const cpu = process.argv[2] ?? process.arch;
  if (cpu !== 'x64' && cpu !== 'arm64') throw new SetupError(`expected x64 or arm64, got ${cpu}`);
  await build();
  const { name, version, type, engines, dependencies } = readStamp(join(root, 'package.json'));
  const title = `${name}-${version}-linux-${cpu}`;
  const stage = join(cache, 'bundle', title);
  rmSync(stage, { recursive: true, force: true });
  mkdirSync(stage, { recursive: true });
  for (const path of ['package.json', 'package-lock.json']) cpSync(join(root, path), join(stage, path));
  say('bundle', `production dependencies for linux-${cpu}`);
  const forIt = ['--os=linux', `--cpu=${cpu}`, '--libc=glibc'];
  const quiet = ['--omit=dev', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
  await run('bundle-npm', 'npm', ['ci', ...quiet, ...forIt], { cwd: stage });
  prune(stage, cpu);
  writeFileSync(join(stage, 'glibc'), `2.${proveNative(stage, cpu)}\n`);
  for (const path of [
    'dist',
    'infra/collective-test',
    'infra/reference-backend',
    'infra/deploy',
    'infra/monitoring',
    'infra/runs',
    'infra/README.md',
  ])
    cpSync(join(root, path), join(stage, path), { recursive: true });
  cpSync(join(root, 'infra/deploy/bundle/install.sh'), join(stage, 'install.sh'));
  writeFileSync(join(stage, 'package.json'), JSON.stringify({ name, version, type, engines, dependencies }, null, 2));
  rmSync(join(stage, 'package-lock.json'));
  await run('bundle-tar', 'tar', ['czf', `${stage}.tar.gz`, '-C', join(cache, 'bundle'), title]);
  rmSync(stage, { recursive: true });
  console.log(`${stage}.tar.gz`);
}

/** Nobody can try it here when it is for another machine. @param {string} stage @param {string} cpu @returns {number} minor of glibc 2.x that it needs */
function proveNative(stage, cpu) {
  const parts = nativeParts(join(stage, 'node_modules'));
  const complaints = complaintsAbout(parts, cpu);
  if (complaints.length > 0) throw new SetupError(`this is no bundle for linux-${cpu}`, complaints.join('\n'));
  return Math.max(...parts.map(({ glibc }) => glibc ?? 0));
}

/** What other platforms would load. @param {string} stage @param {'x64' | 'arm64'} cpu */
function prune(stage, cpu) {
  const keepOnly = (/** @type {string} */ folder, /** @type {(name: string) => boolean} */ isOurs) => {
    for (const name of readdirSync(join(stage, 'node_modules', folder)))
      if (!isOurs(name)) rmSync(join(stage, 'node_modules', folder, name), { recursive: true });
  };
  keepOnly('@temporalio/core-bridge/releases', (name) => name === BRIDGES[cpu]);
  keepOnly('tokenizers', (name) => !name.endsWith('.node') || name === `tokenizers.linux-${cpu}-gnu.node`);
}
