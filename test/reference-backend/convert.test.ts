import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { modelsIn } from '../../activities/torch-file.js';
import { backend, golden, helper, makeSite, readJson, start } from './support.js';

interface Written {
  sha256?: string;
  args?: Record<string, unknown>;
  tensors?: Record<string, string>;
  /** What is in it beside the arguments and the tensors. */
  rest?: Record<string, unknown>;
}
interface Case {
  arguments: string[];
  exit: number;
  note?: string;
  /** Every file that was written. */
  all?: string[];
  files?: Record<string, Written>;
}
interface Golden {
  models: Record<string, Record<string, string>>;
  args: Record<string, unknown>;
  cases: Record<string, Case>;
}
interface Own {
  exit: number;
  error?: string;
  files?: Record<string, Written>;
}

const { cases, models, args: commonArgs } = await readJson<Golden>(golden, 'convert/cases.json');
const succeeding = Object.keys(cases).filter((name) => cases[name]!.files);

describe('convert_ckpt_v2.py agrees with the real one', () => {
  let site: Awaited<ReturnType<typeof makeSite>>;
  let own: { models: typeof models; cases: Record<string, Own> };

  beforeAll(async () => {
    site = await makeSite();
    own = await helper(site.dir, 'convert_cases.py');
  }, 120_000);
  afterAll(() => site.close());

  it('starts from the recorded models', () => {
    // Key order in a file is that of the library that wrote it.
    expect(own.models).toEqual(models);
  });

  it.each(succeeding)('%s: every tensor bit for bit, in order', (name) => {
    const { all, files } = cases[name]!;
    const run = own.cases[name]!;
    expect(run.error).toBeUndefined();
    expect(run.exit).toBe(cases[name]!.exit);
    expect(Object.keys(run.files!).sort()).toEqual(all);
    for (const [file, expected] of Object.entries(files!)) {
      const written = run.files![file]!;
      if (expected.sha256) expect(written.sha256, file).toBe(expected.sha256);
      if (!expected.tensors) continue;
      expect(Object.entries(written.tensors!), file).toEqual(Object.entries(expected.tensors));
      const args = { ...commonArgs, ...expected.args };
      for (const absent of Object.keys(args).filter((key) => args[key] === null)) delete args[absent];
      expect(written.args).toEqual(args);
      expect(written.rest).toEqual({ checkpoint_version: 3, iteration: 1 });
    }
  });

  it('writes files that are read without torch as torch reads them', async () => {
    for (const name of succeeding.filter((one) => one.startsWith('mg-')))
      for (const [file, { tensors }] of Object.entries(own.cases[name]!.files!).filter(([path]) =>
        path.endsWith('.pt'),
      )) {
        const { model } = await modelsIn(join(site.dir, name, file));
        const read = Object.entries(model!).map(([key, { dtype, shape }]) => [
          key,
          `${dtype.toLowerCase()}[${shape.join()}]`,
        ]);
        const wanted = Object.entries(tensors!).map(([key, text]) => [
          key,
          text.split(' ')[0]!.replace('float32', 'float'),
        ]);
        expect([file, ...read]).toEqual([file, ...wanted]);
      }
  });

  it('says that it is done, as a command', async () => {
    const command = await start(site.dir, [join(backend, 'convert_ckpt_v2.py'), ...cases['mg-f32-tp2pp2']!.arguments]);
    expect(await command.exit).toBe(0);
    expect(await command.log()).toMatch(/^INFO:root:Done!\nINFO:root:time-consuming： [\d.]+s$/m);
  });

  it('refuses what cannot be cut evenly, also where the real one writes nonsense', async () => {
    expect(own.cases['err-pp3']).toMatchObject({ exit: 1, error: expect.stringContaining('divisible') as string });
    expect(own.cases['err-tp3']).toMatchObject({ exit: 1, error: expect.stringContaining('divisible') as string });
    expect(own.cases['err-noload']?.error).toBe(
      "FileNotFoundError: [Errno 2] No such file or directory: 'nowhere/config.json'",
    );
    const command = await start(site.dir, [join(backend, 'convert_ckpt_v2.py'), ...cases['err-tp3']!.arguments]);
    expect(await command.exit).toBe(1);
    // Nothing that could be taken for weights.
    const places = ['err-pp3', 'err-tp3']
      .map((name) => cases[name]!.arguments)
      .map((args) => args[args.indexOf('--save-dir') + 1]!);
    for (const place of places) expect(existsSync(join(site.dir, place)), place).toBe(false);
  });

  it.each([
    ['a list of layers with noop layers', ['--num-layer-list', '1,3', '--noop-layers', '1,5'], 'at the same time'],
    ['a noop layer twice', ['--noop-layers', '1,1'], 'names a layer twice'],
    ['a noop layer beyond the last', ['--noop-layers', '8,9'], 'are not all among 6 layers'],
    ['a negative size', ['--target-tensor-parallel-size', '-2'], 'should be positive'],
    ['no stage at all', ['--target-pipeline-parallel-size', '0'], 'should be positive'],
  ])('refuses %s, and writes nothing', async (name, args, why) => {
    const target = `refused-${name.replaceAll(' ', '-')}`;
    const required = ['--load-dir', 'hf-f32', '--save-dir', target, '--target-pipeline-parallel-size', '2'];
    const command = await start(site.dir, [join(backend, 'convert_ckpt_v2.py'), ...required, ...args]);
    expect(await command.exit).toBe(1);
    expect(await command.log()).toMatch(new RegExp(`ValueError: .*${why}`));
    expect(existsSync(join(site.dir, target))).toBe(false);
  });

  it('refuses an unknown flag with exit code 2', async () => {
    const required = ['--load-dir', 'hf-f32', '--save-dir', 'x'];
    const command = await start(site.dir, [join(backend, 'convert_ckpt_v2.py'), ...required, '--no-such-flag']);
    expect(await command.exit).toBe(2);
    expect(await command.log()).toContain('convert_ckpt_v2.py: error: unrecognized arguments: --no-such-flag');
  });
});
