/** A demo that is ended, in whatever way: what becomes of the processes that it had started. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { processesIn } from '../../infra/demo/kill-node.js';
import { endLeftBehind } from '../../infra/demo/left-behind.js';
import { root } from '../../workers/config.js';
import { tempDir } from '../support/temp-dir.js';
import { until } from '../support/until.js';

/** A program that takes signals over as the demo does, and starts one part; its output is the part's pid. */
async function started(dir: string): Promise<{ demo: ChildProcess; part: number }> {
  const module = (name: string) => JSON.stringify(pathToFileURL(join(root, `infra/demo/${name}.ts`)).href);
  const script = join(dir, 'demo.mts');
  await writeFile(
    script,
    `import { createPart } from ${module('part')};
     import { takeSignals } from ${module('signals')};
     takeSignals();
     const command = ['sh', '-c', 'echo begun; exec sleep 1000'];
     const part = createPart(${JSON.stringify(join(dir, 'part.log'))}, { command, env: process.env, ready: /never/ });
     void part.start();
     process.stdout.write(String(part.pid) + '\\n');`,
  );
  const demo = spawn(process.execPath, ['--import', 'tsx', script], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void demo.kill('SIGKILL'));
  const [pid] = (await once(demo.stdout, 'data')) as [Buffer];
  return { demo, part: Number(pid) };
}

const isThere = (pid: number): boolean => existsSync(`/proc/${pid}/cwd`);

test('a signal before the cluster is up ends what has been started of it', async () => {
  const { demo, part } = await started(await tempDir());
  demo.kill('SIGTERM');
  expect(await once(demo, 'exit')).toEqual([143, null]);
  await until(() => !isThere(part));
});

test('what a killed demo left is ended by the next one, which says so, and nothing else is', async () => {
  const dir = await tempDir();
  const { demo, part } = await started(dir);
  const node = join(dir, 'nodes/n1');
  await mkdir(node, { recursive: true });
  // In a session of its own, as all is that a worker launches.
  const [rank, reader] = [node, dir].map((cwd) => spawn('sleep', ['1000'], { cwd, stdio: 'ignore', detached: true }));
  onTestFinished(() => void reader!.kill('SIGKILL'));
  demo.kill('SIGKILL');
  await once(demo, 'exit');
  expect(isThere(part)).toBe(true);

  const said: string[] = [];
  const say = (text: string) => void said.push(text);
  await expect(endLeftBehind(dir, { say, patienceMs: 0 })).rejects.toThrow(
    /\(kill -9 [\d ]+\) and start again; nothing in/,
  );
  await endLeftBehind(dir, { say });
  expect(said[0]).toMatch(/^ending what an earlier demo left running when it was killed: process \d+, \d+$/);
  expect(said[0]!.match(/\d+/g)!.map(Number).sort()).toEqual([part, rank!.pid!].sort());
  expect([part, rank!.pid!, reader!.pid!].map(isThere)).toEqual([false, false, true]);
  await endLeftBehind(await tempDir(), { say: () => expect.unreachable() });
});

const hasScript = spawnSync('script', ['--version']).status === 0;
test.runIf(hasScript)("a person's shell that looks around in a node's directory is not ended", async () => {
  const dir = await tempDir();
  const node = join(dir, 'nodes/n1');
  await mkdir(node, { recursive: true });
  const terminal = spawn('script', ['-qec', 'echo here; exec sleep 1000', '/dev/null'], { cwd: node });
  onTestFinished(() => void terminal.kill('SIGKILL'));
  await once(terminal.stdout, 'data');
  // The program that makes the terminal has none itself here.
  const own = await processesIn(node);
  expect(own.filter((pid) => pid !== terminal.pid)).toEqual([]);
});
