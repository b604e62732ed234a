/** `npm run build`: TypeScript to dist/, then the workflow bundle. Each is skipped when its sources are unchanged. */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { withLock } from './lock.mjs';
import { hashFiles, listFiles, readStamp, writeStamp } from './stamp.mjs';
import { cache, program, root, run, say } from './step.mjs';

const dist = join(root, 'dist');
const folders = ['workflows', 'activities', 'workers', 'infra'];
const isSource = (/** @type {string} */ file) => file.endsWith('.ts');
// The compiler and the SDK's bundler are inputs as well: a new version builds anew.
const tools = ['package-lock.json', 'tsconfig.json', 'tsconfig.build.json'];

export async function build() {
  await compile();
  await bundle();
}

async function compile() {
  const sources = listFiles(root, folders, isSource);
  const stamp = join(dist, '.compiled.json');
  const inputs = hashFiles(root, [...sources, ...tools]);
  const outputs = sources.filter((source) => !source.endsWith('.d.ts')).map((source) => source.replace(/\.ts$/, '.js'));
  const isWhole = outputs.every((output) => existsSync(join(dist, output)));
  if (readStamp(stamp)?.inputs === inputs && isWhole) return;
  // tsc writes again what changed, not what somebody deleted.
  if (!isWhole) rmSync(join(dist, '.tsbuildinfo'), { force: true });
  say('build', `tsc, ${sources.length} files`);
  await run('tsc', process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json']);
  removeOrphans(new Set(outputs));
  writeStamp(stamp, { inputs });
}

/** A deleted source must not live on as JavaScript that an import still finds. @param {Set<string>} outputs */
function removeOrphans(outputs) {
  for (const file of listFiles(dist, folders, (name) => /\.js(\.map)?$/.test(name))) {
    if (!outputs.has(file.replace(/\.map$/, ''))) rmSync(join(dist, file));
  }
}

export const workflowBundle = join(dist, 'workflow-bundle.js');
const bundleStamp = join(dist, '.bundled.json');
const bundleInputs = () =>
  hashFiles(root, [...listFiles(root, ['workflows'], isSource), 'workers/bundle.ts', ...tools]);

/** Whether the bundle is of the workflows as they are now. */
export const isBundleFresh = () => existsSync(workflowBundle) && readStamp(bundleStamp)?.inputs === bundleInputs();

async function bundle() {
  const bundler = join(dist, 'workers', 'bundle.js');
  if (!existsSync(bundler) || isBundleFresh()) return;
  const inputs = bundleInputs();
  say('build', 'workflow bundle');
  await run('bundle', process.execPath, [bundler]);
  writeStamp(bundleStamp, { inputs });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await program(() => withLock(join(cache, 'setup.lock'), build));
}
