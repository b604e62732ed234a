/**
 * `npm run build`, and first thing in the commands that need no more: npm's packages, TypeScript and the encoder to dist/,
 * then the workflow bundle. Each is skipped when its sources are unchanged.
 */
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { withLock } from './lock.mjs';
import { checkNode } from './node-version.mjs';
import { installPackages } from './npm.mjs';
import { hashFiles, listFiles, readStamp, writeStamp } from './stamp.mjs';
import { cache, program, root, run, say } from './step.mjs';

const dist = join(root, 'dist');
const folders = ['workflows', 'activities', 'workers', 'infra'];
// AssemblyScript looks like TypeScript and is another language.
const encoder = 'activities/preprocess/encoder/assembly';
const isSource = (/** @type {string} */ file) => file.endsWith('.ts') && !file.startsWith(encoder);
// The compiler and the SDK's bundler are inputs as well: a new version builds anew.
const tools = ['package-lock.json', 'tsconfig.json', 'tsconfig.build.json'];

export async function build() {
  await installPackages();
  await compile();
  await compileEncoder();
  await bundle();
}

const compiledStamp = join(dist, '.compiled.json');

function compilation() {
  const sources = listFiles(root, folders, isSource);
  const inputs = hashFiles(root, [...sources, ...tools]);
  const outputs = sources.filter((source) => !source.endsWith('.d.ts')).map((source) => source.replace(/\.ts$/, '.js'));
  const isWhole = outputs.every((output) => existsSync(join(dist, output)));
  const isFresh = readStamp(compiledStamp)?.inputs === inputs && isWhole;
  return { sources, inputs, outputs, isWhole, isFresh };
}

/** Whether dist/ has the sources as they are now. */
export const isCompiled = () => compilation().isFresh;

async function compile() {
  const { sources, inputs, outputs, isWhole, isFresh } = compilation();
  if (isFresh) return;
  // tsc writes again what changed, not what somebody deleted.
  if (!isWhole) rmSync(join(dist, '.tsbuildinfo'), { force: true });
  say('build', `tsc, ${sources.length} files`);
  await run('tsc', process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json']);
  removeOrphans(new Set(outputs));
  writeStamp(compiledStamp, { inputs });
}

/** The encoder's WebAssembly: one file in dist/, which sources that run uncompiled (in tests) find there as well. */
export async function compileEncoder() {
  const output = join(dist, 'activities/preprocess/encoder/encoder.wasm');
  const stamp = join(dist, '.encoder.json');
  const sources = listFiles(root, [encoder], (file) => file.endsWith('.ts'));
  const inputs = hashFiles(root, [...sources, 'package-lock.json', 'infra/setup/build.mjs']);
  if (readStamp(stamp)?.inputs === inputs && existsSync(output)) return;
  say('build', `asc, ${sources.length} files`);
  mkdirSync(dirname(output), { recursive: true });
  const temporary = `${output}.${process.pid}.tmp`;
  const asc = join(root, 'node_modules/assemblyscript/bin/asc.js');
  // No runtime, no allocator, no abort: the module lays out its memory itself and imports nothing.
  const flags = ['-O3', '--noAssert', '--runtime', 'stub', '--use', 'abort=', '--enable', 'simd'];
  await run('asc', process.execPath, [asc, join(encoder, 'index.ts'), '-o', temporary, ...flags]);
  renameSync(temporary, output);
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
  await program(() => {
    checkNode();
    return withLock(join(cache, 'setup.lock'), build, (pid) => say('build', `waits for the set-up of process ${pid}`));
  });
}
