/** A resume of two nodes without a shared disk that finds what it needs. */
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { iterationsIn, printed } from './support.js';
import { remove, resume, TRACKER, trainTwoNodes, type TwoNodes } from './two-nodes.js';

vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

describe('a resume from iteration 10', () => {
  let two: TwoNodes;
  beforeAll(async () => {
    two = await trainTwoNodes();
  });
  afterAll(() => two.close());

  it('prints exactly what the uninterrupted run printed', async () => {
    const { exits, logs } = await two.run(await two.atIteration10(), resume);
    expect(exits, logs.join('\n')).toEqual([0, 0]);
    expect(logs[0]).toContain(' loading checkpoint from save at iteration 10\n');
    expect(logs[0]).toContain('  successfully loaded checkpoint from save [ t 1/1, p 1/2 ] at iteration 10\n');
    expect(printed(logs[1]!)).toEqual(two.uninterrupted.slice(10));
  });

  it('takes the larger iteration when trackers differ', async () => {
    const nodes = await two.atIteration10();
    await writeFile(join(nodes[1], TRACKER), '5');
    const { exits, logs } = await two.run(nodes, resume);
    expect(exits).toEqual([0, 0]);
    expect(logs[1]).toContain('WARNING: on rank 1 found iteration 5 in the metadata while max iteration across the');
    expect(printed(logs[1]!)).toEqual(two.uninterrupted.slice(10));
  });

  it('does nothing, and exits with 0, when all iterations are done', async () => {
    const nodes = await two.atIteration10();
    for (const [i, node] of nodes.entries()) {
      await writeFile(join(node, TRACKER), '20');
      await remove(join(node, 'save/iter_0000010'));
      await cp(join(two.dir, `whole-n${i}/save/iter_0000020`), join(node, 'save/iter_0000020'), { recursive: true });
    }
    const { exits, logs } = await two.run(nodes, resume);
    expect(exits).toEqual([0, 0]);
    expect(logs[0]).toContain('[after training is done] datetime: ');
    expect(logs[0]).not.toContain('saving checkpoint');
    expect(iterationsIn(logs[1]!)).toEqual([]);
    expect(await readFile(join(nodes[0], TRACKER), 'utf8')).toBe('20');
  });

  it.each([
    ['begins the learning rate schedule anew, at the next samples, with --no-load-optim', ['--no-load-optim'], true],
    ['does so with --no-load-optim and --no-load-rng', ['--no-load-optim', '--no-load-rng'], true],
    ['prints the same digits with --no-load-rng, as nothing is drawn in training', ['--no-load-rng'], false],
  ])('%s', async (_, args, anew) => {
    const { exits, logs } = await two.run(await two.atIteration10(), [...resume, ...args, '--exit-interval', '14']);
    expect(exits).toEqual([0, 0]);
    if (anew) {
      const rates = iterationsIn(logs[1]!).map(({ iteration, samples, learningRate }) => [
        iteration,
        samples,
        learningRate,
      ]);
      // Warm-up and cosine of iterations 1 to 4.
      expect(rates).toEqual(
        [11, 12, 13, 14].map((n, i) => [n, 4 * n, [6.25e-4, 1.25e-3, 1.241454e-3, 1.216077e-3][i]]),
      );
    } else expect(printed(logs[1]!)).toEqual(two.uninterrupted.slice(10, 14));
  });
});
