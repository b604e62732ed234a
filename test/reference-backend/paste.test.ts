/** What `npm run plan` prints, done by hand: the conversion and each node's lines, pasted into a shell. */
import { execFile } from 'node:child_process';
import { chmod, cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { freePort } from '../../infra/setup/free-port.mjs';
import { describePlan, planRun } from '../../workflows/plan-page.js';
import { root } from '../../workers/config.js';
import { specOf } from '../support/run-files.js';
import { backend, golden, makeSite } from './support.js';

const spec = specOf({
  series: 'by-hand',
  model: {
    sizes: { layers: 4, hidden: 64, ffn: 192, heads: 4, groups: 2, headDim: 16, vocab: 512, maxPositions: 512 },
    ...{ init: 'pretrained', weights: 'hf://a/b@main' },
  },
  dataset: { source: 'hf://c/d@main/*.jsonl', appendEod: true },
  cluster: { nodes: 2, devicesPerNode: 1 },
  parallel: { pp: 2 },
  train: {
    ...{ iterations: 4, globalBatch: 4, seqLength: 128, saveInterval: 2 },
    extraArgs: { '--lr': '1.25e-3', '--min-lr': '1.25e-4', '--bf16': false },
  },
});

let site: Awaited<ReturnType<typeof makeSite>>;
beforeAll(async () => void (site = await makeSite()));
afterAll(() => site.close());

it('trains: weights are converted, and two nodes pasted by hand go from the first iteration to the last', async () => {
  const lines = describePlan(planRun(spec), spec).split('\n');
  const after = (heading: RegExp, count: number) => {
    const at = lines.findIndex((line) => heading.test(line));
    return lines.slice(at + 1, at + 1 + count).join('\n');
  };
  const bin = join(site.dir, 'bin');
  await mkdir(bin);
  await writeFile(join(bin, 'python3'), `#!/bin/bash\nexec ${join(root, '.venv/bin/python')} "$@"\n`);
  await chmod(join(bin, 'python3'), 0o755);
  const dataOf = (node: number) => join(site.dir, `node-${node}`);
  for (const node of [0, 1]) {
    const data = dataOf(node);
    for (const ending of ['bin', 'idx'])
      await cp(
        join(golden, `train/tiny_text_document.${ending}`),
        join(data, `datasets/d/prefix_text_document.${ending}`),
      );
    await cp(join(golden, 'train/tiny-tokenizer'), join(data, 'models/t/tokenizer'), { recursive: true });
  }
  await cp(join(golden, 'convert/hf-f32'), join(dataOf(0), 'models/w/hf'), { recursive: true });

  const MASTER_PORT = String(await freePort());
  const paste = (node: number, text: string) =>
    promisify(execFile)('bash', ['-ec', text], {
      env: {
        ...{ DATA: dataOf(node), MINDSPEED_LLM: backend, MASTER_ADDR: '127.0.0.1', MASTER_PORT, NIC: 'lo' },
        ...{ DATASET: 'd', TOKENIZER: 't', WEIGHTS: 'w', PATH: `${bin}:/usr/bin:/bin`, OMP_NUM_THREADS: '1' },
      },
    });
  await paste(0, after(/^on the first node, once/, 1));
  // What a person copies, without a shared disk: the other node's shard, and the tracker.
  await cp(join(dataOf(0), 'models/w'), join(dataOf(1), 'models/w'), { recursive: true });
  const [first, last] = await Promise.all([0, 1].map((node) => paste(node, after(new RegExp(`^node-${node}: `), 2))));

  expect(first!.stdout).toContain('[after training is done]');
  expect(last!.stdout).toMatch(/iteration +4\/ +4 \|.* lm loss: /);
  const tracker = join(dataOf(0), 'series/by-hand/checkpoints/latest_checkpointed_iteration.txt');
  expect(await readFile(tracker, 'utf8')).toBe('4');
}, 180_000);
