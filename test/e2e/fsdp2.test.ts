/** The other backend through the whole pipeline, on nodes that share nothing: text in, distributed checkpoints out. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { CommandFile } from '../../activities/generation-files.js';
import { killNode } from '../../infra/demo/kill-node.js';
import type { PretrainResult } from '../../workflows/status.js';
import { iterationsIn } from '../reference-backend/support.js';
import { lossesOf, startCluster, until, type Cluster } from './cluster.js';

const MINUTES = 60_000;
let cluster: Cluster;
let sources: string;

beforeAll(async () => {
  sources = await mkdtemp(join(tmpdir(), 'fsdp2-text-'));
  const texts = Array.from({ length: 60 }, (_, n) => ({ text: `${n} is a number. `.repeat(1 + (n % 4)) }));
  await writeFile(join(sources, 'a.jsonl'), texts.map((text) => `${JSON.stringify(text)}\n`).join(''));
  cluster = await startCluster(0.4, { env: { PRETRAIN_SOURCES: sources } });
}, 3 * MINUTES);
afterAll(async () => {
  await cluster?.close();
  await rm(sources, { recursive: true, force: true });
}, MINUTES);

const saves = (node: string, path: string) => join(cluster.dataOf(node), 'series/s', path);

/** What the command of the first launch prints where nothing happens: as many ranks, all under one torchrun. */
async function undisturbed(): Promise<{ iteration: number; loss: number }[]> {
  const cwd = cluster.dataOf('n1');
  const runs = join(cwd, 'runs/r');
  const generation = (await readdir(runs)).find((name) => name.startsWith('gen-1-'))!;
  const { argv, env } = JSON.parse(await readFile(join(runs, generation, 'command.json'), 'utf8')) as CommandFile;
  const script = argv.slice(argv.findIndex((arg) => arg.endsWith('train_fsdp2.py')));
  const elsewhere = script.map((arg) => (arg === 'series/s/fsdp2' ? 'elsewhere' : arg));
  const torchrun = ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2', ...elsewhere];
  const options = { cwd, env: { ...env, REFERENCE_STEP_SECONDS: '0' } };
  return iterationsIn((await promisify(execFile)(argv[0]!, torchrun, options)).stdout);
}

it(
  'goes on from a whole save when a node is lost with its disk, with the losses of a training that lost nothing',
  async () => {
    const file = await cluster.runFile('r', {
      series: 's',
      dataset: { source: `file://${sources}/a.jsonl`, appendEod: false },
      cluster: { sharedStorage: false },
      parallel: { tp: 1, pp: 1 },
      train: {
        ...{ backend: 'fsdp2', iterations: 20, saveInterval: 4, seqLength: 64 },
        extraArgs: { '--training.lr': 1e-3, '--training.warmup_ratio': 0.2 },
      },
    });
    const input = ['--task-queue', 'pretrain', '-w', 'r', '--input-file', file];
    expect(await cluster.cli('workflow', 'start', '--type', 'pretrain', ...input)).toMatchObject({ code: 0 });
    const isUnderWay = async () => {
      const copied = await cluster.client.workflow
        .getHandle('r/gen-1')
        .query<number>('replicated')
        .catch(() => 0);
      const trained = (await cluster.metrics('r')).at(-1)?.iteration ?? 0;
      return copied >= 4 && trained >= 6 ? true : undefined;
    };
    await until('a save that is copied, and iterations after it', isUnderWay, 180);
    await killNode(cluster.node('n2'), cluster.dataOf('n2'));
    await rm(cluster.dataOf('n2'), { recursive: true });
    const result = (await cluster.client.workflow.getHandle('r').result()) as PretrainResult;
    expect(result).toMatchObject({ iteration: 20, generations: 2, failures: 1 });

    const again = (await cluster.metrics('r')).filter(({ generation }) => generation === 2);
    const first = again[0]!.iteration;
    expect(first % 4).toBe(1);
    expect(first).toBeGreaterThan(4);
    // Its first line has what no iteration had, and is not taken for one.
    expect(again[0]!.loss).toBeUndefined();
    const expected = (await undisturbed()).filter(({ iteration }) => iteration > first);
    const losses = Object.entries(lossesOf(again)).filter(([, loss]) => loss !== undefined);
    expect(losses).toEqual(expected.map(({ iteration, loss }) => [String(iteration), loss]));
    expect(losses.length).toBeGreaterThan(2);

    for (const node of ['n1', 'n3'])
      expect((await readdir(saves(node, 'checkpoints/iter_0000020'))).sort()).toEqual([
        'dcp_00000_00000',
        'dcp_00001_00001',
      ]);
    // By the script's own rule, and by that of the series.
    expect((await readdir(saves('n1', 'fsdp2/checkpoints'))).sort()).toEqual(['global_step_16', 'global_step_20']);
    const kept = (await readdir(saves('n1', 'checkpoints'))).filter((name) => name.startsWith('iter_'));
    expect(kept.sort()).toEqual(['iter_0000016', 'iter_0000020']);
  },
  4 * MINUTES,
);
