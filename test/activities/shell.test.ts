import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { isAlive, identify, pause } from '../../activities/process.js';
import { run, type RunOptions } from '../../activities/shell.js';
import { collectGarbage } from '../support/collect-garbage.js';
import { tempDir } from '../support/temp-dir.js';

const options = (more: Partial<RunOptions> = {}): RunOptions => ({
  env: { PATH: process.env['PATH']! },
  timeout: 10_000,
  what: 'n1: probe',
  ...more,
});
const bash = (script: string, more?: Partial<RunOptions>) => run(['bash', '-c', script], options(more));

it('gives what a command prints, with arguments that no shell touches', async () => {
  expect(await run(['printf', '%s|', 'a b', '$HOME', '"'], options())).toBe('a b|$HOME|"|');
});

it('says of a command that failed how it ended, and its last line, in one line', async () => {
  await expect(bash('echo first >&2; echo "the reason" >&2; exit 3')).rejects.toMatchObject({
    type: 'CommandFailed',
    message: 'n1: probe: bash ended with exit code 3: the reason',
  });
});

it('keeps the output of a long command in its log', async () => {
  const logPath = join(await tempDir(), 'log');
  await expect(bash('echo out; echo err >&2; exit 1', { logPath })).rejects.toThrow(`err; log: ${logPath}`);
  expect(await readFile(logPath, 'utf8')).toBe('out\nerr\n');
  expect(await bash('echo more', { logPath })).toBe('');
});

it('waits no longer than it was told for one that has printed enough, and takes that for its answer', async () => {
  const enough = { isIn: (text: string) => text.includes('done'), endsWithinMs: 100 };
  expect(await bash('echo done; exec sleep 64', { enough })).toBe('done\n');
  expect(await bash('echo done; exit 1', { enough })).toBe('done\n');
  await expect(bash('echo none; exit 1', { enough })).rejects.toThrow('exit code 1: none');
  await expect(bash('echo none; exec sleep 64', { enough, timeout: 300 })).rejects.toThrow('0.3 s');
});

it('does not forget the time that a command may take, however often garbage is collected meanwhile', async () => {
  const collecting = setInterval(collectGarbage, 20);
  const started = performance.now();
  await expect(bash('sleep 63', { timeout: 300, signal: new AbortController().signal })).rejects.toThrow('0.3 s');
  clearInterval(collecting);
  expect(performance.now() - started).toBeLessThan(10_000);
});

it.concurrent.for([
  ['a command', "trap '' TERM; sleep 61 & echo $!; wait; sleep 62"],
  ['the child of a command', "(trap '' TERM; exec sleep 61) & echo $!; wait"],
] as const)('ends %s that takes too long, though it is deaf to SIGTERM', async ([, script], test) => {
  const logPath = join(await tempDir(test), 'log');
  await expect(bash(script, { logPath, timeout: 300 })).rejects.toThrow('did not end within 0.3 s');
  const child = await identify(Number(await readFile(logPath, 'utf8')));
  expect(child && (await isAlive(child))).toBeFalsy();
});

it('ends with the reason of a cancellation, and ends the command', async () => {
  const logPath = join(await tempDir(), 'log');
  const cancel = new AbortController();
  const running = bash('sleep 61 & echo $!; wait', { logPath, signal: cancel.signal });
  while (!(await readFile(logPath, 'utf8').catch(() => ''))) await pause(20);
  const reason = new Error('cancelled');
  cancel.abort(reason);
  await expect(running).rejects.toBe(reason);
  const child = await identify(Number(await readFile(logPath, 'utf8')));
  expect(child && (await isAlive(child))).toBeFalsy();
});
