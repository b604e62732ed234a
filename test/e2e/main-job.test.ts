/** The uses that the project is for, with the real CLI, a real server, real torchrun and real kill -9. */
import { execFile } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { causesOf, effectiveTime, ledgerOf } from '../../workflows/ledger.js';
import type { PretrainResult, RunState } from '../../workflows/status.js';
import { killNode } from '../../infra/demo/kill-node.js';
import { ledgerOfHistory } from '../support/ledger-of-history.js';
import { preparationOf, type Preparation } from '../support/preparation-of-history.js';
import { lossesOf, startCluster, until, type Cluster } from './cluster.js';

const MINUTES = 60_000;
let cluster: Cluster;

const PROXY_PASSWORD = 'planted0secret6proxy';
/** What workers are given to keep for themselves. */
const SECRETS = {
  HF_TOKEN: 'hf_planted0secret1token',
  MODELSCOPE_API_TOKEN: 'ms-planted0secret2token',
  AWS_SECRET_ACCESS_KEY: 'planted0secret3key',
  AWS_SESSION_TOKEN: 'planted0secret4session',
  PRETRAIN_DASHBOARD_TOKEN: 'planted0secret5page',
  HTTPS_PROXY: `http://me:${PROXY_PASSWORD}@127.0.0.1:9`,
};

beforeAll(async () => {
  cluster = await startCluster(0.25, { env: { ...SECRETS, NO_PROXY: '127.0.0.1,localhost' } });
}, 3 * MINUTES);
afterAll(() => cluster?.close(), MINUTES);

const start = (id: string, file: string) =>
  cluster.cli(
    'workflow',
    'start',
    '--type',
    'pretrain',
    '--task-queue',
    'pretrain',
    '-w',
    id,
    '--input-file',
    file,
    '--fail-existing',
  );
const resultOf = (id: string) => cluster.client.workflow.getHandle(id).result() as Promise<PretrainResult>;
const iterationReached = (run: string, iteration: number) =>
  until(`iteration ${iteration} of ${run}`, async () =>
    (await cluster.metrics(run)).find((metric) => metric.iteration >= iteration),
  );

describe('a run started from the CLI', () => {
  it('answers a mistyped workflow type at once', async () => {
    const { code, stdout, stderr } = await cluster.cli(
      'workflow',
      'execute',
      '--type',
      'pretrian',
      '--task-queue',
      'pretrain',
      '-w',
      'typo',
    );
    expect(code).toBe(1);
    expect(stdout + stderr).toContain('There is no workflow type "pretrian"');
  });

  it('answers a missing run file at once', async () => {
    const { code, stdout, stderr } = await cluster.cli(
      'workflow',
      'execute',
      '--type',
      'pretrain',
      '--task-queue',
      'pretrain',
      '-w',
      'empty',
    );
    expect(code).toBe(1);
    expect(stdout + stderr).toContain('expected one JSON object, the run file');
    const page = await fetch(new URL('runs/empty', cluster.dashboardUrl), {
      headers: { authorization: `Bearer ${SECRETS.PRETRAIN_DASHBOARD_TOKEN}` },
    });
    expect([page.status, await page.text()]).toEqual([
      404,
      expect.stringMatching(/^empty has no page: .* was refused/),
    ]);
  });

  it(
    'trains to its last iteration and leaves a report',
    async () => {
      const to = join(cluster.dir, 'models/plain');
      const exporting = { export: { to: `file://${to}` } };
      const { code } = await start('plain', await cluster.runFile('plain', { series: 'plain', ...exporting }));
      expect(code).toBe(0);
      const result = await resultOf('plain');
      expect(result).toMatchObject({ iteration: 30, total: 30, generations: 1, failures: 0 });
      expect(result.report).toMatch(/plain\.html$/);
      const { node, path } = result.curves!;
      expect(path).toBe(join(cluster.dataOf(node), 'series/plain/tensorboard'));
      // A header, and a record for each iteration.
      const [events] = (await readdir(path)).filter((name) => name.includes('tfevents'));
      const written = (await readFile(join(path, events!))).toString('latin1');
      expect([written.split('brain.Event:2').length, written.split('lm loss').length]).toEqual([2, 31]);
      expect(await readFile(result.report!, 'utf8')).toContain(`tensorboard --logdir ${path} on ${node}`);
      const losses = lossesOf(await cluster.metrics('plain'));
      expect(Object.keys(losses)).toHaveLength(30);
      expect(losses[30]!).toBeLessThan(losses[1]!);
      await expectModel(to);
      await expectTidy(['n1', 'n2', 'n3'].map(cluster.dataOf));
    },
    3 * MINUTES,
  );
});

it('keeps the secrets of its workers out of histories, logs, reports and all that a run writes', async () => {
  const secrets = [...Object.values(SECRETS), PROXY_PASSWORD].map((secret) => Buffer.from(secret));
  const files = (await readdir(cluster.dir, { recursive: true, withFileTypes: true })).filter((one) => one.isFile());
  const paths = files.map(({ parentPath, name }) => join(parentPath, name));
  // The server's database has the histories; a report, a command of a launch and a worker's log are looked at as well.
  for (const part of ['temporal.db', 'plain.html', 'command.json', '.log'])
    expect(paths.filter((path) => path.endsWith(part))).not.toEqual([]);
  const telling = [];
  for (const path of paths) {
    // What is being replaced may be gone by now.
    const bytes = await readFile(path).catch(() => Buffer.alloc(0));
    if (secrets.some((secret) => bytes.includes(secret))) telling.push(path);
  }
  // Anybody on a machine may see the arguments of all processes there.
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const shown = await readFile(`/proc/${pid}/cmdline`).catch(() => Buffer.alloc(0));
    if (secrets.some((secret) => shown.includes(secret))) telling.push(`arguments of ${pid}`);
  }
  expect(telling).toEqual([]);
});

/** What was exported is whole, and of the shape that was trained. */
async function expectModel(to: string): Promise<void> {
  await promisify(execFile)('sha256sum', ['-c', '--strict', 'SHA256SUMS'], { cwd: to });
  const config = JSON.parse(await readFile(join(to, 'config.json'), 'utf8')) as object;
  expect(config).toMatchObject({ model_type: 'qwen3', num_hidden_layers: 4, hidden_size: 64, vocab_size: 4096 });
  const index = JSON.parse(await readFile(join(to, 'model.safetensors.index.json'), 'utf8')) as Index;
  expect(Object.keys(index.weight_map)).toHaveLength(47);
  expect(await readdir(to)).toContain('tokenizer.json');
}

interface Index {
  weight_map: Record<string, string>;
}

/** Nodes keep the newest checkpoints, and the text of the dataset once. */
async function expectTidy(dataDirs: string[]): Promise<void> {
  for (const dir of dataDirs) {
    const kept = await readdir(join(dir, 'series/plain/checkpoints')).catch(() => []);
    expect(kept.filter((name) => name.startsWith('iter_')).sort()).toEqual(['iter_0000025', 'iter_0000030']);
    for (const name of await readdir(join(dir, 'datasets')))
      for (const part of ['input', 'shards'])
        expect(await readdir(join(dir, 'datasets', name, part)).catch(() => [])).toEqual([]);
  }
}

describe('a run of a finished series', () => {
  it(
    'is refused when its file was changed, with each field and both values, and its checkpoints stay as they are',
    async () => {
      const checkpoints = join(cluster.dataOf('n1'), 'series/plain/checkpoints');
      const before = await readdir(checkpoints, { recursive: true });
      const changes = { parallel: { pp: 1 }, dataset: { appendEod: false }, train: { iterations: 40 } };
      await start('changed', await cluster.runFile('changed', { series: 'plain', ...changes }));
      const error: unknown = await resultOf('changed').catch((reason: unknown) => reason);
      expect((error as Error).cause).toMatchObject({ type: 'InvalidInput', nonRetryable: true });
      expect(((error as Error).cause as Error).message).toMatch(
        /iteration 30 of series plain was trained with: parallel\.pp was 2 and is 1; dataset\.appendEod was true and is false; train\.iterations was 30 and is 40\. /,
      );
      expect(await readdir(checkpoints, { recursive: true })).toEqual(before);

      await start('same', await cluster.runFile('same', { series: 'plain' }));
      expect(await resultOf('same')).toMatchObject({ iteration: 30, generations: 0 });
    },
    2 * MINUTES,
  );
});

describe('while training goes on', () => {
  it(
    'kill -9 of control worker, node worker and server costs no iteration',
    async () => {
      await start(
        'steady',
        await cluster.runFile('steady', { series: 'steady', train: { iterations: 60, saveInterval: 20 } }),
      );
      await iterationReached('steady', 3);
      const before = [await cluster.ranks('n1'), await cluster.ranks('n2')];
      expect(before.flat()).toHaveLength(2);

      await cluster.control.kill('SIGKILL');
      await cluster.control.start();
      await cluster.node('n2').kill('SIGKILL');
      await cluster.node('n2').start();
      await cluster.server.kill('SIGKILL');
      await cluster.server.start();
      expect([await cluster.ranks('n1'), await cluster.ranks('n2')]).toEqual(before);

      expect(await resultOf('steady')).toMatchObject({ iteration: 60, generations: 1, failures: 0 });
      const iterations = (await cluster.metrics('steady')).map(({ iteration }) => iteration);
      expect(iterations).toEqual(Array.from({ length: 60 }, (_, index) => index + 1));
    },
    4 * MINUTES,
  );
});

describe('a cancelled run', () => {
  it(
    'saves, ends its ranks and gives its nodes to the run that waits for them',
    async () => {
      await start(
        'stopped',
        await cluster.runFile('stopped', { series: 'stopped', train: { iterations: 500, saveInterval: 100 } }),
      );
      await iterationReached('stopped', 3);
      await start(
        'waiting',
        await cluster.runFile('waiting', { series: 'stopped-too', train: { iterations: 5, saveInterval: 5 } }),
      );
      const status = async (id: string) =>
        (await cluster.cli('workflow', 'query', '-w', id, '--type', 'status')).stdout;
      await until(
        'the second run to wait',
        async () => (await status('waiting')).includes('waits for 3 of the pool') || undefined,
      );

      expect((await cluster.cli('workflow', 'cancel', '-w', 'stopped')).code).toBe(0);
      await expect(resultOf('stopped')).rejects.toThrow('Workflow execution cancelled');
      const tracker = await readFile(
        join(cluster.dataOf('n1'), 'series/stopped/checkpoints/latest_checkpointed_iteration.txt'),
        'utf8',
      );
      expect(Number(tracker)).toBeGreaterThanOrEqual(3);
      expect(await resultOf('waiting')).toMatchObject({ iteration: 5, generations: 1 });
      expect([await cluster.ranks('n1'), await cluster.ranks('n2'), await cluster.ranks('n3')]).toEqual([[], [], []]);

      // What the ranks saved on their way out is sealed and copied, and nothing of it is trained again.
      const goingOn = { series: 'stopped', train: { iterations: 500, iterationsPerRun: 100, saveInterval: 100 } };
      await start('resumed', await cluster.runFile('resumed', goingOn));
      await iterationReached('resumed', Number(tracker) + 1);
      expect((await cluster.metrics('resumed'))[0]!.iteration).toBe(Number(tracker) + 1);
      expect((await cluster.cli('workflow', 'cancel', '-w', 'resumed')).code).toBe(0);
      await expect(resultOf('resumed')).rejects.toThrow('Workflow execution cancelled');
    },
    3 * MINUTES,
  );
});

describe('a schedule', () => {
  it(
    'trains on from run to run without preparing again, and ends at once when the total is reached',
    async () => {
      const file = await cluster.runFile('nightly', {
        series: 'nightly',
        // Other data than the runs before it: the first run of the series has something to prepare.
        dataset: { appendEod: false },
        train: { iterations: 20, iterationsPerRun: 10, saveInterval: 5 },
      });
      const created = await cluster.cli(
        ...['schedule', 'create', '--schedule-id', 'nightly', '--workflow-id', 'nightly', '--type', 'pretrain'],
        ...['--task-queue', 'pretrain', '--input-file', file, '--interval', '3s', '--overlap-policy', 'Skip'],
      );
      expect(created).toMatchObject({ code: 0 });
      const runs = await until(
        'three finished runs of the schedule',
        async () => {
          const found: string[] = [];
          const closed = 'TemporalScheduledById = "nightly" AND ExecutionStatus = "Completed"';
          for await (const { workflowId } of cluster.client.workflow.list({ query: closed })) found.push(workflowId);
          return found.length >= 3 ? found.sort() : undefined;
        },
        180,
      );
      await cluster.cli('schedule', 'delete', '--schedule-id', 'nightly');
      const results = await Promise.all(runs.slice(0, 3).map(resultOf));
      expect(results.map(({ iteration }) => iteration)).toEqual([10, 20, 20]);
      expect(results[2]!.generations).toBe(0);
      expect(results[2]!.message).toContain('nothing to do');

      const trained = await cluster.metrics(runs[1]!.replace(/[^A-Za-z0-9._-]/g, '_'));
      expect(trained[0]!.iteration).toBe(11);
      const before = runs.slice(0, 2).map((run) => preparationOf(cluster.client, run));
      const [first, second] = (await Promise.all(before)) as [Preparation, Preparation];
      expect(first.preprocessed).not.toEqual([]);
      expect(second).toMatchObject({ fetched: [], preprocessed: [] });
      // A little text: what a step costs by itself is most of the second one's time. `npm run bench -- second-run` has more.
      const share = second.dataSeconds / first.dataSeconds;
      console.log(`data of the second run was ready in ${(100 * share).toFixed(0)} % of the first one's time`);
      expect(share).toBeLessThan(0.5);
    },
    4 * MINUTES,
  );
});

/** What trainers keep beside the datasets of all nodes. */
async function changeIndices(change: (bytes: Buffer) => Buffer): Promise<void> {
  let changed = 0;
  for (const node of ['n1', 'n2', 'n3']) {
    const datasets = join(cluster.dataOf(node), 'datasets');
    for (const name of await readdir(datasets, { recursive: true }).catch(() => [])) {
      if (!/GPTDataset_indices\/.*_index\.npy$/.test(name)) continue;
      const path = join(datasets, name);
      await writeFile(path, change(await readFile(path)));
      changed++;
    }
  }
  expect(changed).toBeGreaterThan(0);
}

describe('when a rank stands still', () => {
  it(
    'finds the hang, keeps the stacks, names the node, and ends with the losses of the undisturbed run, whose index cache lost its bytes',
    async () => {
      // As a power cut leaves what nobody brought to the disk: the undisturbed run built it, and this one would use it.
      await changeIndices((bytes) => bytes.fill(0, 128));
      const recovery = { hangAfter: '5s', startWithin: '40s', stopGrace: '2s' };
      await start('hung', await cluster.runFile('hung', { series: 'hung', train: { saveInterval: 10 }, recovery }));
      await iterationReached('hung', 14);
      const [rank] = await cluster.ranks('n1');
      process.kill(rank!, 'SIGSTOP');

      expect(await resultOf('hung')).toMatchObject({ iteration: 30, generations: 2, failures: 1 });
      const metrics = await cluster.metrics('hung');
      expect(metrics.find(({ generation }) => generation === 2)!.iteration).toBe(11);
      expect(lossesOf(metrics)).toEqual(lossesOf(await cluster.metrics('plain')));

      const { stdout } = await cluster.cli('workflow', 'query', '-w', 'hung', '--type', 'status');
      expect(stdout).toMatch(
        /generation 1 failed at iteration \d+: n2: training of generation 1 hangs: no new iteration/,
      );
      const stacks = /rank 0 of n1 is stopped; stacks, here of n1: (\/\S+\/gen-1-\d+\/stacks\.txt)/.exec(stdout)![1]!;
      for (const node of ['n1', 'n2'])
        expect(await readFile(stacks.replace(cluster.dataOf('n1'), cluster.dataOf(node)), 'utf8')).toContain(
          node === 'n1' ? `== rank 0, pid ${rank}, state T` : '== rank 1',
        );
    },
    2 * MINUTES,
  );
});

describe('when a node dies with its disk', () => {
  it(
    'finishes on the spare from the last replicated checkpoint, with the losses of the undisturbed run, whose index cache was cut off',
    async () => {
      // As a kill leaves what was being written.
      await changeIndices((bytes) => bytes.subarray(0, 200));
      await start('wounded', await cluster.runFile('wounded', { series: 'wounded', train: { saveInterval: 10 } }));
      await iterationReached('wounded', 18);
      await killNode(cluster.node('n2'), cluster.dataOf('n2'));

      expect(await resultOf('wounded')).toMatchObject({ iteration: 30, generations: 2, failures: 1 });
      const metrics = await cluster.metrics('wounded');
      expect(metrics.find(({ generation }) => generation === 2)!.iteration).toBe(11);
      expect(lossesOf(metrics)).toEqual(lossesOf(await cluster.metrics('plain')));
      await expectLedgerAsInHistory('wounded');
    },
    4 * MINUTES,
  );
});

/** What the run says of its time is what its history says, within what signals take to arrive. */
async function expectLedgerAsInHistory(run: string): Promise<void> {
  const state = await cluster.client.workflow.getHandle(run).query<RunState>('runState');
  const history = await ledgerOfHistory(cluster.client, run);
  const rows = ledgerOf(state, Date.now());
  const of = (phase?: string) =>
    rows.filter((row) => !phase || row.phase === phase).reduce((sum, { nodeSeconds }) => sum + nodeSeconds, 0);
  expect(of() / history.nodeSeconds).toBeCloseTo(1, 1);
  expect(effectiveTime(state, Date.now())! / (history.trained / history.seconds)).toBeCloseTo(1, 1);
  expect(of('train again') / of('train')).toBeCloseTo(history.againNodeSeconds / history.trainedNodeSeconds, 1);
  expect(causesOf(state)).toMatchObject([{ cause: 'node', failures: 1, lostIterations: history.lostIterations }]);
}
