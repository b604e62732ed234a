/** What one process refuses, and what does not depend on how many there are. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { freePort } from '../../infra/setup/free-port.mjs';
import { backend, golden, helper, iterationsIn, makeNode, makeSite, ranks, start, torchrun } from './support.js';
import { common } from './two-nodes.js';
import { recordedVerdicts, verdict } from './verdicts.js';

vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

describe('one process', () => {
  let site: Awaited<ReturnType<typeof makeSite>>;
  /** As recorded: from converted weights. */
  let fromWeights: string[];
  beforeAll(async () => {
    site = await makeSite();
    await helper(site.dir, 'convert_cases.py', 'mg-f32-tp1pp1');
    fromWeights = [...common, '--load', join(site.dir, 'mg-f32-tp1pp1'), '--finetune'];
  });
  afterAll(() => site.close());

  const run = async (name: string, args: string[], count = 1, edit?: (node: string) => Promise<unknown>) => {
    const node = await makeNode(site.dir, name);
    await edit?.(node);
    const running = count === 1 ? (await ranks([node], args))[0]! : (await torchrun([node], count, args))[0]!;
    return { exit: await running.exit, log: await running.log() };
  };

  it('refuses an unknown flag with exit code 2', async () => {
    const { exit, log } = await run('unknown', [...common, '--no-such-argument', '3']);
    expect(exit).toBe(2);
    expect([verdict(log)]).toEqual(await recordedVerdicts('bad-argument', ['']));
    expect(log).toContain('pretrain_gpt.py: error: unrecognized arguments: --no-such-argument 3');
  });

  it('refuses a data prefix without .idx', async () => {
    const { exit, log } = await run('no-idx', [...fromWeights, '--data-path', 'data/absent_text_document']);
    expect(exit).toBe(1);
    expect([verdict(log)]).toEqual(await recordedVerdicts('missing-idx-1process', ['']));
  });

  it.each([
    ['tensor parallelism', ['--tensor-model-parallel-size', '2'], 'invalid choice: 2 (choose from 1)'],
    ['another normalization', ['--normalization', 'LayerNorm'], "invalid choice: 'LayerNorm' (choose from 'RMSNorm')"],
    ['an abbreviated option', ['--train-it', '3'], 'unrecognized arguments: --train-it 3'],
    ['post-training', ['--stage', 'sft'], 'unrecognized arguments: --stage sft'],
    ['a rerun of steps', ['--rerun-mode', 'validate_results'], "invalid choice: 'validate_results'"],
    ['a second data prefix', ['--data-path', 'one', 'two'], 'unrecognized arguments: two'],
  ])('refuses %s with exit code 2 and says why', async (name, args, why) => {
    const { exit, log } = await run(name.replaceAll(' ', '-'), [...common, ...args]);
    expect(exit).toBe(2);
    expect(log).toContain(why);
  });

  it.each([
    ['two lengths of the warm-up', ['--lr-warmup-iters', '3'], 'can only specify one of lr-warmup-fraction and'],
    [
      "both the checkpoint's schedule and its own",
      ['--override-opt_param-scheduler', '--use-checkpoint-opt_param-scheduler'],
      'both override and use-checkpoint are set.',
    ],
  ])('refuses %s, as Megatron asserts', async (name, args, why) => {
    const { exit, log } = await run(name.replaceAll(/\W/g, '-'), [...common, ...args]);
    expect(exit).toBe(1);
    expect(log).toContain(`AssertionError: ${why}`);
  });

  it('waits for others as long as --distributed-timeout-minutes says, or the environment', async () => {
    const node = await makeNode(site.dir, 'time-out');
    const ask = `from reference import arguments, parallel
print("waits", parallel.Layout(arguments.complete(arguments.parse("pretrain_gpt.py"))).timeout.total_seconds())`;
    for (const [env, seconds] of [
      [{}, 60],
      [{ REFERENCE_PG_TIMEOUT_SECONDS: '7' }, 7],
    ] as const) {
      const all = { PYTHONPATH: backend, MASTER_PORT: String(await freePort()), ...env };
      const asked = await start(node, ['-c', ask, ...common, '--distributed-timeout-minutes', '1'], all);
      expect(await asked.exit, await asked.log()).toBe(0);
      expect(await asked.log()).toContain(`waits ${seconds}.0\n`);
    }
  });

  it('fails on the first not-a-number', async () => {
    const { exit, log } = await run('nan', [...fromWeights, '--lr', '1e6']);
    expect(exit).toBe(1);
    expect([verdict(log)]).toEqual(await recordedVerdicts('nan', ['']));
  });

  it('trains published weights that it converts itself, and leaves a loss that is not a number out of the line', async () => {
    const online = ['--enable-hf2mg-convert', '--model-type-hf', 'qwen3', '--mg-save-dir', 'converted'];
    const from = ['--load', join(golden, 'convert/hf-f32'), '--finetune', '--no-load-optim', '--no-load-rng'];
    const on = ['--lr', '1e6', '--no-check-for-nan-in-loss-and-grad', '--exit-interval', '4'];
    const { exit, log } = await run('nan-goes-on', [...common, ...from, ...online, ...on]);
    expect(exit, log).toBe(0);
    expect(log).toMatch(/successfully loaded checkpoint from converted .*at iteration 0/);
    const lines = log.split('\n').filter((line) => / iteration +[14]\//.test(line));
    expect(lines[0]).toContain(' | lm loss: 6.246946E+00 | loss scale: 1.0 |');
    expect(lines[1]).toMatch(/ \| global batch size: +4 \| loss scale: 1.0 \| grad norm: nan \|/);
  });

  it('masks the loss sample by sample when pad equals eos, so that the layout does not matter', async () => {
    const padIsEos = async (node: string) => {
      for (const name of ['tokenizer_config.json', 'special_tokens_map.json']) {
        const path = join(node, 'tiny-tokenizer', name);
        await writeFile(path, (await readFile(path, 'utf8')).replace(/("pad_token": )".*"/, '$1"<|endoftext|>"'));
      }
    };
    const args = [...common, '--exit-interval', '6'];
    const one = await run('pad-1', args, 1, padIsEos);
    const two = await run('pad-2', args, 2, padIsEos);
    expect([one.exit, two.exit], one.log + two.log).toEqual([0, 0]);
    const [losses, others] = [iterationsIn(one.log), iterationsIn(two.log)];
    expect(losses).toHaveLength(6);
    losses.forEach(({ loss }, i) => expect(Math.abs(loss - others[i]!.loss)).toBeLessThan(1.5e-6));
  });

  it('ties the embedding to the output over the stages', async () => {
    const tied = [...common.filter((arg) => !arg.startsWith('--untie')), '--exit-interval', '6'];
    const one = await run('tied-1', tied);
    const two = await run('tied-2', [...tied, '--pipeline-model-parallel-size', '2'], 2);
    expect([one.exit, two.exit], one.log + two.log).toEqual([0, 0]);
    iterationsIn(one.log).forEach(({ loss, gradientNorm }, i) => {
      expect(Math.abs(loss - iterationsIn(two.log)[i]!.loss)).toBeLessThan(1.5e-6);
      expect(Math.abs(gradientNorm - iterationsIn(two.log)[i]!.gradientNorm)).toBeLessThan(0.0015);
    });
  });
});
