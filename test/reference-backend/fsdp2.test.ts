/**
 * The other backend by hand, on two nodes that share nothing: what `npm run plan` prints is pasted, a save is broken off,
 * and training goes on as the page says it can.
 */
import { execFile } from 'node:child_process';
import { chmod, cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { freePort } from '../../infra/setup/free-port.mjs';
import { fsdp2Config } from '../../workflows/fsdp2.js';
import { describeFsdp2, planFsdp2 } from '../../workflows/fsdp2-plan.js';
import { parseRunSpec } from '../../workflows/spec.js';
import { root } from '../../workers/config.js';
import { backend, golden, iterationsIn, makeSite } from './support.js';

const parsed = parseRunSpec(
  {
    series: 'by-hand',
    model: { preset: 'qwen3-8b', init: 'pretrained', weights: 'hf://a/b@main' },
    dataset: { source: 'hf://c/d@main/*.jsonl' },
    cluster: { nodes: 2, devicesPerNode: 1 },
    train: {
      ...{ backend: 'fsdp2', iterations: 6, globalBatch: 4, seqLength: 64, saveInterval: 2, replicas: 0 },
      extraArgs: { '--training.lr': 1e-3, '--training.warmup_ratio': 0.2 },
    },
    mindspeed: { release: '26.1.0' },
  },
  'run',
  { byHand: true },
);
if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems));
const { spec } = parsed;
const plan = planFsdp2(spec);
const page = describeFsdp2(plan, spec).split('\n');

let site: Awaited<ReturnType<typeof makeSite>>;
beforeAll(async () => void (site = await makeSite()));
afterAll(() => site.close());

it('every rank leaves the files that the plan says, and of a save that is whole training goes on as if it had not ended', async () => {
  const bin = join(site.dir, 'bin');
  await mkdir(bin);
  await writeFile(join(bin, 'python3'), `#!/bin/bash\nexec ${join(root, '.venv/bin/python')} "$@"\n`);
  await chmod(join(bin, 'python3'), 0o755);
  const of = (node: number, path = '') => join(site.dir, `node-${node}`, path);
  const texts = Array.from({ length: 60 }, (_, n) =>
    JSON.stringify({ text: `${n} is a number. `.repeat(1 + (n % 4)) }),
  );
  for (const node of [0, 1]) {
    await cp(join(golden, 'convert/hf-f32'), of(node, 'model'), { recursive: true });
    await cp(join(golden, 'train/tiny-tokenizer'), of(node, 'model'), { recursive: true });
    await mkdir(of(node, 'text'));
    await writeFile(of(node, 'text/a.jsonl'), `${texts.join('\n')}\n`);
  }
  const paste = async (lines: (node: number) => string) => {
    const MASTER_PORT = String(await freePort());
    const outputs = [0, 1].map((node) =>
      promisify(execFile)('bash', ['-ec', lines(node)], {
        env: {
          ...{ DATA: of(node), MODEL: of(node, 'model'), TEXT: of(node, 'text'), MINDSPEED_LLM: backend },
          ...{ MASTER_ADDR: '127.0.0.1', MASTER_PORT, NIC: 'lo', OMP_NUM_THREADS: '1', PATH: `${bin}:/usr/bin:/bin` },
        },
      }),
    );
    return (await Promise.all(outputs)).map(({ stdout }) => iterationsIn(stdout));
  };
  const printedFor = (node: number) => {
    const at = page.findIndex((line) => line.startsWith(`node-${node}: `));
    return page.slice(at + 1, at + 3).join('\n');
  };
  const [whole, also] = await paste(printedFor);
  expect(whole!.map(({ iteration, samples }) => [iteration, samples])).toEqual(
    [1, 2, 3, 4, 5, 6].map((n) => [n, 4 * n]),
  );
  expect(whole!.at(-1)!.loss).toBeLessThan(whole![0]!.loss);
  expect(also).toEqual(whole);

  const saves = (node: number) => of(node, 'series/by-hand/fsdp2/checkpoints');
  const filesIn = async (node: number, step: number) =>
    (await readdir(join(saves(node), `global_step_${step}`), { recursive: true })).filter(
      (name) => /[._]/.test(name) && name !== 'extra_state',
    );
  for (const node of [0, 1]) {
    expect((await readdir(saves(node))).sort()).toEqual(['global_step_4', 'global_step_6']);
    const { writes } = plan.nodes[node]!;
    const patterns = writes.map((name) => new RegExp(`^${name.replace('.', '\\.').replace('*', '\\d+')}$`));
    const files = await filesIn(node, 6);
    expect(patterns.filter((pattern) => !files.some((file) => pattern.test(file)))).toEqual([]);
    expect(files.filter((file) => !patterns.some((pattern) => pattern.test(file)))).toEqual([]);
  }

  // Broken off at 6: without its mark it is none, and the page says what to bring of the one before.
  await rm(join(saves(0), 'global_step_6/.metadata'));
  for (const [from, to] of [
    [0, 1],
    [1, 0],
  ] as const)
    await cp(join(saves(from), 'global_step_4'), join(saves(to), 'global_step_4'), { recursive: true });
  const resume = page[page.findIndex((line) => line.includes('with, at their end:')) + 1]!.replace('step_N', 'step_4');
  // The other node takes the same from a file, as the examples do.
  const paths = { model: of(1, 'model'), text: of(1, 'text'), output: of(1, 'series/by-hand/fsdp2') };
  const config = fsdp2Config(spec, paths);
  const training = { ...config.training, lr: '1e-3', warmup_ratio: '0.2' };
  const data = { ...config.data, dataset: { file_name: paths.text } };
  await writeFile(of(1, 'config.yaml'), JSON.stringify({ ...config, training, data }));
  const fromFile = printedFor(1).replace(/train_fsdp2\.py .*/, 'train_fsdp2.py "$DATA/config.yaml"');
  const [resumed] = await paste((node) => `${node === 0 ? printedFor(0) : fromFile} ${resume}`);
  expect(resumed!.map(({ iteration }) => iteration)).toEqual([5, 6]);
  expect(resumed![1]).toEqual(whole![5]);
  // As of the real one: the first line has what one step lost divided by all of them.
  expect(resumed![0]!.loss).toBeCloseTo(whole![4]!.loss / 5, 5);
}, 240_000);
