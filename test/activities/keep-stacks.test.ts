/** What is kept of a hung gang before it is killed. */
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { innermost } from '../../activities/keep-stacks.js';
import { createStopTraining } from '../../activities/stop-training.js';
import { createWatchTraining } from '../../activities/watch-training.js';
import { bothUp, fakeNode, filesFor, idOf, launch, watch } from '../support/fake-training.js';
import { tempDir } from '../support/temp-dir.js';
import { run } from '../support/test-node.js';

/** A directory of programs that print what they are given. */
async function programs(texts: Record<string, string>): Promise<string> {
  const dir = await tempDir();
  for (const [name, text] of Object.entries(texts)) {
    await writeFile(join(dir, name), `#!/bin/sh\ncat <<'END'\n${text}\nEND\n`);
    await chmod(join(dir, name), 0o755);
  }
  return dir;
}

const DUMP = `Process 4711: python pretrain_gpt.py
Thread 4712 (idle): "Thread-1"
    wait (threading.py:320)
Thread 4711 (active): "MainThread"
    all_reduce (torch/distributed/distributed_c10d.py:2501)
    main (pretrain_gpt.py:20)`;

const stopHung = (deps: Awaited<ReturnType<typeof fakeNode>>) =>
  run(createStopTraining(deps), { ...idOf(1), graceSeconds: 0.2, keepStacks: true });

it('a rank that is stopped is seen as such, with its threads, though there is no py-spy', async () => {
  const deps = await fakeNode();
  await launch(deps, 1);
  const rank = (await bothUp(deps)).find(({ rank }) => rank)!;
  process.kill(rank.pid, 'SIGSTOP');
  const { stacks } = filesFor(deps, 1);
  expect(await stopHung(deps)).toMatchObject({ confirmed: true, stacksPath: stacks, ranks: [{ rank: 0, state: 'T' }] });
  const text = await readFile(stacks, 'utf8');
  expect(text).toContain(`== rank 0, pid ${rank.pid}, state T`);
  expect(text).toContain('no stack of Python');
  expect(text).toMatch(new RegExp(`thread ${rank.pid} node: T \\(stopped\\), waits in `));
});

it("on a machine with NPUs the stacks of Python, the devices and the ranks' plogs are kept as well", async () => {
  const dir = await programs({ 'py-spy': DUMP, 'npu-smi': '| npu-smi 24.1.1 |' });
  const logs = await tempDir();
  const env = { PATH: `${dir}:${process.env['PATH']!}`, ASCEND_PROCESS_LOG_PATH: logs };
  const deps = await fakeNode(env, { profile: 'npu' });
  await launch(deps, 1);
  const { pid } = (await bothUp(deps)).find(({ rank }) => rank)!;
  await mkdir(join(logs, 'debug/plog'), { recursive: true });
  await writeFile(join(logs, `debug/plog/plog-${pid}_2026.log`), 'EI0002 of this rank');
  await writeFile(join(logs, 'debug/plog/plog-1_2026.log'), 'of somebody else');
  const { ranks } = await stopHung(deps);
  expect(ranks).toMatchObject([{ rank: 0, at: 'all_reduce (torch/distributed/distributed_c10d.py:2501)' }]);
  const text = await readFile(filesFor(deps, 1).stacks, 'utf8');
  expect(text).toContain('main (pretrain_gpt.py:20)');
  expect(text).toContain('| npu-smi 24.1.1 |');
  expect(text).toContain('EI0002 of this rank');
  expect(text).not.toContain('of somebody else');
});

it('a second stop says what the first one kept', async () => {
  const deps = await fakeNode();
  await launch(deps, 1);
  await bothUp(deps);
  const first = await stopHung(deps);
  expect(await stopHung(deps)).toEqual(first);
  expect(first.ranks).toHaveLength(1);
});

it('a dump without the main thread names no function', () =>
  expect(innermost('Error: no such process')).toBeUndefined());

it('a watcher that is told how long silence may be ends as hung, and one that is not looks on', async () => {
  const deps = await fakeNode({ FAKE_STEP_MS: '100' });
  await launch(deps, 1);
  const rank = (await bothUp(deps)).find(({ rank }) => rank)!;
  const hang = { floorMs: 700, startMs: 20_000, startedFrom: 0, saveEvery: 1000 };
  const watching = run(createWatchTraining(deps), { ...idOf(1), leaseSeconds: 60, hang });
  watching.catch(() => undefined);
  const patient = watch(deps, 1).catch((error: Error) => error.message);
  while (!(await readFile(filesFor(deps, 1).log, 'utf8')).includes('iteration        5'))
    await new Promise((done) => setTimeout(done, 50));
  process.kill(rank.pid, 'SIGSTOP');
  await expect(watching).rejects.toMatchObject({ type: 'TrainingHung', nonRetryable: true });
  await expect(watching).rejects.toThrow(
    /hangs: no new iteration after \d+ for \d+ s in a step, 1 s are allowed; log: /,
  );
  process.kill(rank.pid, 'SIGKILL');
  expect(await patient).toContain('SIGKILL');
});
