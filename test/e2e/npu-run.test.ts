/** The whole pipeline on the profile of NPU machines: recorded tools for the driver, the reference backend for the checkout. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { ApplicationFailure } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PretrainResult } from '../../workflows/status.js';
import type { CommandFile } from '../../activities/generation-files.js';
import { readSpeeches } from '../../infra/demo/corpus.js';
import { NPU } from '../support/npu-machine.js';
import { npuCheckout, npuEnvironment } from '../support/npu-stack.js';
import { startCluster, type Cluster } from './cluster.js';

const MINUTES = 60_000;
let cluster: Cluster;
let checkouts: string;

beforeAll(async () => {
  checkouts = await mkdtemp(join(tmpdir(), 'npu-checkout-'));
  const checkout = await npuCheckout(join(checkouts, 'MindSpeed-LLM'), '26.0.0');
  cluster = await startCluster(0, {
    // The third machine is sick, and has a pool of its own.
    nodeEnv: (node) => ({
      ...npuEnvironment(node === 'n3' ? 'isolated-rows' : 'a2', checkout),
      PRETRAIN_SOURCES: checkouts,
      ...(node === 'n3' && { PRETRAIN_POOL: 'sick' }),
    }),
  });
}, 3 * MINUTES);
afterAll(async () => {
  await cluster?.close();
  await rm(checkouts, { recursive: true, force: true });
}, MINUTES);

const execute = async (id: string, changes: Parameters<Cluster['runFile']>[1]): Promise<PretrainResult> => {
  const file = await cluster.runFile(id, { series: id, ...changes });
  const where = ['--type', 'pretrain', '--task-queue', 'pretrain', '-w', id, '--input-file', file];
  expect(await cluster.cli('workflow', 'start', ...where)).toMatchObject({ code: 0 });
  return cluster.client.workflow.getHandle(id).result() as Promise<PretrainResult>;
};

describe('on machines with NPUs', () => {
  it(
    'a run goes through: checked, preprocessed by the checkout, weights converted, trained, all in the environment of CANN',
    async () => {
      // Two files, as the checkout's own preprocessor makes a shard of each.
      const texts = (await readSpeeches()).slice(0, 24).map(({ text }) => `${JSON.stringify({ text })}\n`);
      for (const [name, part] of [['a.jsonl', texts.slice(0, 10)] as const, ['b.jsonl', texts.slice(10)] as const])
        await writeFile(join(checkouts, name), part.join(''));
      const run = {
        dataset: { source: `file://${checkouts}/*.jsonl` },
        preprocess: { engine: 'mindspeed' },
        cluster: { spares: 0 },
        train: { iterations: 10, saveInterval: 5 },
      };
      expect(await execute('healthy', run)).toMatchObject({ iteration: 10, total: 10, generations: 1, failures: 0 });

      for (const node of ['n1', 'n2']) {
        const dir = join(cluster.dataOf(node), 'runs/healthy');
        const [generation] = await readdir(dir);
        const { env } = JSON.parse(await readFile(join(dir, generation!, 'command.json'), 'utf8')) as CommandFile;
        expect(env).toMatchObject({
          ASCEND_HOME_PATH: join(NPU, 'home/Ascend/cann'),
          ATB_HOME_PATH: join(NPU, 'home/Ascend/nnal/atb/latest'),
          LD_LIBRARY_PATH: expect.stringContaining('Ascend/cann/lib64') as string,
          HCCL_SOCKET_IFNAME: '=lo',
          GLOO_SOCKET_IFNAME: 'lo',
        });
      }
    },
    3 * MINUTES,
  );

  it(
    'a sick one ends the run before anything is fetched, with what was found, where, and what to do',
    async () => {
      const run = {
        cluster: { pool: 'sick', nodes: 1, spares: 0, devicesPerNode: 8 },
        parallel: { tp: 1, pp: 1 },
        train: { replicas: 0, globalBatch: 8 },
      };
      const failed: unknown = await execute('sick', run).catch((error: { cause: unknown }) => error.cause);
      expect(failed).toBeInstanceOf(ApplicationFailure);
      expect((failed as ApplicationFailure).type).toBe('EnvCheckFailed');
      expect((failed as ApplicationFailure).message).toMatch(
        /^n3: not fit to train: device 5 reports 80E18402 \(64 rows of HBM are isolated\): level SeparateNPU.*; cordon the node, replace the device/,
      );
      const ids = ['sick', 'sick/prepare-1'];
      const histories = await Promise.all(ids.map((id) => cluster.client.workflow.getHandle(id).fetchHistory()));
      const activities = histories.flatMap(({ events }) =>
        events!.flatMap((event) => event.activityTaskScheduledEventAttributes?.activityType?.name ?? []),
      );
      expect(activities).toContain('checkNode');
      expect(activities.filter((name) => /fetch|preprocess|launch|convert/.test(name))).toEqual([]);
    },
    2 * MINUTES,
  );
});
