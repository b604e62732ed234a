import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTrainingLog } from '../../activities/training-log.js';
import { makeWeights, measure, type Agreement } from './agreement.js';
import { golden, helper, makeSite, readJson } from './support.js';

const layouts = ['fp32-single', 'fp32-pp2', 'fp32-dp2', 'fp32-2nodes-dp2pp2', 'bf16-2nodes-dp2pp2'];

/** The layouts that were recorded from the real MindSpeed-LLM, trained again from the same weights on the same data. */
describe('training agrees with the real MindSpeed-LLM', () => {
  let site: Awaited<ReturnType<typeof makeSite>>;
  const runs: Record<string, Agreement> = {};

  beforeAll(async () => {
    site = await makeSite();
    const weights = await makeWeights(site.dir);
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

  it('prints what the pipeline reads from the real one', () => {
    const read = (text: string) => {
      const log = createTrainingLog();
      return text.split('\n').flatMap((line) => log.line(line));
    };
    const [node0, node1] = runs['bf16-2nodes-dp2pp2']!.logs.map(read);
    for (const iteration of [5, 10, 15, 20]) expect(node0).toContainEqual({ kind: 'saved', iteration });
    expect(node0).toContainEqual({ kind: 'done' });
    const iterations = node1!.filter((event) => event.kind === 'iteration');
    expect(iterations).toHaveLength(20);
    expect(iterations[9]).toMatchObject({ iteration: 10, of: 20, consumed: 40, lr: 7.851771e-4 });
    expect(node1!.filter((event) => event.kind === 'saveTimer')).toHaveLength(4);
  });

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
      expect(written).toEqual(node === 0 ? [...files, 'latest_checkpointed_iteration.txt'] : files);
    }
    const tracker = join(site.dir, `${layout}-n0`, save, 'latest_checkpointed_iteration.txt');
    expect(await readFile(tracker, 'utf8')).toBe('20');
  });

  it('writes the same keys, types and shapes, and the optimizer in the same order', async () => {
    const { flat_order_of_distrib_optim_fp32_single: order, ...files } = await readJson<
      Record<string, Record<string, unknown>>
    >(golden, 'train/checkpoint-keys.json');
    const ownPath = (file: string) =>
      file
        .replace(/^bf16-2nodes\/node(\d)/, 'bf16-2nodes-dp2pp2-n$1/save')
        .replace(/^fp32-single/, 'fp32-single-n0/save-single');
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
    const single = own['fp32-single-n0/save-single/iter_0000010/mp_rank_00/model_optim_rng.pt'];
    expect(single!.flatOrder).toEqual(order!['parameters']);
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
