import { createHash } from 'node:crypto';
import { cp, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTrainingLog } from '../../activities/training-log.js';
import { makeWeights, measure, type Agreement } from './agreement.js';
import {
  finished,
  golden,
  helper,
  iterationsIn,
  makeNode,
  makeSite,
  printed,
  processesIn,
  readJson,
  recorded,
  says,
  torchrun,
  type Iteration,
  type Layout,
} from './support.js';
import { recordedVerdicts, verdict } from './verdicts.js';

const TRACKER = 'latest_checkpointed_iteration.txt';
const layouts = ['fp32-single', 'fp32-pp2', 'fp32-dp2', 'fp32-2nodes-dp2pp2', 'bf16-2nodes-dp2pp2'];

/** The layouts that were recorded from the real MindSpeed-LLM, trained again from the same weights on the same data. */
describe('training agrees with the real MindSpeed-LLM', () => {
  let site: Awaited<ReturnType<typeof makeSite>>;
  let weights: string;
  const runs: Record<string, Agreement> = {};

  beforeAll(async () => {
    site = await makeSite();
    weights = await makeWeights(site.dir);
    for (const name of layouts) runs[name] = await measure(site.dir, weights, name);
  }, 240_000);
  afterAll(() => site.close());

  it.each(layouts)('%s: 20 losses, learning rates and weight norms', (name) => {
    const run = runs[name]!;
    expect(
      run.exits.every((exit) => exit === 0),
      run.logs.join('\n'),
    ).toBe(true);
    expect(run.iterations.map(({ iteration }) => iteration)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(run.learningRate).toBe(0);
    const bf16 = name.startsWith('bf16');
    expect(run.loss).toBeLessThan(bf16 ? 2e-3 : 2e-5);
    expect(run.gradientNorm).toBeLessThan(bf16 ? 0.011 : 0.0015);
    expect(run.weightNorm ?? 0).toBeLessThan(1e-5);
  });

  it('gives the same losses in every float32 layout', () => {
    const [first, ...others] = layouts.filter((name) => name.startsWith('fp32')).map((name) => runs[name]!);
    for (const other of others)
      other.iterations.forEach(({ loss }, i) =>
        // The printed digits are steps of 1e-6.
        expect(Math.abs(loss - first!.iterations[i]!.loss)).toBeLessThan(1.5e-6),
      );
  });

  it('lets only the last rank print iterations, and only rank 0 print saves', () => {
    const [node0, node1] = runs['fp32-2nodes-dp2pp2']!.logs;
    expect(node0).not.toMatch(/ iteration +1\//);
    expect(node0).toContain('  successfully saved checkpoint from iteration      20 to save\n');
    expect(node0).toMatch(/^\[after training is done\] datetime: /m);
    expect(node1).toMatch(/ iteration +20\/ +20 \| consumed samples: +80 \|/);
    expect(node1).not.toContain('saving checkpoint');
  });

  it('reads as the real one does to the parser of the pipeline', async () => {
    expect(runs['fp32-single']!.logs.map(verdict)).toEqual(await recordedVerdicts('normal-1process', ['']));
    expect(runs['bf16-2nodes-dp2pp2']!.logs.map(verdict)).toEqual(await recordedVerdicts('normal-2nodes'));
    const read = (text: string) => {
      const log = createTrainingLog();
      return text.split('\n').flatMap((line) => log.line(line));
    };
    const [node0, node1] = runs['bf16-2nodes-dp2pp2']!.logs.map(read);
    for (const iteration of [5, 10, 15, 20]) expect(node0).toContainEqual({ kind: 'saved', iteration });
    const iterations = node1!.filter((event) => event.kind === 'iteration');
    expect(iterations[9]).toMatchObject({ iteration: 10, of: 20, consumed: 40, lr: 7.851771e-4 });
    expect(node1!.filter((event) => event.kind === 'saveTimer')).toHaveLength(4);
  });

  it('goes on after a kill with the digits of the uninterrupted run, and with half the ranks to the sixth', async () => {
    const name = 'bf16-2nodes-dp2pp2';
    const { arguments: common, layouts: all } = await recorded();
    const { arguments: own, curve } = all[name]!;
    const nodes = await Promise.all(['n0', 'n1'].map((node) => makeNode(site.dir, `killed-${node}`, weights)));
    const killed = await torchrun(nodes, 2, [...common, ...own], { REFERENCE_STEP_SECONDS: '0.3' });
    await says(killed[1]!, / iteration +12\//);
    process.kill((await processesIn(nodes[1]!)).find(({ rank }) => rank === 3)!.pid, 'SIGKILL');
    const end = await finished(killed);
    expect(end.exits).toEqual([1, 1]);
    expect(await readFile(join(nodes[0]!, 'save', TRACKER), 'utf8')).toBe('10');
    const [node0, node1] = await recordedVerdicts('kill-rank3');
    expect(end.logs.map(verdict)).toEqual([node0, { ...node1, lastIteration: expect.any(Number) as number }]);

    await cp(join(nodes[0]!, 'save', TRACKER), join(nodes[1]!, 'save', TRACKER));
    const copies = nodes.map((node) => `${node}-dp1`);
    await Promise.all(nodes.map((node, i) => cp(node, copies[i]!, { recursive: true, verbatimSymlinks: true })));
    const load = own.indexOf('--load');
    const again = [...common, ...own.filter((arg) => arg !== '--finetune').with(load + 1, 'save')];
    const two = await finished(await torchrun(nodes, 2, again));
    expect(two.exits, two.logs.join('\n')).toEqual([0, 0]);
    expect(printed(two.logs[1]!)).toEqual(printed(runs[name]!.logs[1]!).slice(10));
    expect(two.logs.map(verdict)).toEqual(await recordedVerdicts('resume-2nodes'));
    expectCurve(iterationsIn(two.logs[1]!), curve.slice(10), 2e-3);

    const one = await finished(await torchrun(copies, 1, again));
    expect(one.exits, one.logs.join('\n')).toEqual([0, 0]);
    expectCurve(
      iterationsIn(one.logs[1]!),
      (await readJson<{ dp1: Layout['curve'] }>(golden, 'train/resume.json')).dp1,
      2e-3,
    );
    iterationsIn(one.logs[1]!).forEach(({ loss }, i) =>
      expect(Math.abs(loss - runs[name]!.iterations[10 + i]!.loss)).toBeLessThan(5e-6),
    );
  }, 240_000);

  it.each([
    ['fp32-single', 'save-single', [['mp_rank_00']]],
    ['fp32-dp2', 'save-dp2', [['mp_rank_00']]],
    ['fp32-pp2', 'save-pp2', [['mp_rank_00_000', 'mp_rank_00_001']]],
    ['fp32-2nodes-dp2pp2', 'save', [['mp_rank_00_000'], ['mp_rank_00_001']]],
    ['bf16-2nodes-dp2pp2', 'save', [['mp_rank_00_000'], ['mp_rank_00_001']]],
  ])('%s: each node has its own stages, and the first alone the tracker', async (layout, save, nodes) => {
    for (const [node, ranks] of nodes.entries()) {
      const folder = join(site.dir, `${layout}-n${node}`, save);
      const iterations = ['iter_0000005', 'iter_0000010', 'iter_0000015', 'iter_0000020'];
      const files = iterations.flatMap((iteration) =>
        ranks.flatMap((rank) =>
          ['distrib_optim.pt', 'model_optim_rng.pt'].map((file) => `${iteration}/${rank}/${file}`),
        ),
      );
      const written = (await readdir(folder, { recursive: true })).filter((path) => /\.[a-z]+$/.test(path)).sort();
      expect(written).toEqual(node === 0 ? [...files, TRACKER] : files);
    }
    const tracker = join(site.dir, `${layout}-n0`, save, TRACKER);
    expect(await readFile(tracker, 'utf8')).toBe('20');
  });

  it('writes the same keys, types and shapes, and the optimizer in the same order', async () => {
    const { flat_order_of_distrib_optim_fp32_single: order, ...files } = await readJson<
      Record<string, Record<string, unknown>>
    >(golden, 'train/checkpoint-keys.json');
    // Recorded as well: the two files of DP2 are those of one process, but for these arguments.
    for (const [file, content] of Object.entries(files).filter(([file]) => file.startsWith('fp32-single'))) {
      const args = { ...(content['args'] as object | undefined), data_parallel_size: 2, world_size: 2 };
      files[file.replace('single', 'dp2')] = { ...content, ...(content['args'] !== undefined && { args }) };
    }
    const ownPath = (file: string) =>
      file
        .replace(/^bf16-2nodes\/node(\d)/, 'bf16-2nodes-dp2pp2-n$1/save')
        .replace(/^fp32-(single|dp2)/, 'fp32-$1-n0/save-$1');
    type Described = Record<string, { content: Record<string, unknown>; flatOrder?: unknown }>;
    const own = await helper<Described>(site.dir, 'inspect_checkpoints.py', ...Object.keys(files).map(ownPath));
    for (const [file, expected] of Object.entries(files)) {
      const { args, ...content } = own[ownPath(file)]!.content;
      const { args: expectedArgs, ...expectedContent } = expected;
      expect(JSON.stringify(content), file).toBe(JSON.stringify(expectedContent));
      // The recording used other folder names, and wrote the list of prefixes as text.
      const names = { data_path: ['data/tiny_text_document'], save: expect.stringMatching(/^save/) as string };
      if (expectedArgs) expect(args).toMatchObject({ ...expectedArgs, ...names });
    }
    for (const layout of ['single', 'dp2'])
      expect(own[ownPath(`fp32-${layout}/iter_0000010/mp_rank_00/model_optim_rng.pt`)]!.flatOrder).toEqual(
        order!['parameters'],
      );
  });

  it('caches the same sample order, on every node, under the md5 of the same description', async () => {
    const kinds = ['document_index.npy', 'sample_index.npy', 'shuffle_index.npy'];
    const theirs = join(golden, 'train/index-cache');
    for (const node of [0, 1]) {
      const folder = join(site.dir, `fp32-2nodes-dp2pp2-n${node}`, 'data/tiny_text_document/cache/GPTDataset_indices');
      const own = await readdir(folder);
      expect(own).toHaveLength(4);
      for (const kind of kinds) {
        const find = (names: string[]) => names.find((name) => name.endsWith(`-GPTDataset-${kind}`))!;
        const expected = await readFile(join(theirs, find(await readdir(theirs))));
        expect((await readFile(join(folder, find(own)))).equals(expected), kind).toBe(true);
      }
      const description = own.find((name) => name.endsWith('-GPTDataset-description.txt'))!;
      const text = await readFile(join(folder, description), 'utf8');
      const digest = createHash('md5').update(text).digest('hex');
      const names = ['description.txt', ...kinds].map((name) => `${digest}-GPTDataset-${name}`);
      expect(own.sort()).toEqual(names);
      expect(text).toBe(describeDataset(join(site.dir, `fp32-2nodes-dp2pp2-n${node}`, 'tiny-tokenizer')));
    }
  });
});

it('orders samples as the loops of Megatron do, also over several epochs with a last one shuffled apart', async () => {
  const site = await makeSite();
  try {
    const { compared, apart } = await helper<Record<string, number>>(site.dir, 'sample_order.py');
    expect(compared).toBe(200);
    expect(apart).toBeGreaterThan(50);
  } finally {
    await site.close();
  }
});

/** Same iterations and learning rates as recorded, and losses that differ by less than so much. */
function expectCurve(own: Iteration[], curve: Layout['curve'], most: number): void {
  expect(own.map(({ iteration, samples, learningRate }) => [iteration, samples, learningRate])).toEqual(
    curve.map(([iteration, learningRate]) => [iteration, 4 * iteration, learningRate]),
  );
  curve.forEach(([, , loss], i) => expect(Math.abs(own[i]!.loss - loss)).toBeLessThan(most));
}

/** As recorded, but for the folders' names. */
function describeDataset(tokenizer: string): string {
  const description = {
    class: 'GPTDataset',
    dataset_path: 'data/tiny_text_document',
    num_samples: 80,
    index_split: 'train',
    random_seed: 42,
    sequence_length: 128,
    split: '100,0,0',
    split_matrix: [[0, 1], null, null],
    tokenizer: { class: '_AutoTokenizer', tokenizer_path: [tokenizer] },
  };
  // Python writes the float 1 as 1.0.
  return JSON.stringify(description, null, 4).replace(/(\n +0,\n +)1\n/, '$11.0\n');
}
