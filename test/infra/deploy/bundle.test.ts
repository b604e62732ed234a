/** The archive for machines without a network, installed into an empty directory, and started there. */
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { complaintsAbout, nativeParts } from '../../../infra/setup/native-parts.mjs';
import { root } from '../../../workers/config.js';

const exec = promisify(execFile);
let dir: string;
let prefix: string;
let archive: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'bundle-'));
  prefix = join(dir, 'opt');
  const { stdout } = await exec(process.execPath, ['infra/setup/bundle.mjs'], { cwd: root });
  archive = stdout.trim().split('\n').at(-1)!;
  await exec('tar', ['xzf', archive, '-C', dir]);
}, 300_000);
afterAll(() => rm(dir, { recursive: true, force: true }));

const unpacked = () => join(dir, archive.split('/').at(-1)!.replace('.tar.gz', ''));

it('is installed without npm and without a network, twice over, and has one native bridge', async () => {
  for (const _ of [1, 2]) await exec('sh', [join(unpacked(), 'install.sh'), prefix]);
  expect(await readlink(join(prefix, 'current'))).toMatch(/^releases\/mindspeed-pretrain-workflow-.*-linux-/);
  const bridges = join(prefix, 'current/node_modules/@temporalio/core-bridge/releases');
  expect(await readdir(bridges)).toHaveLength(1);
  const packages = join(prefix, 'current/node_modules');
  expect(await readdir(packages)).not.toContain('vitest');
  const parts = nativeParts(packages);
  expect(new Set(parts.map(({ cpu }) => cpu))).toEqual(new Set([process.arch]));
  expect(complaintsAbout(parts, process.arch)).toEqual([]);
});

it('is not installed where the C library is older than what its native parts ask for', async () => {
  const glibc = join(unpacked(), 'glibc');
  const wanted = await readFile(glibc, 'utf8');
  expect(wanted).toMatch(/^2\.\d\d\n$/);
  await writeFile(glibc, '2.99\n');
  const refused = exec('sh', [join(unpacked(), 'install.sh'), join(dir, 'refused')]);
  await expect(refused).rejects.toThrow(/needs glibc 2\.99, this machine has 2\.\d+/);
  await writeFile(glibc, wanted);
});

it('a node worker of it starts, and says that it waits for a server', async () => {
  const main = join(prefix, 'current/dist/workers/main.js');
  // Port 9 of loopback is nobody's.
  const env = {
    ...{ PATH: process.env['PATH'], HOME: dir, TEMPORAL_ADDRESS: '127.0.0.1:9', PRETRAIN_DATA: join(dir, 'data') },
    ...{ PRETRAIN_ADDRESS: '127.0.0.1', PRETRAIN_NODE: 'n1' },
  };
  const worker = spawn(process.execPath, [main, 'node'], { env, cwd: dir });
  try {
    const lines = createInterface(worker.stderr)[Symbol.asyncIterator]();
    expect((await lines.next()).value).toMatch(/^no Temporal server at 127\.0\.0\.1:9 yet \(.*\); trying again$/);
  } finally {
    worker.kill('SIGKILL');
  }
}, 120_000);

it('a setting that is missing is named', async () => {
  const main = join(prefix, 'current/dist/workers/main.js');
  await expect(
    exec(process.execPath, [main, 'node'], { env: { PATH: process.env['PATH'] }, cwd: dir }),
  ).rejects.toThrow(/PRETRAIN_DATA: an absolute path, got nothing/);
});
